"""Finding single calls and errors: slow ones, failed ones, and what they say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.sql.events import NOW, ingest, rows, usage

RANGE = "p_since => '2026-06-15', p_until => '2026-06-15 12:00'"
CALLS: list[dict[str, Any]] = [
    {"tool_name": "read", "duration_ms": 7000, "success": True, "parameters": {"path": "/etc/hosts"}},
    {
        "tool_name": "read",
        "duration_ms": 5000,
        "success": False,
        "parameters": {"path": "/a", "n": [1, 2]},
    },
    {"tool_name": "write", "duration_ms": 9000, "success": False, "outcome": "timeout", "user_id": "u1"},
    {"tool_name": "write", "success": None, "parameters": ["a", {"n": 3}]},
    {
        "tool_name": "'; drop table --",
        "duration_ms": 10,
        "success": False,
        "client_name": "cli",
        "session_id": "s",
    },
]
ERRORS: list[dict[str, Any]] = [
    {"message": "connection to db1 refused", "error_type": "OSError"},
    {"message": "the connection was refused, connection refused again", "level": "fatal", "user_id": "u1"},
    {"message": "refused: no connection", "tool_name": "read_file", "error_code": "E17"},
    {"message": "disk is full", "error_type": "TimeoutError", "bcp_name": "files", "session_id": "s"},
]


def minute(number: int) -> str:
    return f"2026-06-15T11:{number:02}:00Z"


def send(conn: psycopg.Connection[Any]) -> None:
    ingest(conn, [usage(start_time=minute(n)) | call for n, call in enumerate(CALLS)])
    ingest(conn, [{"level": "error", "timestamp": minute(n)} | e for n, e in enumerate(ERRORS)], "errors")


@pytest.fixture(params=["rowstore", "columnstore"])
def store(clean_db: psycopg.Connection[Any], request: pytest.FixtureRequest) -> psycopg.Connection[Any]:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    send(clean_db)
    if request.param == "columnstore":
        for table in ("tool_usage_logs", "error_logs"):
            chunks = clean_db.execute(
                f"select public.compress_chunk(c) from public.show_chunks('bcp.{table}') c"
            )
            assert len(chunks.fetchall()) == 1
    return clean_db


def numbers(conn: psycopg.Connection[Any], question: str, column: str = "start_time") -> list[int]:
    return [r[column].minute for r in rows(conn, f"select * from bcp.{question}")]


def test_an_error_is_found_by_the_words_of_its_type(store: psycopg.Connection[Any]) -> None:
    for query in ("timeout", "timeouterror", "error timeout"):
        assert numbers(store, f"search_errors('{query}', {RANGE})", "happened_at") == [3], query


def test_everything_is_found_in_the_rowstore_and_in_the_columnstore(store: psycopg.Connection[Any]) -> None:
    for question, expected in (
        (f"slow_calls({RANGE})", [2, 0, 1]),
        (f"slow_calls({RANGE}, p_min_duration_ms => 0)", [2, 0, 1, 4]),
        (f"slow_calls({RANGE}, p_min_duration_ms => 5000.001, p_limit => 1)", [2]),
        (f"slow_calls({RANGE}, p_outcome => 'success')", [0]),
        (f"failed_calls({RANGE})", [4, 2, 1]),
        (f"failed_calls({RANGE}, p_limit => 2)", [4, 2]),
        (f"failed_calls({RANGE}, p_outcome => 'timeout')", [2]),
        (f"failed_calls({RANGE}, p_user_id => 'u1')", [2]),
        (f"failed_calls({RANGE}, p_client_name => 'cli', p_session_id => 's')", [4]),
        (f"failed_calls({RANGE}, p_tool_name => '''; drop table --')", [4]),
        (f"failed_calls({RANGE}, p_bcp_name => 'mail')", []),
        (f"failed_calls({RANGE}, p_operation => 'call', p_tool_name => 'write')", [2]),
        (f"find_calls({RANGE})", [4, 3, 2, 1, 0]),
        (f"find_calls({RANGE}, p_user_id => 'u1')", [2]),
        (f"find_calls({RANGE}, p_failed => true, p_limit => 2)", [4, 2]),
        (f"find_calls({RANGE}, p_failed => false)", [3, 0]),
        (f"slow_calls({RANGE}, p_failed => false)", [0]),
        (f"search_parameters({RANGE}, p_failed => true)", [4, 2, 1]),
        (f"search_parameters({RANGE})", [4, 3, 2, 1, 0]),
        (f"""search_parameters('{{"path": "/etc/hosts"}}', {RANGE})""", [0]),
        (f"""search_parameters('{{"n": [2]}}', {RANGE})""", [1]),
        (f"""search_parameters('{{"n": [2]}}', '$.n[*] ? (@ > 2)', {RANGE})""", []),
        (f"""search_parameters('["a"]', {RANGE})""", [3]),
        (f"search_parameters(null, '$.path', {RANGE})", [1, 0]),
        (f"""search_parameters(null, '$.path starts with "/etc"', {RANGE})""", [0]),
        (f"""search_parameters(null, 'strict $.n[0] == 1', {RANGE})""", [1]),
        (f"search_parameters(null, '$[*].n ? (@ == 3)', {RANGE}, p_tool_name => 'write')", [3]),
        (f"search_parameters(null, '$.n', {RANGE}, p_outcome => 'success')", []),
    ):
        assert numbers(store, question) == expected, question
    for question, expected in (
        (f"search_errors(null, {RANGE})", [3, 2, 1, 0]),
        (f"search_errors('connections refusing', {RANGE})", [1, 2, 0]),
        (f"""search_errors('"connection refused"', {RANGE})""", [1]),
        (f"search_errors('connection -db1', {RANGE}, p_level => 'error')", [2]),
        (f"search_errors('disk or e17', {RANGE})", [3, 2]),
        (f"search_errors('timeouterror', {RANGE})", [3]),
        (f"search_errors('read file', {RANGE})", [2]),
        (f"search_errors('refused', {RANGE}, p_user_id => 'u1')", [1]),
        (f"search_errors(null, {RANGE}, p_session_id => 's', p_bcp_name => 'files')", [3]),
        (f"search_errors(null, {RANGE}, p_tool_name => 'read_file')", [2]),
        (f"search_errors('''; drop table --', {RANGE})", []),
        (f"search_errors('refused', {RANGE}, p_limit => 1)", [1]),
    ):
        assert numbers(store, question, "happened_at") == expected, question


def test_what_a_row_says(conn: psycopg.Connection[Any]) -> None:
    send(conn)
    [slow] = rows(conn, f"select * from bcp.slow_calls({RANGE}, p_limit => 1)")
    assert (slow["duration_ms"], slow["tool_name"], slow["outcome"]) == (9000, "write", "timeout")
    [failed] = rows(conn, f"select * from bcp.failed_calls({RANGE}, p_tool_name => 'read')")
    assert failed["parameters"] == {"path": "/a", "n": [1, 2]}
    [error] = rows(conn, f"select * from bcp.search_errors('disk', {RANGE})")
    assert error["headline"] == "**disk** is full"
    assert error["rank"] > 0
    assert error["fingerprint"] in {r["fingerprint"] for r in rows(conn, "select * from bcp.error_issues")}
    [any_error, *_] = rows(conn, f"select * from bcp.search_errors(null, {RANGE})")
    assert (any_error["headline"], any_error["rank"]) == (None, 0)


def test_ranges(conn: psycopg.Connection[Any]) -> None:
    send(conn)
    for question in (
        "slow_calls(",
        "failed_calls(",
        "search_parameters(null, null, ",
        "search_errors(null, ",
    ):
        for since, until in (
            ("2026-06-15 11:00", "2026-06-15 11:00"),
            ("2030-01-01", "2031-01-01"),
            ("2026-06-15 11:05", "infinity"),
            ("-infinity", "2026-06-15 11:00"),
        ):
            assert rows(conn, f"select from bcp.{question}'{since}', '{until}')") == [], question
        assert rows(conn, f"select from bcp.{question}'2026-06-15 11:01', '2026-06-15 11:03')"), question
        with pytest.raises(psycopg.Error, match="is after") as caught, conn.transaction():
            conn.execute(f"select * from bcp.{question}'2026-02-01', '2026-01-01')")
        assert caught.value.sqlstate == "ZB002"


@pytest.mark.parametrize("question", ["failed_calls(", "search_parameters(null, null, "])
def test_the_latest_come_first_however_long_the_range(
    clean_db: psycopg.Connection[Any], question: str
) -> None:
    until = datetime.fromisoformat("2026-06-15T11:00Z")
    # Where one span ends and the next begins, and a microsecond before.
    ends = [until - timedelta(days=days) for days in (0, 1, 4, 16, 64, 100)]
    times = [end - timedelta(microseconds=before) for end in ends for before in (0, 1)][1:]
    calls = [usage(start_time=time.isoformat(), success=False) for time in times]
    ingest(clean_db, calls + calls[3:5])
    expected = sorted([*times, *times[3:5]], reverse=True)
    for since in ("-infinity", times[-1].isoformat()):
        for end in (until.isoformat(), "infinity"):
            for limit in range(1, len(expected) + 2):
                found = rows(clean_db, f"select * from bcp.{question}'{since}', '{end}', p_limit => {limit})")
                assert [call["start_time"] for call in found] == expected[:limit]
    with clean_db.transaction():
        rows(clean_db, f"select * from bcp.{question}'-infinity', '{until.isoformat()}', p_limit => 1)")
        planned = rows(
            clean_db,
            "select range_start::date::text as day from timescaledb_information.chunks"
            " where hypertable_name = 'tool_usage_logs'"
            " and format('%I.%I', chunk_schema, chunk_name)::regclass in (select relation from pg_locks)"
            " order by 1",
        )
    assert [chunk["day"] for chunk in planned] == ["2026-06-14", "2026-06-15"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("slow_calls(p_min_duration_ms => -1)", "p_min_duration_ms is not 0 or more"),
        ("slow_calls(p_min_duration_ms => null)", "p_min_duration_ms is not 0 or more"),
        ("slow_calls(p_min_duration_ms => 'NaN')", "p_min_duration_ms is not 0 or more"),
        ("slow_calls(p_outcome => 'failed')", "p_outcome is none of success, soft_fail"),
        ("failed_calls(p_outcome => '')", "p_outcome is none of"),
        ("failed_calls(p_limit => null)", "p_limit is not from 1 to 10000"),
        ("failed_calls(p_limit => 10001)", "p_limit is not from 1 to 10000"),
        ("search_parameters(p_path => '$.')", "p_path is not a JSON path"),
        ("search_parameters(p_path => '')", "p_path is not a JSON path"),
        ("search_parameters(p_path => '$ ? (@ like_regex \"(\")')", "p_path is not a JSON path"),
        ("search_errors('')", "no word to search for"),
        ("search_errors('the')", "no word to search for"),
    ],
)
def test_a_wrong_argument_is_named(db: psycopg.Connection[Any], call: str, message: str) -> None:
    with pytest.raises(psycopg.Error, match=message) as caught:
        db.execute(f"select * from bcp.{call}")  # type: ignore[arg-type]
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


def plans(conn: psycopg.Connection[Any], question: str) -> str:
    """The plans of what a question asks inside; the test that calls it holds that there are any."""
    notices: list[str] = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    conn.execute("load 'auto_explain'")
    conn.execute("set auto_explain.log_min_duration = 0")
    conn.execute("set auto_explain.log_nested_statements = on")
    conn.execute("set client_min_messages = log")
    conn.execute(f"select * from bcp.{question}")
    conn.execute("reset client_min_messages")
    return "\n".join(notices)


@pytest.mark.native("the embedded engine has no auto_explain")
def test_the_indexes_serve(clean_db: psycopg.Connection[Any]) -> None:
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    send(clean_db)
    more = range(500)
    ingest(clean_db, [usage(start_time=minute(10), parameters={"m": n}) for n in more])
    ingest(clean_db, [{"level": "info", "message": f"m{n}", "timestamp": minute(10)} for n in more], "errors")
    clean_db.execute("vacuum analyze bcp.tool_usage_logs, bcp.error_logs")
    for question, index in (
        (f"search_errors('refused', {RANGE})", "error_logs_search_idx"),
        (f"""search_parameters('{{"n": [2]}}', {RANGE})""", "tool_usage_logs_parameters_idx"),
        (f"search_parameters(null, '$.n[*] ? (@ == 2)', {RANGE})", "tool_usage_logs_parameters_idx"),
        (f"search_parameters(null, '$.n == 2', {RANGE})", "tool_usage_logs_parameters_idx"),
        (f"failed_calls({RANGE})", "tool_usage_logs_failed_idx"),
    ):
        assert index in plans(clean_db, question), question


def test_an_event_is_found_by_the_id_that_its_sender_gave(store: psycopg.Connection[Any]) -> None:
    key = "0190c2ee-0000-7000-8000-00000000ABCD"
    given = ["call_17", 17, key, "' or true --"]
    ingest(store, [usage(event_id=g, start_time="2026-05-01T10:00:00Z") for g in given])
    listing = {"operation": "tools/list", "tool_name": "tools/list", "start_time": "2026-06-15T12:09:00Z"}
    ingest(store, [usage(event_id="list", **listing)])
    ingest(store, [{"level": "error", "message": "it broke", "event_id": "e 1"}
                   | {"timestamp": "2026-05-01T10:00:00Z"}], "errors")  # fmt: skip
    for event_id in [*map(str, given), key.lower().replace("-", "")]:
        [found] = rows(store, "select * from bcp.find_calls(p_event_id => %s)", [event_id])
        assert rows(
            store, "select start_time from bcp.find_calls(p_event_id => %s)", [str(found["event_id"])]
        )
    assert str(found["event_id"]) == key.lower()
    [found] = rows(store, "select * from bcp.find_calls(p_event_id => 'list')")
    assert found["operation"] == "tools/list"
    [error] = rows(store, "select * from bcp.search_errors(p_event_id => 'e 1')")
    assert error["message"] == "it broke"
    for question in (
        "find_calls(p_event_id => 'e 1')",
        "find_calls(p_event_id => '')",
        "find_calls('2026-06-01', p_event_id => 'call_17')",
        "find_calls(p_event_id => 'call_17', p_bcp_name => 'mail')",
        "search_errors(p_event_id => 'call_17')",
    ):
        assert rows(store, f"select from bcp.{question}") == [], question


def test_an_administrator_finds_calls_about_an_address(conn: psycopg.Connection[Any]) -> None:
    about = {"to": "Ada@Example.com", "login": "ada.lovelace", "body": "write to ada@example.com"}
    ingest(conn, [usage(user_id="ada@example.com", parameters=about), usage(user_id="u2")])
    [call] = rows(conn, "select * from bcp.tool_usage_logs where user_id <> 'u2'")
    [hashed] = rows(
        conn,
        "select bcp.hash_of('ada@example.com') as address, bcp.hash_of('ada.lovelace', 'login') as login,"
        " bcp.hash_of('u2') as plain, bcp.hash_of('secret', 'password') as redacted,"
        " bcp.hash_of(null) as none",
    )
    assert hashed == {
        "address": call["user_id"],
        "login": call["parameters"]["login"],
        "plain": "u2",
        "redacted": "[REDACTED]",
        "none": None,
    }
    assert call["user_id"].startswith("email#k")
    conn.execute("create role bcp_test_user; grant bcp_admin to bcp_test_user; set local role bcp_test_user")
    until = "p_until => '2026-06-15 12:00:01'"
    body = "format('$.body like_regex %s', to_json(bcp.hash_of('ada@example.com')))"
    for question in (
        f"find_calls(p_user_id => bcp.hash_of('ada@example.com'), {until})",
        f"search_parameters(jsonb_build_object('to', bcp.hash_of('ada@example.com')), {until})",
        f"search_parameters(p_path => {body}, {until})",
    ):
        assert [r["event_id"] for r in rows(conn, f"select * from bcp.{question}")] == [call["event_id"]]
    # Who may not know the hash learns nothing from a question either.
    conn.execute("reset role; revoke bcp_admin from bcp_test_user; grant bcp_reader to bcp_test_user")
    conn.execute("set local role bcp_test_user")
    assert rows(conn, f"select from bcp.find_calls(p_user_id => 'ada@example.com', {until})") == []
    for code in ("bcp.hash_of('ada@example.com')", "bcp.hash_of('ada', 'login')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), conn.transaction():
            conn.execute(f"select {code}")  # type: ignore[arg-type]


def test_a_list_of_calls_goes_on_where_its_last_page_ended(db: psycopg.Connection[Any]) -> None:
    """Within one time too, and where the end of the range is not the end of a page."""
    ingest(db, [usage(start_time=f"2026-06-15T11:00:0{n // 5}Z", request_id=str(n)) for n in range(20)])
    whole = [
        r["event_id"] for r in rows(db, "select event_id from bcp.find_calls('2026-06-15', '2026-06-16')")
    ]
    found: list[Any] = []
    until, after = "2026-06-16", None
    while True:
        page = rows(
            db, "select * from bcp.find_calls('2026-06-15', %s, p_limit => 3, p_after => %s)", [until, after]
        )
        if not page:
            break
        found += [r["event_id"] for r in page]
        until, after = page[-1]["start_time"], page[-1]["event_id"]
    assert found == whole
    assert len(set(found)) == 20
