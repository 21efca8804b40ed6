"""After bcp.erase_user nothing in the database knows the person, and all else is as it was."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bcp_analytics import upkeep
from bcp_analytics.errors import InvalidArgument
from tests.sql.erasing import (
    DAYS,
    JANE,
    NOW,
    RAW,
    fill,
    from_raw,
    mentions,
    others,
    refresh_all,
    stored_as,
)
from tests.sql.events import ingest, rows, usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.targets import Filled


@pytest.fixture(scope="module")
def filled(filled_by: Callable[..., Filled]) -> Filled:
    return filled_by(fill, little=True)


@pytest.fixture
def store_dsn(filled: Filled) -> Iterator[str]:
    """A copy of a store with Jane, and others, in it."""
    with filled.copy() as dsn:
        yield dsn


@pytest.fixture
def store(store_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(store_dsn, autocommit=True) as conn:
        yield conn


@pytest.mark.parametrize("jane", [JANE, "u-4711-roe"])
def test_nothing_is_left_of_the_person_and_all_of_the_others(
    clean_db: psycopg.Connection[Any], jane: str
) -> None:
    fill(clean_db, jane)
    stored = stored_as(clean_db, jane)
    clean_db.execute("analyze")
    before = others(clean_db)
    compressed = (
        "select hypertable_name, range_start, is_compressed from timescaledb_information.chunks"
        " where hypertable_schema = 'bcp' order by 1, 2"
    )
    chunks = clean_db.execute(compressed).fetchall()
    assert len(mentions(clean_db, stored)) > 60
    plan = upkeep.erasure_plan(clean_db, jane)

    upkeep.erase_user(clean_db, jane, note=f"letter of {jane}")

    assert mentions(clean_db, jane, stored) == []
    assert others(clean_db) == before
    assert clean_db.execute(compressed).fetchall() == chunks
    # A row about her, but not hers.
    about = rows(clean_db, "select * from bcp.tool_usage_logs where error_message is not null")
    assert len(about) == len(DAYS)
    for row in about:
        assert row["user_id"] == "bob"
        assert row["parameters"] == {
            "to": ["[ERASED]", "x"],
            "nested": '{"peer": "[ERASED]"}',
            "note": "ask [ERASED]!",
        }
        assert row["response_data"] == {"[ERASED]": 1, "n": 17}
        assert row["error_message"] == "no such user: [ERASED]"
        assert row["attributes"] == {"extra": {"owner": "[ERASED]"}}
    # What was shared goes on without her.
    shared = rows(
        clean_db,
        "select s.user_id, s.tool_calls_count - count(*) as more, s.errors_count as failed"
        " from bcp.user_sessions s join bcp.tool_usage_logs t using (session_id)"
        " where session_id like 'both-%' group by s.session_id",
    )
    assert shared == [{"user_id": None, "more": 0, "failed": 0}] * len(DAYS)
    for aggregate in RAW:
        materialized, raw = from_raw(clean_db, aggregate, DAYS[0] - timedelta(days=1))
        assert materialized == raw, aggregate
        assert raw
    issues = rows(
        clean_db,
        "select i.message, i.events, count(*) as n from bcp.error_issues i"
        " join bcp.error_logs using (fingerprint) group by i.fingerprint",
    )
    assert [(i["events"], i["message"]) for i in issues] == [(10, "failed for bob in step 4")]
    assert all(i["n"] == i["events"] for i in issues)

    [receipt] = rows(clean_db, "select * from bcp.erasures")
    assert receipt["note"] == "letter of [ERASED]" or receipt["note"] == f"letter of {stored}".replace(
        stored, "[ERASED]"
    )
    assert receipt["completed_at"] >= receipt["erased_at"] >= receipt["requested_at"]
    counts = receipt["counts"]
    assert counts["tool_usage_logs"] == {"deleted": 4 * len(DAYS), "changed": len(DAYS)}
    assert counts["error_logs"] == {"deleted": 2 * len(DAYS), "changed": len(DAYS)}
    assert counts["performance_metrics"] == {"deleted": 0, "changed": len(DAYS)}
    assert counts["rejected_events"] == {"deleted": 1, "changed": 1}
    assert counts["open_tool_calls"] == {"deleted": 1, "changed": 1}
    assert counts["users"] == {"deleted": 1, "changed": 0}
    assert [(row.table_name, row.row_count) for row in plan] == [
        (row.table_name, counts[row.table_name]["deleted"]) for row in plan
    ]
    assert {row.row_count for row in upkeep.erasure_plan(clean_db, jane)} == {0}
    for asked in {jane, stored, jane.upper() if "@" in jane else jane}:
        assert upkeep.find_erasure(clean_db, asked) == receipt["erasure_id"]
    assert upkeep.find_erasure(clean_db, "bob") is None
    assert clean_db.execute("select count(*) from bcp_internal.erasure_work").fetchall() == [(0,)]


def test_a_dump_holds_no_trace(store: psycopg.Connection[Any], target: str) -> None:
    if target != "native" or shutil.which("pg_dump") is None:
        pytest.skip("there is no pg_dump for this server")
    stored = stored_as(store, JANE)
    # Even where somebody sent it in the place of a name, which the planner has values of.
    at = (DAYS[1] - timedelta(hours=5)).isoformat()
    ingest(store, [usage(start_time=at, bcp_name=f"of {stored}", tool_name=f"tool {stored}")] * 9)
    refresh_all(store)
    store.execute("analyze")
    held = "select count(*) from bcp_internal.kept_statistics() where held like '%%' || %s || '%%'"
    assert store.execute(held, [stored]).fetchall() > [(9,)]
    upkeep.erase_user(store, JANE)
    assert store.execute(held, [stored]).fetchall() == [(0,)]
    # From 18 on it may hold them.
    statistics = ["--statistics"] if store.info.server_version >= 180000 else []
    dump = subprocess.run(
        [
            "pg_dump",
            *statistics,
            f"--host={store.info.host}",
            f"--port={store.info.port}",
            f"--username={store.info.user}",
            store.info.dbname,
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "carol" in dump
    assert stored not in dump
    assert JANE.lower() not in dump.lower()


def test_what_cannot_be_made_anew_keeps_its_totals_and_loses_the_person(
    store: psycopg.Connection[Any],
) -> None:
    stored = stored_as(store, JANE)
    # The two eldest days are dropped, and then calls come late for one of them.
    store.execute(
        "select public.drop_chunks('bcp.tool_usage_logs', older_than => %s)",
        [DAYS[1].replace(hour=0) + timedelta(days=1)],
    )
    late = (DAYS[1] - timedelta(hours=3)).isoformat()
    ingest(store, [usage(start_time=late, user_id=JANE), usage(start_time=late, user_id="bob")])
    totals = "select bucket, tool_name, calls, errors from bcp.tool_usage_1d where bucket < %s order by 1, 2"
    old = DAYS[2] - timedelta(days=10)
    before = store.execute(totals, [old]).fetchall()
    assert [calls for _, _, calls, _ in before] == [10, 10]

    upkeep.erase_user(store, JANE)

    assert store.execute(totals, [old]).fetchall() == before
    assert mentions(store, stored) == []
    assert store.execute(
        "select user_id from bcp.tool_usage_logs where start_time < %s", [old]
    ).fetchall() == [("bob",)]
    for aggregate in RAW:
        materialized, raw = from_raw(store, aggregate, old)
        assert materialized == raw, aggregate
    days = store.execute(
        "select user_id, sum(calls)::int from bcp.user_activity_1d where bucket < %s group by 1 order by 1",
        [old],
    ).fetchall()
    assert days == [("bob", 8), ("carol", 4)]


@pytest.mark.native("the embedded database is one backend")
def test_nobody_waits_while_a_chunk_is_put_back_into_the_columnstore(
    store_dsn: str, store: psycopg.Connection[Any]
) -> None:
    store.execute(
        "create or replace function bcp_internal.compress_again(p_relation text, p_start timestamptz,"
        " p_end timestamptz) returns void"
        " language sql as 'select pg_advisory_xact_lock(4711)'"
    )
    waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    with psycopg.connect(store_dsn, autocommit=True) as other, ThreadPoolExecutor(1) as pool:
        other.execute("select pg_advisory_lock(4711); set lock_timeout = '100ms'")
        erasing = pool.submit(upkeep.erase_user, store, JANE)
        while other.execute(waits).fetchall() == [(0,)]:
            assert not erasing.done()
        error = {"level": "error", "message": "failed for bob in step 9", "error_type": "Timeout"}
        assert ingest(other, [error], "errors") == (1, 1, 0, 0)
        other.execute("select pg_advisory_unlock(4711)")
        erasing.result()


def test_nothing_that_runs_for_each_chunk_is_compiled(db: psycopg.Connection[Any]) -> None:
    """PostgreSQL compiles the conditions, which name each column many times, for half a second per chunk."""
    settings = (
        "select proname::text, 'jit=off' = any (proconfig) from pg_proc"
        " where pronamespace = 'bcp_internal'::regnamespace and proname in ('erase_chunk', 'sessions_of')"
    )
    assert sorted(db.execute(settings).fetchall()) == [("erase_chunk", True), ("sessions_of", True)]


def test_what_was_dropped_meanwhile_is_no_syntax_error(db: psycopg.Connection[Any]) -> None:
    """A regclass of a table that is gone prints a number."""
    db.execute("select bcp_internal.renew_statistics('_timescaledb_internal', '_hyper_2_4711_chunk')")
    for call in (
        "erase_relation(4711::regclass, 'error_logs', '{jane}', '{}')",
        "mask_rows(4711::regclass, 'true', null, true)",
    ):
        with pytest.raises(psycopg.errors.UndefinedTable), db.transaction():
            db.execute(f"select bcp_internal.{call}")  # type: ignore[arg-type]


@pytest.mark.parametrize("step", ["erase_tables", "refreshes", "erase_aggregate", "compress_again"])
def test_an_erasure_that_was_interrupted_goes_on(store: psycopg.Connection[Any], step: str) -> None:
    stored = stored_as(store, JANE)
    [(definition, signature)] = store.execute(
        "select pg_get_functiondef(oid), oid::regprocedure::text from pg_proc"
        " where pronamespace = 'bcp_internal'::regnamespace and proname = %s",
        [step],
    ).fetchall()
    # Breaks in the middle: of the chunks where it is a step of each.
    body = definition[: definition.index("AS $")]
    broken = body.replace("LANGUAGE sql", "LANGUAGE plpgsql").replace(" STABLE", "")
    store.execute(
        f"{broken} as $$ begin if exists (select from bcp.erasures where counts ? 'performance_metrics')"
        " or exists (select from bcp.erasures where counts -> 'error_logs' ->> 'deleted' = '4')"
        " then raise exception 'the power failed'; end if;"
        f"{' return;' if 'TABLE' in body else ''}"
        f"{' return 0;' if 'RETURNS bigint' in body else ''} end $$"
    )
    with pytest.raises(psycopg.Error, match="the power failed"):
        upkeep.erase_user(store, JANE)
    [(before,)] = store.execute("select completed_at from bcp.erasures").fetchall()
    assert before is None
    assert signature
    store.execute(definition)

    upkeep.erase_user(store, stored)

    assert mentions(store, stored) == []
    [receipt] = rows(store, "select * from bcp.erasures")
    assert receipt["completed_at"] is not None
    assert receipt["counts"]["tool_usage_logs"]["deleted"] == 4 * len(DAYS)
    assert receipt["counts"]["error_logs"]["deleted"] == 2 * len(DAYS)
    for aggregate in RAW:
        materialized, raw = from_raw(store, aggregate, DAYS[0] - timedelta(days=1))
        assert materialized == raw, aggregate


def test_archives_are_told_and_complete_the_receipt(store: psycopg.Connection[Any]) -> None:
    stored = stored_as(store, JANE)
    ids = {}
    for n, state in enumerate(("writing", "verified", "dropped", "restored", "replaced")):
        [(ids[state],)] = store.execute(
            "insert into bcp.archives (table_name, range_start, range_end, state, location, columns,"
            " schema_version, row_count, checksum, digest, bytes, started_at, verified_at)"
            " values ('tool_usage_logs', %s, %s, %s, 'file:///a', '[]', '0011', 1, repeat('0', 16),"
            " repeat('0', 64), 1, now(), now())"
            " returning archive_id",
            [NOW - timedelta(days=200 + n), NOW - timedelta(days=199 + n), state],
        ).fetchall()
    upkeep.erase_user(store, JANE)
    pending = rows(store, "select * from bcp_internal.pending_erasures()")
    assert {row["archive_id"] for row in pending} == {ids["verified"], ids["dropped"], ids["restored"]}
    assert all(stored in row["forms"] and JANE in row["forms"] for row in pending)
    # Of each day one session of her calls.
    assert all(len(row["session_ids"]) == len(DAYS) for row in pending)
    [receipt] = rows(store, "select * from bcp.erasures")
    # One that is being written may have been read before.
    assert (receipt["archives_pending"], receipt["completed_at"]) == (4, None)
    assert receipt["erased_at"] is not None
    store.execute("update bcp.archives set state = 'verified' where archive_id = %s", [ids["writing"]])
    for left, state in ((3, "writing"), (2, "verified"), (1, "dropped"), (0, "restored")):
        [(found,)] = store.execute(
            "select bcp_internal.archive_erased(%s, %s)", [receipt["erasure_id"], ids[state]]
        ).fetchall()
        assert found == left
    [receipt] = rows(store, "select * from bcp.erasures")
    assert (receipt["archives_pending"], receipt["archives_rewritten"]) == (0, 4)
    assert receipt["completed_at"] is not None
    assert mentions(store, stored, JANE) == []


def test_somebody_unknown_gets_a_receipt_of_nothing(clean_db: psycopg.Connection[Any]) -> None:
    ingest(clean_db, [usage(user_id="bob")])
    upkeep.erase_user(clean_db, JANE)
    [receipt] = rows(clean_db, "select counts, completed_at from bcp.erasures")
    assert receipt["counts"] == {}
    assert receipt["completed_at"] is not None


@pytest.mark.parametrize("user_id", ["", " ", "[REDACTED]", "x" * 501])
def test_an_id_of_nobody_is_refused(clean_db: psycopg.Connection[Any], user_id: str) -> None:
    with pytest.raises(InvalidArgument):
        upkeep.erase_user(clean_db, user_id)
    assert rows(clean_db, "select * from bcp.erasures") == []


def test_only_the_owner_erases(clean_db: psycopg.Connection[Any]) -> None:
    for procedure in ("bcp.erase_user(text,text)", "bcp.anonymize_history(interval,text,boolean)"):
        assert (
            clean_db.execute(
                "select name from unnest(array['bcp_reader', 'bcp_writer', 'bcp_admin']) as name"
                " where has_function_privilege(name, %s, 'execute')",
                [procedure],
            ).fetchall()
            == []
        )
    assert clean_db.execute(
        "select name from unnest(array['bcp_reader', 'bcp_writer', 'bcp_admin']) as name"
        " where has_function_privilege(name, 'bcp.find_erasure(text)', 'execute')"
    ).fetchall() == [("bcp_admin",)]
    for table in ("erasure_subjects", "erasure_work", "erasure_archives"):
        assert (
            clean_db.execute(
                "select name from unnest(array['bcp_reader', 'bcp_writer', 'bcp_admin']) as name"
                " where has_table_privilege(name, %s, 'select')",
                [f"bcp_internal.{table}"],
            ).fetchall()
            == []
        )


def test_a_day_of_which_a_part_was_dropped_keeps_that_part(clean_db: psycopg.Connection[Any]) -> None:
    clean_db.execute("update bcp.settings set value = '6 hours' where name = 'chunk_interval'")
    clean_db.execute("select bcp.apply_policies()")
    day = (NOW - timedelta(days=95)).replace(hour=0)
    calls = [
        usage(start_time=(day + timedelta(hours=hour)).isoformat(), user_id=who, session_id=f"s-{who}")
        for hour in (1, 2, 13, 14)
        for who in ("jane.roe", "bob", "carol")
    ]
    assert ingest(clean_db, calls)[1] == 12
    refresh_all(clean_db)
    clean_db.execute(
        "select public.drop_chunks('bcp.tool_usage_logs', older_than => %s)", [day + timedelta(hours=6)]
    )
    upkeep.erase_user(clean_db, "jane.roe")
    # The morning's calls were dropped, and in totals; of the afternoon's hers are in none.
    for aggregate in ("tool_usage_1m", "tool_usage_1h", "tool_usage_1d"):
        found = clean_db.execute(
            f"select sum(calls) filter (where bucket < %s)::int, sum(calls)::int from bcp.{aggregate}",
            [day + timedelta(hours=12)],
        ).fetchall()
        assert found == [(10 if aggregate == "tool_usage_1d" else 6, 10)], aggregate
    for aggregate, column in (
        ("user_usage_1d", "user_id"),
        ("user_activity_1d", "user_id"),
        ("user_totals_1d", "user_id"),
        ("session_activity_1d", "session_id"),
    ):
        found = clean_db.execute(
            f"select {column}, sum(calls)::int from bcp.{aggregate} group by 1 order by 1"  # type: ignore[arg-type]
        ).fetchall()
        prefix = "s-" if column == "session_id" else ""
        assert found == [(f"{prefix}bob", 4), (f"{prefix}carol", 4)]
