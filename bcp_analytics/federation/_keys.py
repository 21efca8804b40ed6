"""One key for keyed hashes on the head and all shards, so that one person has one hash."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bcp_analytics._core.connection import reach
from bcp_analytics.federation._shards import connections

if TYPE_CHECKING:
    from psycopg import Connection

_HIGHEST = "select coalesce(max(key_id), 0) from bcp_internal.anonymization_keys"


def share_keys(head: str) -> int:
    """Make a new key on the head and give it to every shard; return its number, which every hash shows.

    As after `bcp.rotate_anonymization_key`, the same person has another hash from then on. A key goes from
    server to server by COPY, so that it stands in no statement and in no log. What fails before the end is
    repeated by running it again.
    """
    with ExitStack() as stack:
        conn = stack.enter_context(reach(head))
        others = {name: stack.enter_context(reach(dsn)) for name, dsn in sorted(connections(conn).items())}
        everyone = [conn, *others.values()]
        # The same number everywhere, and one that no hash has yet.
        number = 1 + max(_one(each, _HIGHEST) for each in everyone)
        conn.execute(
            "select setval(pg_get_serial_sequence('bcp_internal.anonymization_keys', 'key_id'), %s, false)",
            [number],
        )
        conn.execute("select bcp_internal.create_anonymization_key()")
        with (
            conn.cursor() as cursor,
            cursor.copy(
                "copy (select key_id, inner_block, outer_block, created_at"
                " from bcp_internal.anonymization_keys"
                " where retired_at is null) to stdout (format binary)"
            ) as copy,
        ):
            key = b"".join(bytes(block) for block in copy)
        for shard in others.values():
            _take(shard, key, number)
        # Shards first: a head whose key a shard does not have would look for hashes that are not there.
        for each in reversed(everyone):
            each.commit()
    return number


def _take(conn: Connection[Any], key: bytes, number: int) -> None:
    conn.execute("lock table bcp_internal.anonymization_keys in share row exclusive mode")
    conn.execute("update bcp_internal.anonymization_keys set retired_at = now() where retired_at is null")
    conn.execute(
        "create temporary table shared_key (key_id integer, inner_block bytea, outer_block bytea,"
        " created_at timestamptz) on commit drop"
    )
    with conn.cursor() as cursor, cursor.copy("copy shared_key from stdin (format binary)") as copy:
        copy.write(key)
    conn.execute(
        "insert into bcp_internal.anonymization_keys (key_id, inner_block, outer_block, created_at)"
        " overriding system value select key_id, inner_block, outer_block, created_at from shared_key"
    )
    conn.execute(
        "select setval(pg_get_serial_sequence('bcp_internal.anonymization_keys', 'key_id'), %s)", [number]
    )


def _one(conn: Connection[Any], query: str) -> int:
    row = conn.execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate returns a row whatever there is
    return int(row[0])
