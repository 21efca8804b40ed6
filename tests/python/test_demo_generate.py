"""The demo's traffic: the same for the same seed, in the shape of real traffic, with personal data in it."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import median
from typing import Any

import pytest

from bcp_analytics.demo._generate import DAYS, Batch, Traffic, batches, calls_by_hour
from bcp_analytics.demo._payloads import luhn_digit

# A Tuesday, in the middle of a morning.
END = datetime(2026, 6, 16, 10, 20, 30, tzinfo=UTC)
CALLS = 20_000


@pytest.fixture(scope="module")
def traffic() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for batch in batches(1, CALLS, END):
        found.setdefault(batch.kind, []).extend(batch.events)
    return found


@pytest.fixture(scope="module")
def calls(traffic: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return traffic["tool_usage"]


def start(call: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(call["start_time"])


def test_the_same_seed_makes_the_same_traffic() -> None:
    assert list(batches(7, 500, END, 100)) == list(batches(7, 500, END, 100))


def test_another_seed_makes_other_traffic_with_other_ids() -> None:
    def ids(seed: int) -> set[str]:
        return {e["event_id"] for b in batches(seed, 500, END) if b.kind != "sessions" for e in b.events}

    assert not ids(1) & ids(2)


def test_a_later_end_keeps_the_ids() -> None:
    def ids(found: list[Batch]) -> list[Any]:
        return [(b.batch_id, [e.get("event_id") for e in b.events]) for b in found if b.kind == "tool_usage"]

    assert ids(list(batches(1, 500, END, 100))) == ids(list(batches(1, 500, END + timedelta(days=2), 100)))


def test_no_id_comes_twice(traffic: dict[str, list[dict[str, Any]]]) -> None:
    for kind in ("tool_usage", "errors", "metrics"):
        ids = [event["event_id"] for event in traffic[kind]]
        assert len(set(ids)) == len(ids)
    batch_ids = [batch.batch_id for batch in batches(1, CALLS, END)]
    assert len(set(batch_ids)) == len(batch_ids)


@pytest.mark.parametrize("count", [1, 7, 719, 100_000])
def test_hours_add_up_to_the_calls_asked_for(count: int) -> None:
    hours = list(calls_by_hour(count, END))
    assert sum(n for _, n in hours) == count
    assert min(n for _, n in hours) >= 0


def test_events_are_made_as_they_are_asked_for() -> None:
    # A million calls would take a minute; the first ten take none.
    assert len(list(islice(batches(1, 1_000_000, END, 10), 10))) == 10


def test_calls_are_as_many_as_asked_for_in_order_and_within_the_period(calls: list[dict[str, Any]]) -> None:
    assert len(calls) == CALLS
    times = [start(call) for call in calls]
    assert times == sorted(times)
    assert END - timedelta(days=DAYS) <= times[0] < END - timedelta(days=DAYS - 1)
    assert END - timedelta(hours=1) < times[-1] <= END
    ends = [t + timedelta(milliseconds=c["duration_ms"]) for t, c in zip(times, calls, strict=True)]
    assert max(ends) <= END + timedelta(milliseconds=1)


def test_nights_and_week_ends_are_quiet(calls: list[dict[str, Any]]) -> None:
    by_hour = Counter(start(call).hour for call in calls)
    assert by_hour[10] > 4 * by_hour[3]
    weekdays = Counter(start(call).date() for call in calls)
    full = [(d, n) for d, n in weekdays.items() if d not in {END.date(), (END - timedelta(days=DAYS)).date()}]
    assert median(n for d, n in full if d.weekday() < 5) > 2 * median(n for d, n in full if d.weekday() >= 5)


def test_latency_has_a_heavy_tail(calls: list[dict[str, Any]]) -> None:
    durations = sorted(c["duration_ms"] for c in calls if c["tool_name"] == "run_query")
    middle, high, highest = (durations[int(len(durations) * q)] for q in (0.5, 0.95, 0.995))
    assert 700 < middle < 1_100
    assert high > 4 * middle
    assert highest > 3 * high


def test_a_few_calls_fail_and_each_has_its_error(traffic: dict[str, list[dict[str, Any]]]) -> None:
    failed = [call for call in traffic["tool_usage"] if not call["success"]]
    assert 0.01 < len(failed) / CALLS < 0.05
    assert {c["outcome"] for c in failed} == {"error", "timeout", "soft_fail", "rejected", "cancelled"}
    assert [e["request_id"] for e in traffic["errors"]] == [c["request_id"] for c in failed]
    assert all("error_type" not in c for c in traffic["tool_usage"] if c["success"])


def test_incidents_stand_out(calls: list[dict[str, Any]]) -> None:
    for begin, incident in Traffic(1, CALLS, END)._incidents.values():
        assert begin.weekday() < 5
        of_tool = [c for c in calls if (c["bcp_name"], c["tool_name"]) == (incident.bcp, incident.tool)]
        bad = [c for c in of_tool if begin <= start(c) < begin + timedelta(hours=incident.hours)]
        assert len(bad) >= 8
        assert share_failed(bad) > 4 * share_failed(of_tool)


def share_failed(calls: list[dict[str, Any]]) -> float:
    return sum(not call["success"] for call in calls) / len(calls)


def test_calls_belong_to_sessions_of_one_user_and_client(traffic: dict[str, list[dict[str, Any]]]) -> None:
    sessions = {s["session_id"]: s for s in traffic["sessions"]}
    assert len(sessions) == len(traffic["sessions"])
    for call in traffic["tool_usage"]:
        session = sessions[call["session_id"]]
        assert (call["user_id"], call["client_name"], call["ip_address"]) == (
            session["user_id"],
            session["client_name"],
            session["ip_address"],
        )
        assert session["started_at"] <= call["start_time"] <= session["last_activity"]


def test_people_are_all_different_and_their_cards_are_valid() -> None:
    people = Traffic(1, 1, END).people
    for name in ("email", "phone", "card", "ssn"):
        assert len({getattr(person, name) for person in people}) == len(people)
    assert all(
        luhn_digit(person.card[:-1]) == person.card[-1] and len(person.card) == 16 for person in people
    )


def test_luhn_digit() -> None:
    assert luhn_digit("411111111111111") == "1"  # the well-known test card
    assert luhn_digit("7992739871") == "3"


def test_personal_data_are_planted_also_in_json_inside_of_strings(calls: list[dict[str, Any]]) -> None:
    def holding(pattern: str, field: str) -> int:
        return sum(bool(re.search(pattern, json.dumps(call.get(field)))) for call in calls)

    assert holding(r"@(example|mail)\.", "parameters") > 0.1 * CALLS
    assert holding(r"\b4[0-9]{15}\b", "parameters") > 0.02 * CALLS
    assert holding(r"\+1 [0-9]{3} 555", "parameters") > 0.02 * CALLS
    inner = [
        c["response_data"]["content"][0]["text"] for c in calls if "content" in c.get("response_data", {})
    ]
    assert sum("@" in json.dumps(json.loads(text)) for text in inner) > 0.05 * CALLS
    assert holding(r"@", "error_message") > 0
