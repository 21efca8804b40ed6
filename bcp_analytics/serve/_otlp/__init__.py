"""In by OTLP/HTTP: spans and log records that are tool calls become rows.

By https://opentelemetry.io/docs/specs/otlp/#otlphttp: the answer has the encoding of the request, a failure
is a google.rpc.Status, and nothing is acknowledged that is not committed.
"""

from __future__ import annotations

from bcp_analytics.serve._otlp._intake import Intake
from bcp_analytics.serve._otlp._routes import refusal, routes

__all__ = ["Intake", "refusal", "routes"]
