"""Made-up calls, of which some come late and some are corrected, and the answers that they should give."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from zoneinfo import ZoneInfo

import psycopg

# The clocks of Europe change within the twelve days before each: forward, back.
SPRING = datetime(2026, 4, 2, 13, 37, 21, 123456, tzinfo=UTC)
AUTUMN = datetime(2026, 11, 3, 13, 37, 21, 123456, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Australia/Lord_Howe"]
INTERVALS = ["15 minutes", "1 hour", "3 hours", "1 day", "2 days", "1 week", None]

INSERT: LiteralString = """
insert into bcp.tool_usage_logs (
    start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome, user_id,
    session_id, client_name, client_version, client_model, release, request_bytes, response_bytes)
select start_time, start_time + duration_us * interval '1 microsecond', start_time, event_id, bcp_name,
       tool_name, operation, success, outcome, user_id, session_id, client_name, client_version, client_model,
       release, 1, 2
from jsonb_to_recordset(%s::jsonb) as r (
    start_time timestamptz, duration_us bigint, event_id uuid, bcp_name text, tool_name text, operation text,
    success boolean, outcome text, user_id text, session_id text, client_name text,
    client_version text, client_model text, release text)
"""


@dataclass(frozen=True, slots=True)
class Call:
    start_time: datetime
    duration_us: int | None
    event_id: str
    bcp_name: str
    tool_name: str
    operation: str
    success: bool | None
    outcome: str | None
    user_id: str | None
    session_id: str
    client_name: str | None
    client_version: str | None
    client_model: str | None
    release: str | None

    @property
    def failed(self) -> bool:
        return self.success is False

    @property
    def ms(self) -> float | None:
        return None if self.duration_us is None else self.duration_us / 1000


def some_calls(seed: int, count: int, now: datetime, days: float) -> list[Call]:
    rng = random.Random(seed)  # noqa: S311
    return [
        Call(
            start_time=floor(
                now - timedelta(microseconds=rng.randrange(1, int(days * 86400e6))),
                rng.choice(
                    [
                        timedelta(microseconds=1),
                        timedelta(microseconds=1),
                        timedelta(hours=1),
                        timedelta(days=1),
                    ]
                ),
            ),
            duration_us=rng.choice([None, 0, 1, *[int(1000 * rng.lognormvariate(3, 2)) for _ in range(7)]]),
            event_id=f"{rng.getrandbits(128):032x}",
            bcp_name=rng.choice(["files", "mail"]),
            tool_name=rng.choice(["read", "write", "'; drop table --"]),
            operation=rng.choice(["call", "retry"]),
            success=rng.choice([True, True, True, False, None]),
            outcome=rng.choice(["success", "error", "timeout", None]),
            user_id=rng.choice(["u1", "u2", None]),
            session_id=rng.choice(["s1", "s2", "s3"]),
            # Empty texts are of rows that were stored before ingest made null of them.
            client_name=rng.choice(["c1", None, ""]),
            client_version=rng.choice(["2.0", None]),
            client_model=rng.choice(["large", None, ""]),
            release=rng.choice(["r1", None]),
        )
        for _ in range(count)
    ]


def insert(conn: psycopg.Connection[Any], calls: list[Call]) -> None:
    rows = [
        {name: getattr(c, name) for name in Call.__slots__} | {"start_time": c.start_time.isoformat()}
        for c in calls
    ]
    conn.execute(INSERT, [json.dumps(rows)])


def change_late(conn: psycopg.Connection[Any], calls: list[Call], seed: int, now: datetime) -> list[Call]:
    """Let calls come late, by hours and days, correct some and take some away; return what there is then."""
    rng = random.Random(seed)  # noqa: S311
    late = some_calls(seed, 40, now, 12)
    for call in late[:10]:  # a transaction each, so that each is late by itself
        insert(conn, [call])
    hours = late[10:25]
    hours = [replace(c, start_time=now - (now - c.start_time) / 48) for c in hours]
    insert(conn, hours)
    insert(conn, late[25:])
    kept = calls.copy()
    rng.shuffle(kept)
    gone, corrected, kept = kept[:5], kept[5:15], kept[15:]
    for call in gone:
        conn.execute(
            "delete from bcp.tool_usage_logs where event_id = %s and start_time = %s",
            [call.event_id, call.start_time],
        )
    for call in corrected:
        conn.execute(
            "update bcp.tool_usage_logs set success = false, end_time = start_time + interval '7 s'"
            " where event_id = %s and start_time = %s",
            [call.event_id, call.start_time],
        )
    return [
        *kept,
        *[replace(c, success=False, duration_us=7_000_000) for c in corrected],
        *late[:10],
        *hours,
        *late[25:],
    ]


def passes(found: Any, wanted: Any) -> bool:
    """An empty text asks for what has none."""
    return found in {None, ""} if wanted == "" else bool(found == wanted)


def selected(calls: list[Call], since: datetime, until: datetime, filters: dict[str, Any]) -> list[Call]:
    return [
        c
        for c in calls
        if since <= c.start_time < until
        and all(passes(getattr(c, name), value) for name, value in filters.items())
    ]


def floor(t: datetime, grain: timedelta, origin: datetime = datetime(2000, 1, 3, tzinfo=UTC)) -> datetime:
    return t - (t - origin) % grain


def width_of(interval: str) -> timedelta:
    number, unit = interval.split()
    return timedelta(**{unit.rstrip("s") + "s": int(number)})


def at(local: datetime, zone: str) -> datetime:
    """When a clock of the zone shows `local`; as in PostgreSQL the later where it does so twice."""
    first, second = (local.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    ambiguous = first.utcoffset() > second.utcoffset()  # type: ignore[operator]
    return (second if ambiguous else first).astimezone(UTC)


def bucket_of(t: datetime, interval: str | None, zone: str, since: datetime) -> datetime:
    """Buckets of the zone's clock, weeks from Monday; up to an hour they do not run together in autumn."""
    if interval is None:
        return since
    width = width_of(interval)
    local = t.astimezone(ZoneInfo(zone))
    naive = local.replace(tzinfo=None)
    start = naive - (naive - datetime(2000, 1, 3)) % width  # noqa: DTZ001
    # Lord Howe's clock changes by half an hour, so that an hour of it may have one and a half.
    if width <= timedelta(hours=1) and not (width == timedelta(hours=1) and zone == "Australia/Lord_Howe"):
        return t - (naive - start)
    return at(start, zone)


def grouped(calls: list[Call], key: Callable[[Call], Any]) -> dict[Any, list[Call]]:
    groups: dict[Any, list[Call]] = defaultdict(list)
    for call in calls:
        groups[key(call)].append(call)
    return groups


def disc(values: list[float], share: float) -> float:
    """percentile_disc."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def busiest(calls: list[Call], grain: timedelta) -> tuple[datetime, int]:
    counts = Counter(floor(c.start_time, grain) for c in calls)
    return min(counts.items(), key=lambda item: (-item[1], item[0]))
