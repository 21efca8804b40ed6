"""A sender of ever new names is refused before the aggregates are full of them, and nobody else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.security.test_writers_apart import conn, login
from tests.sql.events import KINDS, ingest, rows

if TYPE_CHECKING:
    Db = psycopg.Connection[Any]

__all__ = ["conn"]


FLOODS: dict[str, tuple[str, dict[str, Any], str]] = {
    "tool": ("tool_usage", KINDS["tool_usage"], "tool_name"),
    "error": ("errors", KINDS["errors"], "fingerprint"),
    "metric": ("metrics", KINDS["metrics"], "metric_name"),
    "user": ("tool_usage", KINDS["tool_usage"] | {"session_id": "s"}, "user_id"),
    "session": ("sessions", KINDS["sessions"], "session_id"),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_is_refused_and_shown_until_it_ends(conn: Db, kind: str) -> None:
    conn.execute("update bcp.settings set value = 5 where name in ('max_names_per_hour', 'max_ids_per_hour')")
    events, event, field = FLOODS[kind]
    for role, names in (("first", 6), ("second", 5)):
        with login(conn, role):
            for _ in range(2):
                assert ingest(conn, [event | {field: f"n{n}"} for n in range(names)], events)[1] == names
    conn.execute("call bcp_internal.find_floods_job(0, null)")
    assert rows(conn, "select sent_by, kind, names from bcp.floods") == [
        {"sent_by": "bcp_test_first", "kind": kind, "names": 6}
    ]
    [health] = rows(conn, "select status, detail from bcp.health() where check_name = 'floods'")
    assert health["status"] == "fail"
    assert f"bcp_test_first (6 different of kind {kind} within an hour)" in health["detail"]
    for send in (
        lambda: ingest(conn, [event], events),
        lambda: conn.execute("select bcp.begin_tool_call('files', 'read')"),
        lambda: conn.execute("select bcp.report_collector('mail', gen_random_uuid())"),
        lambda: conn.execute(
            "select bcp.ingest_tool_usage(null, array[jsonb_populate_record(null::bcp.tool_call,"
            ' \'{"bcp_name": "files", "tool_name": "read"}\')])'
        ),
    ):
        with (
            login(conn, "first"),
            pytest.raises(psycopg.errors.ConfigurationLimitExceeded),
            conn.transaction(),
        ):
            send()
        with login(conn, "second"):
            send()
    # An hour later.
    conn.execute("update bcp_internal.names_seen set seen_at = seen_at - interval '61 minutes'")
    conn.execute("select bcp_internal.find_floods()")
    with login(conn, "first"):
        assert ingest(conn, [event], events)[1] == 1
