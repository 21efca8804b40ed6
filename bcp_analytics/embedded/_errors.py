"""The one exception of this package."""

from __future__ import annotations

from bcp_analytics.errors import BcpAnalyticsError


class EmbeddedError(BcpAnalyticsError):
    """The embedded database cannot be installed, started or stopped; the message says why and what to do."""
