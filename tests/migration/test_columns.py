"""Columns that a table of events got after chunks of it had moved to the columnstore."""

from __future__ import annotations

import psycopg

from bcp_analytics import migrate as runner
from bcp_analytics._core.resources import migrations_folder

CALL = """
insert into bcp.tool_usage_logs
    (start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success)
select t, t + interval '1 second', t, gen_random_uuid(), 'b', 'old', 'call', true
from generate_series(timestamptz '2026-03-01 10:00Z', '2026-03-01 10:04Z', interval '1 minute') as t
"""
LATE = """
select stored from bcp.ingest_tool_usage(null, jsonb_build_array(
    jsonb_build_object('bcp_name', 'b', 'tool_name', 'late', 'start_time', '2026-03-01T11:00:00Z',
        'duration_ms', 5, 'intent', 'to see'),
    jsonb_build_object('bcp_name', 'b', 'tool_name', 'late', 'start_time', '2026-03-01T12:00:00Z',
        'duration_ms', 5)))
"""


def test_an_intent_finds_its_place_in_a_chunk_that_was_in_the_columnstore_before_there_were_any(
    blank_db: str,
) -> None:
    runner.migrate(blank_db)
    later = [p for p in migrations_folder().glob("0*.sql") if not p.stem.endswith(".rollback")]
    runner.rollback(blank_db, count=sum(p.name >= "0028" for p in later))
    with psycopg.connect(blank_db, autocommit=True) as conn:
        conn.execute(CALL)
        conn.execute("select public.compress_chunk(c) from public.show_chunks('bcp.tool_usage_logs') as c")
    runner.migrate(blank_db)
    with psycopg.connect(blank_db, autocommit=True) as conn:
        query = (
            "select tool_name, duration_ms, intent, count(*) from bcp.tool_usage_logs"
            " group by 1, 2, 3 order by 1, 3"
        )
        assert conn.execute(query).fetchall() == [("old", 1000, None, 5)]
        assert conn.execute(LATE).fetchall() == [(2,)]
        found = [("late", 5, "to see", 1), ("late", 5, None, 1), ("old", 1000, None, 5)]
        assert conn.execute(query).fetchall() == found
        conn.execute("select public.decompress_chunk(c) from public.show_chunks('bcp.tool_usage_logs') as c")
        conn.execute("select public.compress_chunk(c) from public.show_chunks('bcp.tool_usage_logs') as c")
        assert conn.execute(query).fetchall() == found
