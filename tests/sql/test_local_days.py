"""Days of the store's time zone are ready with their percentiles, and answer what the rows would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.security.roles import logged_in_as
from tests.sql.events import ingest, refresh_at_once, rows, usage

Conn = psycopg.Connection[Any]

# A few days after the clock changed: by an hour or half of one, forward or back, at midnight. India's never
# does.
ZONES = [
    ("Europe/Berlin", "2026-10-29T12:34:56Z"),
    ("Europe/Berlin", "2026-04-02T12:34:56Z"),
    ("America/Santiago", "2026-09-10T12:34:56Z"),
    ("America/Santiago", "2026-04-08T12:34:56Z"),
    ("Australia/Lord_Howe", "2026-10-08T12:34:56Z"),
    ("Asia/Kolkata", "2026-06-15T12:34:56Z"),
]
RAW: LiteralString = """
select date_trunc('day', start_time, %(zone)s), tool_name, count(*),
       percentile_disc('{0.5,0.95,0.99}'::float8[]) within group (order by duration_ms)
from bcp.tool_usage_logs where start_time >= %(now)s::timestamptz - interval '192 hours'
  and start_time < %(now)s
group by 1, 2 order by 1 desc, 3 desc, 2
"""


def fill(conn: Conn, now: str) -> None:
    """Store a call of each of two tools every 20 minutes of the last nine days."""
    conn.execute("select set_config('bcp.now', %s, false)", [now])
    conn.execute(
        "insert into bcp.tool_usage_logs"
        " (start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success)"
        " select at, at + (n * n %% 977) * interval '1 ms', at, gen_random_uuid(), 'files',"
        " case n %% 2 when 0 then 'read' else 'write' end, 'call', n %% 7 > 0"
        " from generate_series(1, 1296) n,"
        " lateral (select %s::timestamptz - n * interval '10 minutes') a (at)",
        [now],
    )


def set_zone(conn: Conn, zone: str) -> None:
    conn.execute("update bcp.settings set value = %s where name = 'time_zone'", [zone])
    conn.execute("select bcp.apply_policies()")


def refresh_days(conn: Conn, zone: str) -> None:
    """Refresh the days of the zone alone, by days as a store in use does, and again.

    TimescaleDB counts an hour too little of a day that begins at one o'clock, and notes the rest for the
    next time.
    """
    for _ in range(2):
        conn.execute(
            "call bcp_internal.refresh_aggregate('tool_stats_local_1d',"
            " bcp_internal.now() - interval '88 days',"
            " bcp_internal.bucket_start('1 day', bcp_internal.now(), %s))",
            [zone],
        )


def by_day(conn: Conn, zone: str) -> list[dict[str, Any]]:
    return rows(
        conn,
        "select * from bcp.tool_usage_stats(bcp_internal.now() - interval '192 hours', bcp_internal.now(),"
        " '1 day', p_time_zone => %s)",
        [zone],
    )


def level(conn: Conn, zone: str) -> str | None:
    """Return the aggregate that answers by day of a zone."""
    [(found,)] = conn.execute(
        "select bcp_internal.stats_level(bcp_internal.now() - interval '192 hours', bcp_internal.now(),"
        " '1 day', %s, '{}')",
        [zone],
    ).fetchall()
    return None if found is None else str(found)


def ready(conn: Conn, zone: str) -> list[tuple[str, str]]:
    """Return the days that are ready, as the clock of the zone shows their ends."""
    found = conn.execute(
        "select to_char(lower(r) at time zone %(zone)s, 'DD HH24:MI'),"
        " to_char(upper(r) at time zone %(zone)s, 'DD HH24:MI')"
        " from unnest(bcp_internal.covered('tool_stats_local_1d', bcp_internal.finite("
        " bcp_internal.now() - interval '192 hours', bcp_internal.now()))) r",
        {"zone": zone},
    )
    return [(str(first), str(last)) for first, last in found.fetchall()]


@pytest.mark.parametrize(("zone", "now"), ZONES)
def test_days_of_the_zone_are_ready_and_answer_as_the_rows_do(clean_db: Conn, zone: str, now: str) -> None:
    fill(clean_db, now)
    # What a session calls its time zone changes nothing.
    clean_db.execute("set timezone = 'Pacific/Auckland'")
    before = by_day(clean_db, zone)
    set_zone(clean_db, zone)
    assert level(clean_db, zone) == "tool_stats_local_1d"
    assert ready(clean_db, zone) == []
    assert by_day(clean_db, zone) == before
    refresh_days(clean_db, zone)
    end = datetime.fromisoformat(now).astimezone(ZoneInfo(zone))
    [(first, last)] = ready(clean_db, zone)
    assert int(first[:2]) == (end - timedelta(days=7)).day
    assert (int(last[:2]), last[3:]) == (end.day, "00:00")
    after = by_day(clean_db, zone)
    assert after == before
    expected = clean_db.execute(RAW, {"zone": zone, "now": now}).fetchall()
    assert [(r["time_bucket"], r["tool_name"], r["call_count"]) for r in after] == [r[:3] for r in expected]
    for row, (*_, percentiles) in zip(after, expected, strict=True):
        assert [row[f"p{n}_duration_ms"] for n in (50, 95, 99)] == pytest.approx(percentiles, rel=0.01)


@pytest.mark.parametrize(("zone", "now"), ZONES)
def test_a_late_call_is_in_the_answer_at_once_and_after_the_refresh(
    clean_db: Conn, zone: str, now: str
) -> None:
    fill(clean_db, now)
    set_zone(clean_db, zone)
    refresh_days(clean_db, zone)
    whole = ready(clean_db, zone)
    # Around the two midnights of the third day from the end, one of which may be missing or come twice.
    [(midnight, next_one)] = clean_db.execute(
        "select (d - interval '4 days') at time zone %(zone)s, (d - interval '3 days') at time zone %(zone)s"
        " from date_trunc('day', %(now)s::timestamptz at time zone %(zone)s) d",
        {"zone": zone, "now": now},
    ).fetchall()
    for at in (midnight, next_one - timedelta(microseconds=1)):
        ingest(
            clean_db,
            [
                usage(
                    start_time=at.astimezone(UTC).isoformat(),
                    tool_name="late",
                    bcp_name="files",
                    duration_ms=7,
                )
            ],
        )
    assert len(ready(clean_db, zone)) == 2
    late = by_day(clean_db, zone)
    assert [(r["time_bucket"], r["call_count"]) for r in late if r["tool_name"] == "late"] == [(midnight, 2)]
    refresh_days(clean_db, zone)
    assert ready(clean_db, zone) == whole
    assert by_day(clean_db, zone) == late


def test_zones_with_the_same_days_share_them_and_others_do_not(clean_db: Conn) -> None:
    fill(clean_db, "2026-10-29T12:34:56Z")
    set_zone(clean_db, "Europe/Berlin")
    found = {
        zone: level(clean_db, zone)
        for zone in ("Europe/Paris", "Africa/Lagos", "America/New_York", "UTC", "Asia/Kolkata")
    }
    # Lagos has Berlin's days in winter alone.
    assert found == {
        "Europe/Paris": "tool_stats_local_1d",
        "Africa/Lagos": None,
        "America/New_York": None,
        "UTC": "tool_stats_1d",
        "Asia/Kolkata": None,
    }


def test_each_of_three_zones_answers_from_its_own_days(clean_db: Conn) -> None:
    fill(clean_db, "2026-10-29T12:34:56Z")
    zones = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC", "Asia/Tokyo")
    before = {zone: by_day(clean_db, zone) for zone in zones}
    with logged_in_as(clean_db, "bcp_admin"):
        for setting, zone in zip(("time_zone", "time_zone_2", "time_zone_3"), zones, strict=False):
            clean_db.execute("update bcp.settings set value = %s where name = %s", [zone, setting])
        clean_db.execute("select bcp.apply_policies()")
    refresh_at_once(clean_db)
    assert {zone: level(clean_db, zone) for zone in zones} == {
        "Europe/Berlin": "tool_stats_local_1d",
        "America/New_York": "tool_stats_local2_1d",
        "Asia/Kolkata": "tool_stats_local3_1d",
        "UTC": "tool_stats_1d",
        "Asia/Tokyo": None,
    }
    assert {zone: by_day(clean_db, zone) for zone in zones} == before
    with logged_in_as(clean_db, "bcp_reader"):
        for name in ("tool_stats_local_1d", "tool_stats_local2_1d", "tool_stats_local3_1d"):
            [(stored,)] = clean_db.execute(f"select count(*) from bcp.{name}").fetchall()
            assert stored > 0


def test_a_zone_that_two_settings_name_is_kept_once(clean_db: Conn) -> None:
    clean_db.execute(
        "update bcp.settings set value = 'Asia/Tokyo' where name in ('time_zone_2', 'time_zone_3')"
    )
    clean_db.execute("select bcp.apply_policies()")
    listed = "select array_agg(name) from bcp_internal.aggregates() where time_zone <> 'UTC'"
    assert clean_db.execute(listed).fetchall() == [(["tool_stats_local2_1d"],)]
    assert clean_db.execute("select bcp.apply_policies()").fetchall() == [(0,)]


def test_a_zone_is_kept_as_it_is_spelled_and_utc_by_one_name(clean_db: Conn) -> None:
    set_zone(clean_db, "europe/berlin")
    assert rows(clean_db, "select bcp_internal.bucket_zone('tool_stats_local_1d') as zone") == [
        {"zone": "Europe/Berlin"}
    ]
    for name in ("utc", "Etc/UTC", "Zulu"):
        set_zone(clean_db, name)
        assert rows(clean_db, "select value from bcp.settings where name = 'time_zone'") == [{"value": "UTC"}]
        assert rows(clean_db, "select bcp_internal.bucket_zone('tool_stats_local_1d') as zone") == [
            {"zone": None}
        ]


@pytest.mark.parametrize("zone", ["+05:30", "UTC+3", "CEST", "Berlin", "", "Atlantic/Azores"])
def test_what_is_no_name_of_a_zone_is_refused(clean_db: Conn, zone: str) -> None:
    with pytest.raises(psycopg.Error, match="time_zone cannot be") as caught:
        set_zone(clean_db, zone)
    assert caught.value.sqlstate == "ZB003"


def test_a_change_of_the_zone_makes_the_days_anew(clean_db: Conn) -> None:
    fill(clean_db, "2026-10-29T12:34:56Z")
    listed = "select array_agg(name) from bcp_internal.aggregates() where name ~ 'local'"
    exists = "select to_regclass('bcp.tool_stats_local_1d') is not null"
    jobs = "select count(*) from bcp_internal.jobs() where relation = 'tool_stats_local_1d'"

    def state() -> tuple[Any, ...]:
        return tuple(clean_db.execute(query).fetchall()[0][0] for query in (listed, exists, jobs))

    assert state() == (None, False, 0)
    with logged_in_as(clean_db, "bcp_admin"):
        set_zone(clean_db, "Europe/Berlin")
    assert state() == (["tool_stats_local_1d"], True, 1)
    refresh_at_once(clean_db)
    assert ready(clean_db, "Europe/Berlin") != []
    assert clean_db.execute("select bcp.apply_policies()").fetchall() == [(0,)]
    assert ready(clean_db, "Europe/Berlin") != []
    with logged_in_as(clean_db, "bcp_admin"):
        set_zone(clean_db, "Asia/Tokyo")
    assert ready(clean_db, "Asia/Tokyo") == []
    with logged_in_as(clean_db, "bcp_reader"):
        assert clean_db.execute("select count(*) from bcp.tool_stats_local_1d").fetchall() == [(0,)]
    refresh_at_once(clean_db)
    assert ready(clean_db, "Asia/Tokyo") != []
    set_zone(clean_db, "UTC")
    assert state() == (None, False, 0)


def test_days_that_were_dropped_before_are_added_up_and_later_ones_stay(clean_db: Conn) -> None:
    fill(clean_db, "2026-10-29T12:34:56Z")
    refresh_at_once(clean_db)
    before = by_day(clean_db, "Europe/Berlin")
    clean_db.execute("select drop_chunks('bcp.tool_usage_logs', timestamptz '2026-10-24 00:00Z')")
    # The day before which cleanup drops, and refreshes reach two days less.
    clean_db.execute(
        "update bcp.data_retention_policies set retention_days = 5 where table_name = 'tool_usage_logs'"
    )
    set_zone(clean_db, "Europe/Berlin")
    refresh_at_once(clean_db)
    assert ready(clean_db, "Europe/Berlin") == [("27 00:00", "29 00:00")]

    def same(row: dict[str, Any]) -> bool:
        return bool(
            datetime(2026, 10, 22, tzinfo=UTC) <= row["time_bucket"] < datetime(2026, 10, 29, tzinfo=UTC)
        )

    kept = [row for row in before if same(row)]
    assert [row for row in by_day(clean_db, "Europe/Berlin") if same(row)] == kept != []
    # The days that are ready outlive their calls.
    clean_db.execute("select set_config('bcp.now', '2026-12-01T00:00:00Z', false)")
    clean_db.execute("select drop_chunks('bcp.tool_usage_logs', timestamptz '2026-10-29 00:00Z')")
    clean_db.execute("call bcp.refresh_analytics_views()")
    found = rows(
        clean_db,
        "select * from bcp.tool_usage_stats('2026-10-21 12:34:56Z', '2026-10-29 12:34:56Z', '1 day',"
        " p_time_zone => 'Europe/Berlin')",
    )
    assert [row for row in found if same(row)] == kept


def test_days_of_a_zone_keep_no_calls_past_their_retention(clean_db: Conn) -> None:
    """A part of the last of these days is in a chunk that stays: cleanup cannot refresh it beforehand."""
    fill(clean_db, "2026-10-29T12:34:56Z")
    set_zone(clean_db, "Europe/Berlin")
    refresh_at_once(clean_db)
    clean_db.execute("update bcp.settings set value = '90 days' where name = 'max_event_age'")
    late = [usage(start_time=f"2026-10-{day}T22:30:00Z") for day in (21, 22, 23)]
    assert ingest(clean_db, late) == (3, 3, 0, 0)

    def counted() -> list[tuple[datetime, str, int]]:
        # A part of the first hour is known by its calls alone.
        return [
            (r["time_bucket"], r["tool_name"], r["call_count"]) for r in by_day(clean_db, "Europe/Berlin")
        ][:-2]

    before = counted()
    clean_db.execute(
        "update bcp.data_retention_policies set retention_days = 5, archive_before_delete = false"
        " where table_name = 'tool_usage_logs'"
    )
    clean_db.execute("call bcp.refresh_analytics_views()")
    clean_db.execute("call bcp.run_cleanup()")
    first = "select min(start_time) >= '2026-10-24Z' from bcp.tool_usage_logs"
    assert clean_db.execute(first).fetchall() == [(True,)]
    assert counted() == before != []


# A day that is not over goes into no part: TimescaleDB refuses one that is less than a bucket.
@pytest.mark.parametrize("until", ["2026-10-28 23:00Z", "2026-10-29 05:00Z"])
def test_a_store_in_use_is_filled_by_days_of_the_zone_the_latest_first(clean_db: Conn, until: str) -> None:
    fill(clean_db, "2026-10-29T12:34:56Z")
    set_zone(clean_db, "Europe/Berlin")
    found = clean_db.execute(
        "select since, until"
        " from bcp_internal.refresh_windows('tool_stats_local_1d', '2026-08-01 05:00Z', %s)",
        [until],
    ).fetchall()
    assert [(f"{a:%d %H}", f"{b:%d %H}") for a, b in found] == [
        ("27 23", "28 23"), ("26 23", "27 23"), ("25 23", "26 23"), ("24 22", "25 23"), ("23 22", "24 22"),
        ("22 22", "23 22"), ("21 22", "22 22"), ("20 22", "21 22"), ("01 05", "20 22"),
    ]  # fmt: skip


def test_names_that_are_masked_again_are_masked_there_too(clean_db: Conn) -> None:
    fill(clean_db, "2026-10-29T12:34:56Z")
    set_zone(clean_db, "Europe/Berlin")
    clean_db.execute("update bcp.tool_usage_logs set tool_name = 'read of jane@example.com'")
    refresh_at_once(clean_db)
    clean_db.execute("select bcp_internal.mask_aggregate('tool_stats_local_1d', 'infinity')")
    [(names,)] = clean_db.execute("select string_agg(tool_name, ' ') from bcp.tool_stats_local_1d").fetchall()
    assert "jane" not in (names or "")
