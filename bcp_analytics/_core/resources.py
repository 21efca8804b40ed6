"""Finds `sql/` and `migrations/`: inside the package in a wheel, above them in a checkout."""

from __future__ import annotations

from pathlib import Path

from bcp_analytics.errors import BcpAnalyticsError

_PACKAGE = Path(__file__).resolve().parents[1]


def _folder(name: str) -> Path:
    for folder in (_PACKAGE / name, _PACKAGE.parent / name):
        if next(folder.glob("*.sql"), None):
            return folder
    raise BcpAnalyticsError(
        f"The folder {name}/ is not beside the package bcp_analytics in {_PACKAGE}.",
        hint="The installation is incomplete: install the package again.",
    )


def sql_folder() -> Path:
    """Return the folder of the SQL code; raises BcpAnalyticsError where there is none."""
    return _folder("sql")


def migrations_folder() -> Path:
    """Return the folder of the migrations; raises BcpAnalyticsError where there is none."""
    return _folder("migrations")
