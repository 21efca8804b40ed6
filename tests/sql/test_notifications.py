"""From alerts to messages: what is gathered into one, when it is due, what holds it back, when it fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from bcp_analytics import (
    alter_notification_channel,
    notification_history,
    snooze_alert,
    snooze_alert_rule,
)
from bcp_analytics import test_notification_channel as send_test
from tests.sql.events import ingest, rows, usage
from tests.sql.notifying import MONDAY, at, break_tools, channel, claim, events, record, watch_bundles
from tests.sql.test_alerts import evaluate, only

Db = psycopg.Connection[Any]


@pytest.fixture
def conn(db: Db) -> Db:
    """Give a store with one rule, of tools, at noon on a Monday."""
    at(db, "12:00")
    only(db, "low_success", lookback="1 minute", min_calls=1)
    return db


def test_an_alert_is_told_when_it_opens_and_when_it_closes(conn: Db) -> None:
    channel(conn, cooldown="0")
    assert claim(conn) == []
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    evaluate(conn)
    [told] = claim(conn)
    assert events(told) == [("opened", "read")]
    assert told["payload"] | {"alerts": None} == {
        "rule_name": "low_success",
        "severity": "warning",
        "description": "Fewer than 95 percent of a tool's calls succeed.",
        "total": 1,
        "alerts": None,
    }
    assert told["payload"]["alerts"][0]["value"] == 0
    assert record(conn, told) == "delivered"
    at(conn, "12:05")
    evaluate(conn)
    [told] = claim(conn)
    assert events(told) == [("closed", "read")]
    assert record(conn, told) == "delivered"
    assert claim(conn) == []
    [after, before] = notification_history(conn)
    assert (before.channel_name, before.rule_name, before.attempt, before.status, before.error) == (
        *("hook", "low_success", 1, "delivered", None),
    )
    assert after.delivery_id == told["delivery_id"]


def test_what_is_told_stands_and_falls_with_the_transaction(clean_db: Db) -> None:
    at(clean_db, "12:00")
    only(clean_db, "low_success", lookback="1 minute", min_calls=1)
    channel(clean_db)
    break_tools(clean_db, "11:59", "read")
    clean_db.execute("listen bcp_notifications")
    with clean_db.transaction(force_rollback=True):
        assert evaluate(clean_db) == 1
        assert len(rows(clean_db, "select from bcp_internal.notification_outbox")) == 1
    assert rows(clean_db, "select from bcp_internal.notification_outbox") == []
    evaluate(clean_db)
    assert len(rows(clean_db, "select from bcp_internal.notification_outbox")) == 1
    assert [n.channel for n in clean_db.notifies(timeout=10, stop_after=1)] == ["bcp_notifications"]


def test_alerts_of_a_rule_are_one_message_and_the_next_waits(conn: Db) -> None:
    channel(conn, cooldown="10 minutes")
    break_tools(conn, "11:59", "a", "b", "c")
    evaluate(conn)
    [told] = claim(conn, lease="1 hour")
    assert sorted(events(told)) == [("opened", tool) for tool in "abc"]
    # Not delivered yet: what comes is gathered behind it, in order.
    at(conn, "12:01")
    break_tools(conn, "12:00", "d")
    evaluate(conn)
    assert claim(conn) == []
    record(conn, told)
    assert claim(conn) == []
    at(conn, "12:10")
    [told] = claim(conn)
    assert sorted(events(told)) == [("closed", tool) for tool in "abc"] + [("opened", "d")]


def test_rules_and_channels_do_not_wait_for_each_other(conn: Db) -> None:
    watch_bundles(conn)
    channel(conn, "all")
    channel(conn, "critical", min_severity="critical")
    channel(conn, "tools", rule_names=["low_success"])
    channel(conn, "off")
    alter_notification_channel(conn, "off", enabled=False)
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    told = {(c["channel_name"], c["payload"]["rule_name"]) for c in claim(conn)}
    assert told == {
        *(("all", "errors"), ("all", "low_success"), ("critical", "errors"), ("tools", "low_success")),
    }
    alter_notification_channel(conn, "off", enabled=True)
    assert claim(conn) == []


def test_a_channel_hears_no_end_of_what_it_was_not_told(conn: Db) -> None:
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    at(conn, "12:01")
    channel(conn)
    channel(conn, "opened only", tell_closed=False)
    at(conn, "12:05")
    evaluate(conn)
    assert claim(conn) == []


def test_a_claim_that_nobody_ends_is_made_again_with_the_same(conn: Db) -> None:
    channel(conn)
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    [first] = claim(conn)
    assert claim(conn) == []
    at(conn, "12:01")
    [second] = claim(conn)
    assert (second["delivery_id"], second["payload"], second["claim"]) == (
        *(first["delivery_id"], first["payload"], first["claim"] + 1),
    )
    # Whoever was late and failed does not speak for the other; whoever was late and delivered does.
    assert record(conn, first, "no answer in time") is None
    assert record(conn, first) == "delivered"
    assert record(conn, second) is None
    assert record(conn, second, "HTTP 500") is None
    assert [h.status for h in notification_history(conn)] == ["delivered"]


def test_it_is_tried_less_and_less_often_and_then_fails(conn: Db) -> None:
    conn.execute("update bcp.settings set value = '4' where name = 'notification_max_attempts'")
    channel(conn)
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    waits = []
    time = datetime(2026, 6, 15, 12, tzinfo=UTC)
    for n in range(4):
        [told] = claim(conn)
        assert record(conn, told, "HTTP 500") == ("retry" if n < 3 else "failed")
        [row] = rows(conn, "select next_attempt_at, state, payload from bcp_internal.notification_deliveries")
        waits.append((row["next_attempt_at"] - time).total_seconds())
        time = row["next_attempt_at"]
        conn.execute("select set_config('bcp.now', %s, false)", [time.isoformat()])
    assert all(0.5 * 5 * 3**n <= wait <= 1.5 * 5 * 3**n for n, wait in enumerate(waits)), waits
    assert (row["state"], row["payload"]) == ("failed", {})
    assert claim(conn) == []
    assert [(h.attempt, h.status, h.error) for h in notification_history(conn)] == [
        (4, "failed", "HTTP 500"),
        *((n, "retry", "HTTP 500") for n in (3, 2, 1)),
    ]
    [health] = rows(conn, "select * from bcp.health() where check_name = 'notifications'")
    assert (health["status"], health["value"]) == ("fail", "1")
    assert "hook" in health["detail"]


def test_the_other_side_may_ask_for_more_time_and_may_end_it(conn: Db) -> None:
    channel(conn)
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    [told] = claim(conn)
    assert record(conn, told, "HTTP 429", after="1 hour") == "retry"
    at(conn, "12:59")
    assert claim(conn) == []
    at(conn, "13:00")
    [told] = claim(conn)
    assert record(conn, told, "HTTP 410", final=True) == "failed"


def test_health_says_whether_somebody_sends(conn: Db) -> None:
    def health() -> tuple[str, str]:
        [row] = rows(conn, "select * from bcp.health() where check_name = 'notifications'")
        return row["status"], row["detail"]

    assert health()[0] == "ok"
    channel(conn)
    assert health() == ("fail", health()[1])
    assert "bcp-analytics notify" in health()[1]
    claim(conn)
    assert health()[0] == "ok"
    at(conn, "12:06")
    assert "no notifier has looked since" in health()[1]


def test_what_no_notifier_fetches_expires_and_health_says_so(conn: Db) -> None:
    channel(conn)
    break_tools(conn, "11:59", "read", "snoozed")
    evaluate(conn)
    conn.execute(
        "select bcp.snooze_alert(alert_id, bcp_internal.now() + interval '30 days')"
        " from bcp.alerts where tool_name = 'snoozed'"
    )
    [waiting] = rows(conn, "select count(*) from bcp_internal.notification_outbox where delivery_id is null")
    assert waiting["count"] == 2
    at(conn, "12:00", "2026-06-29")
    conn.execute("select * from bcp.cleanup_old_data()")
    assert notification_history(conn) == []
    at(conn, "12:01", "2026-06-29")
    conn.execute("select * from bcp.cleanup_old_data()")
    [told] = notification_history(conn)
    assert (told.status, told.attempt, told.rule_name) == ("expired", 0, "low_success")
    assert told.error == "1 alerts that no notifier fetched"
    [health] = rows(conn, "select * from bcp.health() where check_name = 'notifications'")
    assert health["status"] == "fail"
    assert "expired within 24 hours, of hook" in health["detail"]
    assert "no notifier has run yet" in health["detail"]
    # What is snoozed waits for the end of that.
    assert claim(conn) == []
    at(conn, "12:01", "2026-07-20")
    [told] = claim(conn)
    assert events(told) == [("opened", "snoozed")]


def test_a_message_that_is_too_old_is_not_sent_any_more(conn: Db) -> None:
    channel(conn)
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    [told] = claim(conn)
    # Its notifier was killed, and the next one starts after a fortnight.
    at(conn, "12:01", "2026-06-29")
    assert claim(conn) == []
    assert record(conn, told) is None
    [delivery] = rows(conn, "select state, payload from bcp_internal.notification_deliveries")
    assert (delivery["state"], delivery["payload"]) == ("expired", {})
    assert rows(conn, "select event from bcp_internal.notification_outbox") == [{"event": {}}]
    [history] = notification_history(conn)
    assert (history.status, str(history.delivery_id)) == ("expired", str(told["delivery_id"]))


def test_an_outbox_that_nobody_empties_is_bounded(conn: Db) -> None:
    channel(conn)
    channel(conn, "other", rule_names=["slow"])
    conn.execute(
        "insert into bcp_internal.notification_outbox"
        " (channel_id, event_key, about, rule_name, event, created_at)"
        " select channel_id, 'x' || n, 'alerts', 'flaps', '{}', bcp_internal.now()"
        " from bcp_internal.notification_channels, generate_series(1, 10000) n"
        " where channel_name = 'hook' or n < 4"
    )
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    found = rows(
        conn,
        "select c.channel_name, count(*), bool_or(o.rule_name = 'low_success') as newest"
        " from bcp_internal.notification_outbox o"
        " join bcp_internal.notification_channels c using (channel_id)"
        " group by 1 order by 1",
    )
    assert found == [
        {"channel_name": "hook", "count": 5000, "newest": True},
        {"channel_name": "other", "count": 3, "newest": False},
    ]
    [told] = notification_history(conn)
    assert told.error == "5001 alerts that no notifier fetched"


def test_quiet_hours_hold_back_what_is_not_critical(conn: Db) -> None:
    channel(conn, quiet_hours="22:00-07:00", time_zone="Europe/Berlin")
    at(conn, "20:30")
    break_tools(conn, "20:29", "read")
    evaluate(conn)
    assert claim(conn) == []
    watch_bundles(conn)
    evaluate(conn)
    [told] = claim(conn)
    assert told["payload"]["rule_name"] == "errors"
    record(conn, told)
    # 6:59 and 7:00 in Berlin.
    at(conn, "04:59", "2026-06-16")
    evaluate(conn)
    [told] = claim(conn)
    assert told["payload"]["rule_name"] == "errors"
    record(conn, told)
    at(conn, "05:00", "2026-06-16")
    [told] = claim(conn)
    assert events(told) == [("opened", "read"), ("closed", "read")]


@pytest.mark.parametrize("by_rule", [True, False])
def test_a_snooze_holds_back_what_stays_and_drops_what_passes(conn: Db, by_rule: bool) -> None:  # noqa: FBT001
    channel(conn)
    until = datetime(2026, 6, 15, 13, tzinfo=UTC)
    break_tools(conn, "11:59", "passes", "stays")
    evaluate(conn)
    if by_rule:
        assert snooze_alert_rule(conn, "low_success", until=until)
        assert not snooze_alert_rule(conn, "nothing", until=until)
    else:
        for row in rows(conn, "select alert_id from bcp.alerts"):
            assert snooze_alert(conn, row["alert_id"], until=until)
    assert claim(conn) == []
    at(conn, "12:30")
    break_tools(conn, "12:29", "stays")
    evaluate(conn)
    assert claim(conn) == []
    at(conn, "13:00")
    break_tools(conn, "12:59", "stays")
    [told] = claim(conn)
    assert events(told) == [("opened", "stays")]
    closed = rows(conn, "select tool_name from bcp.alerts where closed_at is not null")
    assert [row["tool_name"] for row in closed] == ["passes"]


def test_who_was_told_of_the_beginning_is_told_of_the_end(conn: Db) -> None:
    channel(conn, cooldown="0")
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    record(conn, claim(conn)[0])
    snooze_alert_rule(conn, "low_success", until=datetime(2026, 6, 15, 13, tzinfo=UTC))
    at(conn, "12:30")
    evaluate(conn)
    assert claim(conn) == []
    snooze_alert_rule(conn, "low_success")
    assert events(claim(conn)[0]) == [("closed", "read")]


def test_many_alerts_are_one_message_for_people_and_all_of_them_for_programs(conn: Db) -> None:
    channel(conn, "hook")
    channel(conn, "chat", kind="slack", config={}, secret="https://hooks.slack.com/services/x")
    calls = [
        usage(start_time="2026-06-15T11:59:00Z", success=False, tool_name=f"t{n:04}") for n in range(1200)
    ]
    assert ingest(conn, calls)[1] == 1200
    assert evaluate(conn) == 1200
    told = {c["channel_name"]: c["payload"] for c in claim(conn)}
    assert (told["chat"]["total"], len(told["chat"]["alerts"])) == (1000, 20)
    assert (told["hook"]["total"], len(told["hook"]["alerts"])) == (1000, 1000)
    for delivery in rows(
        conn, "select delivery_id, claims as claim from bcp_internal.notification_deliveries"
    ):
        record(conn, delivery)
    # The rest does not wait for the cool-down.
    assert {c["payload"]["total"] for c in claim(conn)} == {200}
    assert {h.status for h in notification_history(conn)} == {"delivered"}
    assert rows(conn, "select from bcp_internal.notification_outbox where event <> '{}'") != []


def test_one_digest_a_week_and_channel(conn: Db) -> None:
    at(conn, "12:00", "2026-06-10")
    channel(conn, "a", digest=True, time_zone="Europe/Berlin")
    channel(conn, "b", digest=True, quiet_hours="00:00-09:30")
    channel(conn, "none")
    ingest(conn, [{"level": "error", "message": "disk full", "timestamp": "2026-06-10T11:00:00Z"}], "errors")
    at(conn, "05:59", MONDAY)
    ingest(conn, [usage(start_time="2026-06-12T11:00:00Z", response_tokens=70)] * 30)
    assert claim(conn) == []
    at(conn, "06:00", MONDAY)
    [told] = claim(conn)
    payload = told["payload"]
    assert (told["channel_name"], told["about"], payload["week"]) == ("a", "digest", "2026-W24")
    assert payload["since"] == "2026-06-07T22:00:00+00:00"
    assert payload["totals"]["call_count"] == 30
    assert [(i["state"], i["message"]) for i in payload["broke"]] == [("new", "disk full")]
    assert payload["costs"][0]["tokens"] == 2100
    assert payload["changed"] == []
    assert claim(conn) == []
    record(conn, told)
    # Quiet until 9:30.
    at(conn, "09:00", MONDAY)
    assert claim(conn) == []
    at(conn, "09:30", MONDAY)
    assert [c["channel_name"] for c in claim(conn)] == ["b"]
    at(conn, "12:00", "2026-06-20")
    assert [c["channel_name"] for c in claim(conn)] == ["b"]
    at(conn, "12:00", "2026-06-23")
    # At most one is made by a claim.
    claimed = claim(conn) + claim(conn)
    assert sorted((c["channel_name"], c["payload"]["week"]) for c in claimed) == [
        *(("a", "2026-W25"), ("b", "2026-W24"), ("b", "2026-W25")),
    ]
    found = rows(conn, "select channel_id, event_key from bcp_internal.notification_outbox order by 1, 2")
    assert [row["event_key"] for row in found] == ["digest:2026-06-15", "digest:2026-06-22"] * 2


def test_a_digest_says_what_changed(conn: Db) -> None:
    for day, bad, ms in (("2026-06-03", 0, 100), ("2026-06-10", 20, 400)):
        calls = [
            usage(start_time=f"{day}T11:00:00Z", success=n >= bad, duration_ms=ms, tool_name=tool)
            for n in range(50)
            for tool in ("worse", "same")
            if tool == "worse" or (n >= bad or day < "2026-06-05")
        ]
        ingest(conn, calls)
    ingest(conn, [usage(start_time="2026-06-03T11:00:00Z", success=True, duration_ms=400, tool_name="same")])
    [row] = rows(conn, "select bcp_internal.digest('2026-06-08Z', '2026-06-15Z') as d")
    assert row["d"]["changed"][0]["tool_name"] == "worse"
    assert row["d"]["changed"][0]["success_rate"] == pytest.approx(0.6)


def test_a_digest_that_cannot_be_made_is_told_and_stops_nothing(conn: Db) -> None:
    at(conn, "12:00", "2026-06-10")
    channel(conn, digest=True)
    ingest(conn, [{"level": "error", "message": "disk full", "timestamp": "2026-06-10T11:00:00Z"}], "errors")
    at(conn, "12:00", MONDAY)
    conn.execute("alter table bcp.error_issues rename to elsewhere")
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    told = {c["about"]: c["payload"] for c in claim(conn)}
    assert told["digest"]["sqlstate"] == "42P01"
    assert told["alerts"]["total"] == 1


@pytest.mark.native("the embedded engine ends no statement by itself")
def test_a_digest_that_takes_too_long_is_told_and_stops_nothing(conn: Db) -> None:
    at(conn, "12:00", "2026-06-10")
    channel(conn, "a", digest=True)
    channel(conn, "b")
    at(conn, "12:00", MONDAY)
    conn.execute(
        "create or replace function bcp_internal.digest(p_since timestamptz, p_until timestamptz)"
        " returns jsonb language sql volatile set search_path = pg_catalog, pg_temp"
        " as 'select to_jsonb(1) from pg_sleep(600)'"
    )
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    conn.execute("set local statement_timeout = '500ms'")
    claimed = claim(conn)
    conn.execute("set local statement_timeout = 0")
    assert sorted((c["channel_name"], c["about"]) for c in claimed) == [
        *(("a", "alerts"), ("a", "digest"), ("b", "alerts")),
    ]
    assert {c["payload"].get("sqlstate") for c in claimed} == {None, "57014"}


def test_a_channel_that_fails_comes_after_those_that_work(conn: Db) -> None:
    channel(conn, "bad")
    watch_bundles(conn)
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    [first] = claim(conn, 1)
    assert record(conn, first, "no answer in time") == "retry"
    at(conn, "12:30")
    channel(conn, "good")
    test = send_test(conn, "good")
    assert [c["delivery_id"] for c in claim(conn, 1)] == [test]
    assert [c["channel_name"] for c in claim(conn)] == ["bad", "bad"]


def test_old_messages_are_forgotten(conn: Db) -> None:
    channel(conn)
    break_tools(conn, "11:59", "read")
    evaluate(conn)
    record(conn, claim(conn)[0])
    at(conn, "12:00", "2026-09-12")
    claim(conn)
    assert len(notification_history(conn, since=datetime(2026, 6, 1, tzinfo=UTC))) == 1
    at(conn, "12:10", "2026-09-13")
    evaluate(conn)
    claim(conn)
    assert notification_history(conn, since=datetime(2026, 6, 1, tzinfo=UTC)) == []
    assert rows(conn, "select from bcp_internal.notification_outbox where event_key ~ 'opened'") == []


def test_two_notifiers_never_have_the_same(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as one:
        at(one, "12:00")
        only(one, "low_success", lookback="1 minute", min_calls=1)
        for name in ("a", "b", "c"):
            channel(one, name)
        break_tools(one, "11:59", "read")
        evaluate(one)
        with psycopg.connect(dsn, autocommit=True) as other:
            at(other, "12:00")
            first = claim(one, 2)
            second = claim(other, 2)
    assert sorted(c["channel_name"] for c in first + second) == ["a", "b", "c"]


def test_times_of_quiet_hours(conn: Db) -> None:
    def quiet(hours: str | None, time: datetime) -> bool:
        [row] = rows(conn, "select bcp_internal.is_quiet(%s, 'UTC', %s) as q", [hours, time])
        return bool(row["q"])

    noon = datetime(2026, 6, 15, 12, tzinfo=UTC)
    assert not quiet(None, noon)
    assert quiet("12:00-12:01", noon)
    assert not quiet("11:00-12:00", noon)
    assert quiet("13:00-12:01", noon)
    assert not quiet("13:00-12:00", noon)
    assert quiet("22:00-07:00", noon + timedelta(hours=12))
