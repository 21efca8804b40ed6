"""What the dashboard and the static report look like, in one place."""

from __future__ import annotations

from importlib.resources import files

LOOK = files("bcp_analytics._render").joinpath("look.css").read_text(encoding="utf-8")
"""CSS variables: --good and --bad are calls that succeeded and failed, --p50 to --p99 percentiles."""
