"""The shards of a head: where they are, and how they are added and removed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
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

_IDENTITY: LiteralString = """
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

    The password of `dsn`, if any, is kept in a user mapping of the head's owner. It goes there by COPY, so
    that it stands in no log of statements. Raises `InvalidArgument` where the head holds events, and
    `BcpAnalyticsError` where a name, a bundle or the database is taken already or the shard is no store.
    """
    if not _NAME.fullmatch(name):
        raise BcpAnalyticsError(
            "The name of a shard is up to 30 lower-case letters, digits and underscores.",
            hint="Such as eu_1.",
        )
    if not bundles:
        raise BcpAnalyticsError(
            "The shard takes no bundle.", hint="Name some, or *: what no other shard names."
        )
    check_readable(dsn)
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    with reach(dsn, autocommit=True) as shard:
        shard_is = identity(shard, "The shard")
    with reach(head) as conn:
        head_is = identity(conn, "The head")
        if shard_is == head_is:
            raise BcpAnalyticsError("The shard is the head itself.", hint="Give the shard's own database.")
        _refuse_what_is_taken(conn, name, bundles)
        _refuse_a_shard_of_another_name(conn, shard_is)
        login = {key: value for key, value in parts.items() if key in _OF_THE_LOGIN}
        server = {"connect_timeout": "10"} | {
            key: value for key, value in parts.items() if key not in _OF_THE_LOGIN
        }
        with translated():
            conn.execute("create temporary table shard_login (login jsonb) on commit drop")
            with conn.cursor() as cursor, cursor.copy("copy shard_login from stdin") as copy:
                copy.write_row([Jsonb(login)])
            conn.execute(
                "select bcp_internal.put_shard(%s, %s, %s, l.login) from shard_login l",
                [name, list(bundles), Jsonb(server)],
            )
    migrate(head)


def identity(conn: Connection[Any], who: str) -> str:
    """Return what tells a database from every other, also from another name of it.

    Raises `BcpAnalyticsError` where `who` is no store of this version, a shard that is a head, or asked as a
    role that may not do everything there.
    """
    owned = conn.execute(
        "select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'bcp'"
    ).fetchone()
    if owned == (False,):
        raise BcpAnalyticsError(
            f"{who} was migrated by another role.", hint="Give the connection string of that role."
        )
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


def _refuse_a_shard_of_another_name(conn: Connection[Any], shard_is: str) -> None:
    """Refuse a database that is a shard already: everything in it would count twice."""
    for other, dsn in connections(conn).items():
        try:
            with reach(dsn, autocommit=True) as shard:
                same = identity(shard, "The shard") == shard_is
        except (BcpAnalyticsError, psycopg.Error):
            # What is away now is compared by `check`.
            continue
        if same:
            raise BcpAnalyticsError(
                f"The shard {other} is the same database.", hint="Everything in it would count twice."
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
