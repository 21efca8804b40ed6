"""The shards of a head: where they are, and how they are added and removed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import Jsonb

from bcp_analytics._core.connection import check_readable, reach
from bcp_analytics.errors import BcpAnalyticsError, translated
from bcp_analytics.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import Connection

# What libpq keeps from others: it goes into the user mapping, which only the owner can read.
_OF_THE_LOGIN = {"user", "password", "passfile", "sslpassword"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")

_IDENTITY = """
select (select system_identifier::text from pg_control_system()) || '/' || current_database(),
       exists (select from bcp.shards)
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """A store that a head asks.

    `bundles` are those whose events it takes; `*` are all that no other shard names. `address` has no
    password.
    """

    shard_name: str
    bundles: str
    address: str
    added_at: datetime


def add(head: str, name: str, dsn: str, bundles: Sequence[str] = ("*",)) -> None:
    """Add a shard to the head at the connection string `head`, and make that a head if it is none yet.

    The password of `dsn`, if any, is kept in a user mapping of the head's owner. Raises `InvalidArgument`
    where the head holds events, and `BcpAnalyticsError` where a name is taken or the shard is no store.
    """
    if not _NAME.fullmatch(name):
        raise BcpAnalyticsError(
            "The name of a shard is up to 30 lower-case letters, digits and underscores.",
            hint="Such as eu_1.",
        )
    check_readable(dsn)
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    with reach(dsn, autocommit=True) as shard:
        shard_is = _identity(shard, "The shard")
    with reach(head) as conn:
        head_is = _identity(conn, "The head")
        if shard_is == head_is:
            raise BcpAnalyticsError("The shard is the head itself.", hint="Give the shard's own database.")
        _refuse_what_is_taken(conn, name, bundles)
        login = {key: value for key, value in parts.items() if key in _OF_THE_LOGIN}
        server = {"connect_timeout": "10"} | {
            key: value for key, value in parts.items() if key not in _OF_THE_LOGIN
        }
        with translated():
            conn.execute(
                "select bcp_internal.put_shard(%s, %s, %s, %s)",
                [name, list(bundles), Jsonb(server), Jsonb(login)],
            )
    migrate(head)


def _identity(conn: Connection[Any], who: str) -> str:
    found = conn.execute("select to_regclass('bcp.shards') is not null").fetchone()
    if found is None or not found[0]:
        raise BcpAnalyticsError(
            f"{who} is no store of this version.", hint="Run bcp-analytics migrate on it first."
        )
    row = conn.execute(_IDENTITY).fetchone()
    assert row is not None  # noqa: S101 - the query returns a row whatever there is
    if row[1] and who == "The shard":
        raise BcpAnalyticsError("The shard is a head itself.", hint="Add the stores that it asks.")
    return str(row[0])


def _refuse_what_is_taken(conn: Connection[Any], name: str, bundles: Sequence[str]) -> None:
    for row in conn.execute("select shard_name, bundles from bcp.shards order by shard_name"):
        if row[0] == name:
            raise BcpAnalyticsError(
                f"There is a shard {name} already.", hint="Remove it first: bcp-analytics federate remove."
            )
        taken = sorted(set(row[1]) & set(bundles))
        if taken:
            what = "what no other shard names" if taken == ["*"] else f"the bundle {taken[0]}"
            raise BcpAnalyticsError(
                f"The shard {row[0]} takes {what} already.", hint="A bundle is whole on one shard."
            )


def remove(head: str, name: str) -> bool:
    """Remove a shard from the head, whose answers are then without it; return whether there was one.

    The shard itself keeps what it holds. Without any shard the head is a store again.
    """
    with reach(head) as conn:
        row = conn.execute("select bcp_internal.drop_shard(%s)", [name]).fetchone()
    if row is None or not row[0]:
        return False
    migrate(head)
    return True


def shards(conn: Connection[Any]) -> list[Shard]:
    """List the shards of a head by name."""
    return [
        Shard(row[0], ", ".join(row[1]), make_conninfo(**_options(row[3])), row[2])
        for row in conn.execute(
            "select s.shard_name, s.bundles, s.added_at, f.srvoptions from bcp.shards s"
            " left join pg_foreign_server f on f.srvname = 'bcp_shard_' || s.shard_name order by 1"
        )
    ]


def connections(conn: Connection[Any]) -> dict[str, str]:
    """Return the connection string of each shard, in the order of their names; empty where `conn` is no head.

    With the password, where the role is the owner of the head. Nobody else gets that.
    """
    return {
        row[0]: make_conninfo(**_options(row[1]), **_options(row[2]))
        for row in conn.execute(
            "select s.shard_name, f.srvoptions, m.umoptions from bcp.shards s"
            " join pg_foreign_server f on f.srvname = 'bcp_shard_' || s.shard_name"
            " left join pg_user_mappings m on m.srvid = f.oid order by 1"
        )
    }


def _options(listed: Sequence[str] | None) -> dict[str, Any]:
    return dict(option.split("=", 1) for option in listed or ())
