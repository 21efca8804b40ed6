"""Whether the extra is installed."""

from __future__ import annotations

from importlib import import_module

from bcp_analytics.errors import BcpAnalyticsError


def check_iceberg() -> None:
    """Raise `BcpAnalyticsError` where something of the extra `iceberg` is not installed."""
    for name in ("pyiceberg", "sqlalchemy"):
        try:
            import_module(name)
        except ImportError:
            raise BcpAnalyticsError(
                f"The archives of this store are published by {name}, which is not installed.",
                hint="Install the extra: pip install 'bcp_analytics[iceberg]'.",
            ) from None


def check() -> None:
    """Raise `BcpAnalyticsError` where something of the extra `archive` is not installed."""
    for name in ("pyarrow", "obstore", "duckdb", "fsspec"):
        try:
            import_module(name)
        except ImportError:
            raise BcpAnalyticsError(
                f"Archives need {name}, which is not installed.",
                hint="Install the extra: pip install 'bcp_analytics[archive]'.",
            ) from None
