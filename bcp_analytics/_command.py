"""What `bcp-analytics` starts: the command line, or what it takes to have it."""

from __future__ import annotations

import sys

_EXTRA = {"click", "rich", "typer"}


def main() -> None:
    """Run the command line; where its packages are missing, say how to get them."""
    try:
        from bcp_analytics.cli._app import app  # noqa: PLC0415 - may not be there
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.exit('bcp-analytics: the command line needs an extra: pip install "bcp_analytics[binary,cli]"')
    app()
