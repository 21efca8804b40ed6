"""Issues: what makes an error new, ongoing, resolved or regressed, and who says so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.sql.events import NOW, ingest, rows

DAY = "p_since => '2026-06-14 12:00', p_until => '2026-06-15 12:00'"


def error(time: str, message: str = "disk is full", **fields: Any) -> dict[str, Any]:
    return {"level": "error", "message": message, "timestamp": f"2026-06-{time}:00Z"} | fields


def send(conn: psycopg.Connection[Any], *errors: dict[str, Any]) -> None:
    assert ingest(conn, list(errors), "errors")[1] == len(errors)


def at(conn: psycopg.Connection[Any], time: str) -> None:
    conn.execute("select set_config('bcp.now', %s, true)", [f"2026-06-{time}:00Z"])


def issues(conn: psycopg.Connection[Any], arguments: str = DAY) -> list[dict[str, Any]]:
    return rows(conn, f"select * from bcp.error_issues({arguments})")


def fingerprint(conn: psycopg.Connection[Any]) -> str:
    return str(issues(conn)[0]["fingerprint"])


def state(conn: psycopg.Connection[Any]) -> str:
    [row] = issues(conn)
    return str(row["state"])


def test_an_issue_has_its_counts_its_trend_and_a_sample(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        error("10T10:00", "disk 1 is full", error_type=None, level="fatal"),
        error("14T11:00", "disk 2 is full"),
        error("14T12:00", "disk 3 is full", bcp_name="files", tool_name="write"),
        error("15T11:59", "disk 4 is full", bcp_name="files", tool_name="write"),
        error("15T10:00", "no route", error_type="OSError"),
    )
    found = issues(conn)
    assert [(i["message"], i["error_count"], i["previous_count"], i["change"]) for i in found] == [
        ("disk 4 is full", 2, 1, 1.0),
        ("no route", 1, 0, None),
    ]
    first = found[0]
    assert (first["state"], first["level"], first["total_count"]) == ("ongoing", "fatal", 4)
    assert (first["bcp_name"], first["tool_name"]) == ("files", "write")
    assert first["first_seen"] == datetime(2026, 6, 10, 10, tzinfo=UTC)
    assert first["last_seen"] == datetime(2026, 6, 15, 11, 59, tzinfo=UTC)
    assert (first["resolved_at"], first["notes"]) == (None, None)
    assert found[1]["state"] == "new"


@pytest.mark.parametrize(
    ("filters", "messages"),
    [
        ("p_state => 'new'", ["no route"]),
        ("p_state => 'resolved'", []),
        ("p_level => 'warn'", ["no route"]),
        ("p_bcp_name => 'files'", ["disk 2 is full"]),
        ("p_tool_name => '''; drop table --'", []),
        ("p_limit => 1", ["disk 2 is full"]),
        ("p_since => '2030-01-01', p_until => '2031-01-01'", []),
        ("p_since => '2026-06-15', p_until => '2026-06-15'", []),
        ("p_until => '2026-06-15 11:00'", ["disk 2 is full"]),
    ],
)
def test_filters(conn: psycopg.Connection[Any], filters: str, messages: list[str]) -> None:
    send(
        conn,
        error("10T10:00", "disk 1 is full"),
        error("15T10:00", "disk 1 is full", bcp_name="files"),
        error("15T10:30", "disk 2 is full", bcp_name="files"),
        error("15T11:00", "no route", level="warn"),
    )
    assert [i["message"] for i in issues(conn, filters)] == messages


def test_resolved_stays_so_until_an_error_comes_after_it(conn: psycopg.Connection[Any]) -> None:
    at(conn, "15T10:00")
    send(conn, error("15T09:00"))
    issue = fingerprint(conn)
    [row] = rows(conn, "select bcp.resolve_issue(%s, 'asked ada@example.com') as at", [issue])
    assert row["at"] == datetime(2026, 6, 15, 10, tzinfo=UTC)
    at(conn, "15T12:00")
    send(conn, error("15T09:30"), error("15T10:00"))  # happened before, and came late
    [found] = issues(conn)
    assert (found["state"], found["resolved_at"]) == ("resolved", row["at"])
    assert found["resolved_by"] == "postgres"
    assert "ada" not in found["notes"]
    assert found["notes"].startswith("asked email#")
    send(conn, error("15T10:01"))
    assert state(conn) == "regressed"
    assert [i["state"] for i in issues(conn, f"{DAY}, p_state => 'regressed'")] == ["regressed"]
    at(conn, "15T12:30")
    conn.execute("select bcp.resolve_issue(%s)", [issue])
    assert state(conn) == "resolved"


def test_reopened_is_new_or_ongoing_again(conn: psycopg.Connection[Any]) -> None:
    send(conn, error("15T09:00"))
    issue = fingerprint(conn)
    conn.execute("select bcp.resolve_issue(%s)", [issue])
    conn.execute("select bcp.reopen_issue(%s, 'not yet')", [issue])
    [found] = issues(conn)
    assert (found["state"], found["notes"]) == ("new", "not yet")
    assert (found["resolved_at"], found["resolved_by"], found["resolved_release"]) == (None, None, None)
    assert [r["action"] for r in rows(conn, "select action from bcp.issue_actions order by action_id")] == [
        "resolved",
        "reopened",
    ]


@pytest.mark.parametrize(
    ("fixed", "release", "expected"),
    [
        ("1.10", "1.10", "regressed"),
        ("1.10", "v1.11.0", "regressed"),
        ("1.10", "1.9.9", "resolved"),
        ("1.10", None, "resolved"),
        ("2.0.0", "2.0.0-rc1", "resolved"),
        ("2.0.0-rc1", "2.0", "regressed"),
        ("1.0", "1+build.7", "regressed"),
        # Names have no order: what failed before the fix is an earlier one.
        ("9f3e1c7a", "9f3e1c7a", "regressed"),
        ("9f3e1c7a", "b11d00f2", "regressed"),
        ("9f3e1c7a", "before", "resolved"),
        (None, "0.1", "regressed"),
        (None, None, "regressed"),
    ],
)
def test_only_the_fixed_release_or_a_later_one_regresses(
    conn: psycopg.Connection[Any], fixed: str | None, release: str | None, expected: str
) -> None:
    at(conn, "15T10:00")
    send(conn, error("15T09:00", release="before"))
    conn.execute("select bcp.resolve_issue(%s, p_release => %s)", [fingerprint(conn), fixed])
    at(conn, "15T12:00")
    send(conn, error("15T11:00", release=release))
    assert state(conn) == expected


def test_states_survive_the_columnstore_and_the_aggregates(clean_db: psycopg.Connection[Any]) -> None:
    clean_db.execute("select set_config('bcp.now', '2026-06-10T12:00:00Z', false)")
    send(clean_db, error("10T10:00", release="1.0"), error("10T10:00", "no route"))
    clean_db.execute("select bcp.resolve_issue(fingerprint, p_release => '1.1') from bcp.error_issues")
    clean_db.execute("select set_config('bcp.now', %s, false)", [NOW])
    send(clean_db, error("12T10:00", release="1.0"), error("12T10:00", "no route", release="1.2"))
    clean_db.execute("call bcp.refresh_analytics_views()")
    clean_db.execute("select public.compress_chunk(c) from public.show_chunks('bcp.error_logs') c")
    found = issues(clean_db, "p_since => '2026-06-11'")
    assert {i["message"]: (i["state"], i["error_count"], i["previous_count"]) for i in found} == {
        "disk is full": ("resolved", 1, 1),
        "no route": ("regressed", 1, 1),
    }


@pytest.mark.parametrize(
    "call", ["resolve_issue('none such')", "reopen_issue('none such')", "resolve_issue(null)"]
)
def test_an_issue_that_is_not_there(db: psycopg.Connection[Any], call: str) -> None:
    with pytest.raises(psycopg.Error, match="no issue") as caught:
        db.execute(f"select bcp.{call}")
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("p_state => 'open'", "p_state is none of new, ongoing, regressed, resolved"),
        ("p_limit => 0", "p_limit is not from 1 to 10000"),
        ("p_since => '-infinity'", "the range has no end"),
        ("p_since => '0900-01-01'", "the start of the period before is not within the years 1 to 9999"),
        ("p_since => '2026-02-01', p_until => '2026-01-01'", "is after"),
    ],
)
def test_a_wrong_argument_is_named(db: psycopg.Connection[Any], arguments: str, message: str) -> None:
    with pytest.raises(psycopg.Error, match=message) as caught:
        db.execute(f"select * from bcp.error_issues({arguments})")
    assert caught.value.sqlstate == "ZB002"
    assert caught.value.diag.message_hint


def test_one_issue_has_the_row_that_it_has_among_all(conn: psycopg.Connection[Any]) -> None:
    send(
        conn,
        error("14T11:00", error_type="OSError"),
        error("15T10:00", error_type="OSError"),
        error("15T10:00", "no route", error_type="Unreachable"),
    )
    every = issues(conn)
    assert len(every) == 2
    for issue in every:
        assert issues(conn, f"{DAY}, p_fingerprint => '{issue['fingerprint']}'") == [issue]
    assert issues(conn, f"{DAY}, p_fingerprint => 'none such'") == []
