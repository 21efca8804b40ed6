"""Connections of our own: what a server, database, role or environment sets changes nothing for them.

A caller's connection is left as it is. The typed functions ask for their answers in binary, which has one
form, and the SQL functions that a session enters by have settings of their own (sql/91_pinned_settings.sql).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from psycopg import Connection

# These decide how text is read and written, in the statements that we send and the answers that we read, and
# what a transaction sees. sql/91_pinned_settings.sql sets the same for functions.
PINNED = {
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "default_transaction_isolation": "read committed",
}


def connect(conninfo: str, *, autocommit: bool = False, **options: Any) -> Connection[Any]:  # noqa: ANN401
    """Open a connection with the settings of `PINNED`, in UTF-8; raises what `psycopg.connect` raises.

    They are set once it is open, and not among the options of the connection string, which poolers refuse and
    which may be the user's.
    """
    conn = psycopg.connect(conninfo, autocommit=True, client_encoding="utf8", **options)
    try:
        conn.execute(
            "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as s (name, value)",
            [list(PINNED), list(PINNED.values())],
        )
        conn.autocommit = autocommit
    except BaseException:
        conn.close()
        raise
    return conn


def check_readable(conninfo: str) -> None:
    """Raise `BcpAnalyticsError` where libpq cannot read a connection string; the error does not repeat it."""
    try:
        psycopg.conninfo.conninfo_to_dict(conninfo)
    except psycopg.Error:
        raise BcpAnalyticsError(
            "The connection string cannot be read.",
            hint="Write it as postgresql://user@host:5432/database or as 'host=... dbname=...', and quote or "
            "percent-encode special characters.",
        ) from None


def reach(conninfo: str, *, autocommit: bool = False, **options: Any) -> Connection[Any]:  # noqa: ANN401
    """Open a connection as `connect` does; raises `BcpAnalyticsError`, which says why there is none."""
    check_readable(conninfo)
    try:
        return connect(conninfo, autocommit=autocommit, **options)
    except psycopg.Error as error:
        raise BcpAnalyticsError(
            f"The database cannot be reached: {str(error).strip()}.",
            hint="Check that it runs, and the connection string.",
        ) from error
