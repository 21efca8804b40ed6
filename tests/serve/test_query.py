"""Every question by HTTP answers what Python answers, and says what is wrong with what it is asked."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx2
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from schemathesis import openapi

from bcp_analytics import ingest_errors, ingest_tool_usage
from bcp_analytics._render import tables
from bcp_analytics.queries._questions import QUESTIONS
from bcp_analytics.serve._openapi import description
from tests.serve.conftest import ROLES, Running, make_token, serving
from tests.sql.events import something_to_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.targets import Target

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
PATHS = {
    "search_errors": "?query=broke",
    "session_timeline": "?session_id=s1",
    "search_parameters": "?contains={}",
}


@pytest.fixture(scope="module")
def asked(_server: Target) -> Iterator[Running]:
    """Give a server on a store of which every question has something to tell, for the module to ask."""
    with _server.clean() as dsn:
        pinned = psycopg.conninfo.make_conninfo(dsn, options=f"-c bcp.now={NOW.isoformat()}")
        with psycopg.connect(pinned, autocommit=True) as conn:
            events = something_to_answer(NOW - timedelta(hours=1))
            ingest_tool_usage(conn, events["tool_usage"])
            ingest_errors(conn, events["errors"])
            calls = [
                {
                    "bcp_name": "mail",
                    "tool_name": "send",
                    "event_id": f"call {n}",
                    "parameters": {"text": '=1+1,"x"\n\u0007'},
                    "start_time": (NOW - timedelta(hours=2, seconds=n // 4)).isoformat(),
                    "user_id": "u1",
                    "success": n % 3 > 0,
                    "error_message": None if n % 3 else "=cmd",
                }
                for n in range(23)
            ]
            ingest_tool_usage(conn, calls)
        tokens = {role: make_token(pinned, role, role) for role in ROLES}
        with serving(pinned) as running:
            running.tokens = tokens
            yield running


@pytest.mark.parametrize("name", list(QUESTIONS))
def test_a_question_answers_what_python_answers(asked: Running, name: str) -> None:
    path = PATHS.get(name, "")
    answer = asked.send("GET", f"/v1/query/{name}{path}", role="reader")
    assert answer.status_code == 200, answer.text
    arguments: dict[str, Any] = {k: v[0] for k, v in parse_qs(path[1:]).items()}
    if name == "search_parameters":
        arguments = {"contains": {}}
    ask, kind = QUESTIONS[name]
    with psycopg.connect(asked.dsn) as conn:
        expected = ask(conn, **arguments)
    # What moves between two questions.
    if name != "health":
        assert answer.text == tables.to_json(expected)
    else:
        assert [row["check_name"] for row in answer.json()] == [row.check_name for row in expected]
    as_csv = asked.send("GET", f"/v1/query/{name}{path or '?'}&format=csv", role="admin")
    assert as_csv.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(io.StringIO(as_csv.text))
    assert header == list(kind.__dataclass_fields__)
    assert len(rows) == len(expected)


def test_arguments_are_those_of_python(asked: Running) -> None:
    def first(path: str) -> dict[str, Any]:
        answer = asked.send("GET", f"/v1/query/{path}", role="reader")
        assert answer.status_code == 200, answer.text
        row: dict[str, Any] = answer.json()[0]
        return row

    usage = "tool_usage_stats?bcp_name=mail&interval=none"
    assert first(f"{usage}&since=3h")["call_count"] == 23
    assert first(f"{usage}&since=2026-06-15T09:00Z&until=2026-06-15T11:00Z")["call_count"] == 23
    assert first(f"{usage}&since=today&failed=true")["call_count"] == 8
    # Empty is not left out: it asks for what names none.
    assert first(f"{usage}&client_name=&release=")["call_count"] == 23
    assert asked.send("GET", f"/v1/query/{usage}&user_id=", role="reader").json() == []
    assert first("latency_percentiles?since=7d&percentiles=0.5,0.99")["percentile"] == 0.5
    assert first("usage_breakdown?by=bcp_name,tool_name&since=1d")["bcp_name"] == "mail"
    assert (
        asked.send("GET", "/v1/query/search_parameters?contains={%22text%22:1}", role="reader").json() == []
    )


def test_pages_follow_one_another_without_a_gap_or_a_double(asked: Running) -> None:
    path = "/v1/query/find_calls?bcp_name=mail&limit=5"
    seen: list[str] = []
    while path:
        answer = asked.send("GET", path, role="reader")
        seen += [row["event_id"] for row in answer.json()]
        link = answer.headers.get("link", "")
        path = link.removeprefix("<").partition(">")[0]
    whole = asked.send("GET", "/v1/query/find_calls?bcp_name=mail", role="reader").json()
    assert seen == [row["event_id"] for row in whole]
    assert len(set(seen)) == 23


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("nothing", 404, "no question"),
        ("find_calls?limit=0", 400, "limit"),
        ("find_calls?limit=x", 400, "limit cannot be read: it is not a whole number."),
        ("find_calls?limit=99999999999", 400, "too large"),
        ("find_calls?after=1", 400, "not a UUID"),
        ("find_calls?since=never", 400, "not a time"),
        ("find_calls?since=999999w", 400, "not a time"),
        ("find_calls?since=1h&since=2h", 400, "twice"),
        ("find_calls?colour=red", 400, "takes no parameter of that name"),
        ("find_calls?failed=yes", 400, "true or false"),
        ("find_calls?outcome=fine", 400, "one of success"),
        ("find_calls?format=xml", 400, "json and csv"),
        ("find_calls?user_id=%00", 400, ""),
        ("find_calls?user_id=%ff%fe", 200, ""),
        ("tool_usage_stats?interval=often", 400, "not an interval"),
        ("tool_usage_stats?time_zone=Mars/Base", 400, ""),
        ("latency_percentiles?percentiles=2", 400, ""),
        ("latency_percentiles?percentiles=a", 400, "list of numbers"),
        ("search_parameters?contains={", 400, "not JSON"),
        ("search_parameters?contains=" + "[" * 5000, 400, "not JSON"),
        ("slow_calls?min_duration_ms=nan", 400, "min_duration_ms"),
    ],
)
def test_what_is_wrong_is_said(asked: Running, path: str, status: int, said: str) -> None:
    answer = asked.send("GET", f"/v1/query/{path}", role="reader")
    assert answer.status_code == status, answer.text
    assert said in answer.text


def test_a_text_that_the_database_cannot_hold_is_said_of_views_too(asked: Running) -> None:
    batch = [{"of": "views", "name": "session", "takes": {"session_id": text}} for text in ("a\0", "\ud800")]
    answer = asked.send("POST", "/v1/batch", role="reader", content=json.dumps(batch))
    assert [json.loads(line)["status"] for line in answer.text.splitlines()] == [400, 400]


def test_a_formula_is_no_formula_in_a_spreadsheet(asked: Running) -> None:
    path = "/v1/query/find_calls?failed=true&format=csv"
    assert ",=cmd," in asked.send("GET", path, role="reader").text
    assert ",'=cmd," in asked.send("GET", f"{path}&spreadsheet=true", role="reader").text


def test_questions_are_for_readers(asked: Running) -> None:
    for path in ("/v1/query", "/v1/query/health", "/metrics"):
        assert asked.send("GET", path).status_code == 401
        assert asked.send("GET", path, role="ingest").status_code == 403
    assert set(asked.send("GET", "/v1/query", role="reader").json()) == set(QUESTIONS)


def test_prometheus_reads_bounded_labels(asked: Running) -> None:
    asked.send("GET", "/v1/query/find_calls?user_id=jane", role="reader")
    asked.send("GET", "/jane", role="reader")
    text = asked.send("GET", "/metrics", role="reader").text
    assert 'bcp_health{check="ledger"} 0.0' in text
    assert 'route="/v1/query/{name}"' in text
    assert "jane" not in text


def _described(running: Running) -> Any:
    document = running.send("GET", "/openapi.json").json()
    return openapi.from_dict(document)


def test_nothing_that_the_description_allows_makes_the_server_fail(asked: Running) -> None:
    """Every operation, with arguments that fit its schema and with such as do not."""
    schema = _described(asked)
    headers = {"Authorization": f"Bearer {asked.tokens['admin']}"}
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=settings().max_examples // 5 or 1,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Any) -> None:
            answer = case.call(base_url=asked.url, headers=headers)
            assert answer.status_code < 500, (case.as_curl_command(), answer.text)

        ask()


def test_the_description_names_every_question_and_column() -> None:
    paths = description()["paths"]
    for name, (_, kind) in QUESTIONS.items():
        content = paths[f"/v1/query/{name}"]["get"]["responses"]["200"]["content"]
        row = content["application/json"]["schema"]["items"]
        assert row["required"] == list(kind.__dataclass_fields__)
    json.dumps(paths)


def test_an_answer_of_too_many_bytes_is_refused_and_says_so(
    asked: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bcp_analytics.serve._query.MOST_BYTES", 8)
    for path in ("query/find_calls", "views/tools?since=1w"):
        answer = asked.send("GET", f"/v1/{path}", role="reader")
        assert answer.status_code == 400, path
        assert "hint" in answer.json()["error"]
        batch = [{"of": path.split("/")[0], "name": path.split("/")[1].partition("?")[0]}]
        answer = asked.send("POST", "/v1/batch", role="reader", json=batch)
        assert json.loads(answer.text)["status"] == 400
    monkeypatch.setattr("bcp_analytics.serve._query.MOST_BYTES", 2**10)
    assert asked.send("GET", "/v1/query/find_calls", role="reader").json()["error"] == {
        "message": "The answer has more than 0 MiB.",
        "hint": "Ask for fewer rows by limit, or for a shorter range.",
    }
    # The connection goes on, and fewer rows are answered.
    answer = asked.send("GET", "/v1/query/find_calls?limit=3", role="reader")
    assert (answer.status_code, len(answer.json())) == (200, 3)


def test_a_batch_that_nobody_waits_for_ends_its_statements_undisturbed(
    asked: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def stays(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As psycopg does, which needs a while to have the database end a statement.
            for _ in range(50):
                await asyncio.sleep(0)
            ended.set()
            raise

    monkeypatch.setattr("bcp_analytics.serve._batch.ask", stays)
    headers = {"authorization": f"Bearer {asked.tokens['reader']}"}
    body = [{"of": "query", "name": "health"}]
    with httpx2.stream("POST", f"{asked.url}/v1/batch", headers=headers, json=body):
        assert begun.wait(10)
    assert ended.wait(10)


def test_a_session_is_as_long_in_the_list_as_in_the_question(asked: Running) -> None:
    with psycopg.connect(asked.dsn, autocommit=True) as conn:
        conn.execute(
            "insert into bcp.user_sessions (session_id, started_at, last_activity, ended_at, client_name)"
            " select 'late', t, t + interval '7 s', t + interval '5 s', 'late'"
            " from (select bcp_internal.now() - interval '1 hour' as t) x"
        )
        [row] = asked.send("GET", "/v1/views/sessions?client_name=late", role="reader").json()
        [stats] = asked.send(
            "GET", "/v1/query/session_stats?client_name=late&interval=none", role="reader"
        ).json()
        conn.execute("delete from bcp.user_sessions where session_id = 'late'")
    # A call came after it said that it ended.
    assert row["duration_ms"] == stats["max_duration_ms"] == 7000
