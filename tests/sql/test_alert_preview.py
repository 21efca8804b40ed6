"""What a rule would have found is what its evaluation finds, step by step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from bcp_analytics import InvalidArgument, alert_preview, delete_alert_rule, put_alert_rule
from tests.sql.events import ingest, rows, usage
from tests.sql.test_alerts import evaluate, only

Db = psycopg.Connection[Any]
START = datetime(2026, 6, 15, 10, tzinfo=UTC)
STEP = timedelta(minutes=5)

CALLS = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from(["read", "write"]),
        st.booleans(),
        st.sampled_from([10, 4000, 9000]),
        st.integers(1, 6),
    ),
    max_size=12,
)
BURN = {
    "metric": "burn_rate",
    "fires": "above",
    "threshold": 2,
    "clear_threshold": 1.5,
    "objective": 0.8,
    "short_lookback": "5 minutes",
}
RULES = st.sampled_from(
    [
        {"metric": "error_rate", "fires": "above", "threshold": 0.5, "clear_threshold": 0.3},
        {"metric": "success_rate", "fires": "below", "threshold": 0.5, "clear_threshold": 0.8},
        {"metric": "avg_duration_ms", "fires": "above", "threshold": 5000, "clear_threshold": 4500},
        {"metric": "throughput", "fires": "above", "threshold": 0.2, "clear_threshold": 0.1},
        BURN,
    ]
)


def at(conn: Db, time: datetime) -> None:
    conn.execute("select set_config('bcp.now', %s, true)", [time.isoformat()])


# The long window is at its highest when the short one, which has no call, closes the alert.
@example(
    calls=[(0, "read", False, 10, 4), (9, "read", True, 10, 1), (11, "read", False, 10, 1)],
    rule=BURN,
    scope="all",
    minimum=1,
    minutes=5,
    wait=0,
)
@given(
    calls=CALLS,
    rule=RULES,
    scope=st.sampled_from(["all", "bcp", "tool"]),
    minimum=st.integers(1, 4),
    minutes=st.sampled_from([5, 15]),
    wait=st.sampled_from([0, 10]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_preview_is_what_evaluations_find(
    db: Db, calls: list[Any], rule: dict[str, Any], scope: str, minimum: int, minutes: int, wait: int
) -> None:
    with db.transaction(force_rollback=True):
        lookback = f"{minutes if rule['metric'] != 'burn_rate' else 15} minutes"
        changes = rule | {
            "scope": scope,
            "min_calls": minimum,
            "lookback": lookback,
            "for_at_least": f"{wait} minutes",
            "description": "",
        }
        put_alert_rule(db, "drawn", changes)
        only(db, "drawn")
        at(db, START + timedelta(hours=2))
        sent = [
            usage(
                start_time=(START + n * STEP + timedelta(seconds=30)).isoformat(),
                tool_name=tool,
                success=success,
                duration_ms=ms,
            )
            for n, tool, success, ms, times in calls
            for _ in range(times)
        ]
        ingest(db, sent)
        for n in range(1, 20):
            at(db, START + n * STEP)
            evaluate(db)
        wanted = rows(
            db,
            "select bcp_name, tool_name, opened_at, closed_at, worst_value from bcp.alerts"
            " where opened_at is not null order by bcp_name nulls first, tool_name nulls first, opened_at",
        )
        found = alert_preview(db, "drawn", since=START, until=START + 19 * STEP)
        assert [(f.bcp_name, f.tool_name, f.opened_at, f.closed_at) for f in found] == [
            (w["bcp_name"], w["tool_name"], w["opened_at"], w["closed_at"]) for w in wanted
        ]
        for f, w in zip(found, wanted, strict=True):
            assert f.worst_value == pytest.approx(w["worst_value"])
            # All of these calls have an outcome and a duration.
            assert f.call_count == sum(
                times
                for n, tool, _, _, times in calls
                if f.counted_from <= START + n * STEP + timedelta(seconds=30) < f.counted_until
                and f.tool_name in {None, tool}
            )


def test_a_rule_that_is_not_stored_is_looked_at_and_stays_unstored(db: Db) -> None:
    at(db, START + timedelta(hours=2))
    ingest(db, [usage(start_time=START.isoformat(), success=False)] * 3)
    rule = {"metric": "error_rate", "fires": "above", "threshold": 0.5, "lookback": "7 minutes"}
    [found] = alert_preview(db, "new", changes=rule)
    assert (found.tool_name, found.worst_value, found.call_count) == ("read", 1, 3)
    assert (found.opened_at, found.closed_at) == (START + timedelta(minutes=1), START + timedelta(minutes=8))
    assert (found.counted_from, found.counted_until) == (
        START - timedelta(minutes=6),
        START + timedelta(minutes=1),
    )
    assert rows(db, "select from bcp.alert_rules where rule_name = 'new'") == []
    assert alert_preview(db, "new", changes=rule | {"tool_name": "write"}) == []


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("new", {}, "lacks a value"),
        ("", {"threshold": 1}, "1 to 200 characters"),
        ("slow", {"color": 1}, "no column"),
        ("slow", {"last_error": "x"}, "no column"),
        ("slow", {"threshold": "much"}, "type"),
        ("slow", {"lookback": "60 days"}, "31 days"),
        ("slow", [], "an object"),
    ],
)
def test_what_is_no_rule_is_refused(db: Db, name: str, changes: Any, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        alert_preview(db, name, changes=changes)
    assert caught.value.hint


def test_a_rule_is_put_changed_and_deleted(db: Db) -> None:
    put_alert_rule(db, "mine", {"metric": "throughput", "fires": "below", "threshold": 1})
    put_alert_rule(db, "mine", {"severity": "critical"})
    [row] = rows(
        db, "select severity, threshold, clear_threshold from bcp.alert_rules where rule_name = 'mine'"
    )
    assert row == {"severity": "critical", "threshold": 1, "clear_threshold": 1}
    for bad in ({"clear_threshold": 0}, {"metric": "luck"}, {"objective": 0.5}, {"scope": "world"}):
        with pytest.raises(InvalidArgument, match="the rule cannot be"), db.transaction():
            put_alert_rule(db, "mine", bad)
    assert delete_alert_rule(db, "mine")
    assert not delete_alert_rule(db, "mine")
    assert db.execute("select bcp_internal.changed_rule('slow', %s)", [Jsonb({})]).fetchone() is not None
