"""Whether the shards of a head answer, and whether their answers can be added up."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg

from bcp_analytics._core.connection import reach
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.federation._shards import connections, identity

if TYPE_CHECKING:
    from psycopg import Connection

# What a shard must have in common with the head: for each a value to compare, never a secret.
_COMMON: dict[str, LiteralString] = {
    "key": "select encode(sha256(inner_block || outer_block), 'hex') || key_id"
    " from bcp_internal.anonymization_keys where retired_at is null",
    "rules": "select md5(string_agg(r::text, '|' order by r.name)) from bcp.anonymization_rules r",
    "settings": "select md5(string_agg(name || '=' || value, '|' order by name)) from bcp.settings",
    "order of text": "select datcollate from pg_database where datname = current_database()",
}
_HINTS = {
    "key": "another key: one person has two hashes until bcp-analytics federate share-keys",
    "rules": "other rules in bcp.anonymization_rules: the same text is masked differently",
    "settings": "other values in bcp.settings: answers that depend on them differ by shard",
    "order of text": "another collation: rows that are equal otherwise may come in another order",
}
_BUNDLES: LiteralString = """
select distinct bcp_name from bcp.tool_usage_1d
union
select distinct bcp_name from bcp.tool_usage_logs where start_time >= bcp_internal.watermark('tool_usage_1d')
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What `check` found about one shard: status is ok, warn or fail."""

    shard_name: str
    check_name: str
    status: str
    detail: str


def check(head: str) -> list[Finding]:
    """Ask every shard whether it answers, is like the head, and alone holds its bundles."""
    found: list[Finding] = []
    holders: dict[str, list[str]] = defaultdict(list)
    databases: dict[str, str] = {}
    with reach(head, autocommit=True) as conn:
        wanted = {name: _value(conn, query) for name, query in _COMMON.items()}
        routes = {row[0]: row[1] for row in conn.execute("select shard_name, bundles from bcp.shards")}
        states = _states(conn)
        for name, dsn in connections(conn).items():
            try:
                with reach(dsn, autocommit=True) as shard:
                    found += states.get(name) or [
                        Finding(
                            name,
                            "answers",
                            "fail",
                            "this machine reaches it, the server of the head does not",
                        )
                    ]
                    same = databases.setdefault(identity(shard, "The shard"), name)
                    if same != name:
                        twice = f"the same database as the shard {same}: everything in it counts twice"
                        found.append(Finding(name, "database", "fail", twice))
                    found += _differences(shard, name, wanted)
                    for row in shard.execute(_BUNDLES):
                        holders[row[0]].append(name)
            except (BcpAnalyticsError, psycopg.Error) as error:
                found.append(Finding(name, "answers", "fail", " ".join(str(error).split())))
    found += _misplaced(holders, routes)
    if routes and Counter(b for bundles in routes.values() for b in bundles)["*"] == 0:
        found.append(
            Finding("", "bundles", "warn", "no shard takes *: events of a bundle that none names are refused")
        )
    return found


def _states(head: Connection[Any]) -> dict[str, list[Finding]]:
    """Say of each shard what the head's server finds, which connects from where it runs."""
    found: dict[str, list[Finding]] = {}
    for row in head.execute(
        "select shard_name, check_name, status, detail from bcp_internal.states_of_shards()"
    ):
        finding = Finding(*row)
        found.setdefault(finding.shard_name, [_reached(finding.shard_name)]).append(finding)
    return found


def _reached(name: str) -> Finding:
    return Finding(name, "answers", "ok", "the shard can be reached")


def _value(conn: Connection[Any], query: LiteralString) -> str | None:
    row = conn.execute(query).fetchone()
    return None if row is None else str(row[0])


def _differences(shard: Connection[Any], name: str, wanted: dict[str, str | None]) -> list[Finding]:
    # A shard whose key differs gives wrong answers; the rest is a matter of taste.
    worse = {"key": "fail"}
    return [
        Finding(name, what, "ok", "as on the head")
        if _value(shard, query) == wanted[what]
        else Finding(name, what, worse.get(what, "warn"), _HINTS[what])
        for what, query in _COMMON.items()
    ]


def _misplaced(holders: dict[str, list[str]], routes: dict[str, list[str]]) -> list[Finding]:
    """Name bundles that are on two shards: questions by tool answer two rows for each of their tools."""
    found = []
    rest = [name for name, bundles in routes.items() if "*" in bundles]
    for bundle, names in sorted(holders.items()):
        home = [name for name, bundles in routes.items() if bundle in bundles] or rest
        found += [
            Finding(name, "bundles", "fail", f"holds the bundle {bundle}, which belongs to {home[0]}")
            for name in names
            if home and name not in home
        ]
    return found
