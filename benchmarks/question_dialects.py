# ruff: noqa: E501 - an expression of SQL stays on its line
"""What differs between the engines of benchmarks/questions.py, by the names that its questions use."""

from __future__ import annotations

from benchmarks.question_rows import D90, NOW

SINCE = {
    "d90": D90,
    "d30": "2026-10-21 13:37:21+00",
    "d7": "2026-11-13 13:37:21+00",
    "d1": "2026-11-19 13:37:21+00",
}
BEFORE_D30 = "2026-09-21 13:37:21+00"
_BERLIN = "(start_time at time zone 'UTC') at time zone 'Europe/Berlin'"
_NEW_YORK = "(start_time at time zone 'UTC') at time zone 'America/New_York'"
DIALECTS: dict[str, dict[str, str]] = {
    "duckdb": {
        "calls": "calls",
        "call": "operation <> 'tools/list'",
        "n": "count(*)",
        "ok": "count(*) filter (where success)",
        "bad": "count(*) filter (where not success)",
        "p": "quantile_disc(duration_ms, 0.5), quantile_disc(duration_ms, 0.95), quantile_disc(duration_ms, 0.99)",
        "hour": "date_trunc('hour', start_time)",
        "minute": "date_trunc('minute', start_time)",
        "day": "date_trunc('day', start_time)",
        "day_berlin": f"epoch(date_trunc('day', {_BERLIN}) at time zone 'Europe/Berlin')",
        "day_new_york": f"epoch(date_trunc('day', {_NEW_YORK}) at time zone 'America/New_York')",
        "week_berlin": f"epoch(date_trunc('week', {_BERLIN}) at time zone 'Europe/Berlin')",
        "user": "user_id",
        "user_is_7": "user_id = 'u7'",
        "client": "client_name",
        "failed": "not success",
        "gap": "(epoch_us(lead(start_time) over w) - epoch_us(start_time)) / 1000.0 - duration_ms",
        "next": "lead",
        "w": "partition by session_id order by start_time, event_id",
        "isodow": "isodow((h at time zone 'UTC') at time zone 'Europe/Berlin')",
        "hour_of": "hour((h at time zone 'UTC') at time zone 'Europe/Berlin')",
        "path": "parameters ->> '$.path'",
        "if": "filter (where ",
        "end": ")",
    },
    "chdb": {
        "calls": "bench.calls",
        "call": "operation <> 'tools/list'",
        "n": "count()",
        "ok": "countIf(success)",
        "bad": "countIf(not success)",
        # The rank that ClickHouse takes is one above that of percentile_disc, if it is a whole number.
        "p": "quantilesExact(0.499999999, 0.949999999, 0.989999999)(duration_ms) as q",
        "hour": "toUnixTimestamp(toStartOfHour(start_time, 'UTC'))",
        "minute": "toUnixTimestamp(toStartOfMinute(start_time))",
        "day": "toUnixTimestamp(toStartOfDay(start_time, 'UTC'))",
        "day_berlin": "toUnixTimestamp(toStartOfDay(start_time, 'Europe/Berlin'))",
        "day_new_york": "toUnixTimestamp(toStartOfDay(start_time, 'America/New_York'))",
        "week_berlin": "toUnixTimestamp(toDateTime(toStartOfWeek(start_time, 1, 'Europe/Berlin'), 'Europe/Berlin'))",
        "user": "user_id",
        "user_is_7": "user_id = 'u7'",
        "client": "client_name",
        "failed": "not success",
        "gap": "0",
        "next": "leadInFrame",
        "w": "partition by session_id order by start_time, event_id"
        " rows between current row and unbounded following",
        "isodow": "toDayOfWeek(toDateTime(h, 'Europe/Berlin'))",
        "hour_of": "toHour(toDateTime(h, 'Europe/Berlin'))",
        "path": "JSONExtractString(parameters, 'path')",
    },
    "requirements": {
        "calls": "requirements.tool_usage_logs",
        "call": "true",
        "n": "count(*)",
        "ok": "count(*) filter (where success)",
        "bad": "count(*) filter (where not success)",
        "p": "percentile_cont(0.5) within group (order by duration_ms),"
        " percentile_cont(0.95) within group (order by duration_ms),"
        " percentile_cont(0.99) within group (order by duration_ms)",
        "hour": "date_trunc('hour', created_at, 'UTC')",
        "minute": "date_trunc('minute', created_at, 'UTC')",
        "day": "date_trunc('day', created_at, 'UTC')",
        "day_berlin": "date_trunc('day', created_at, 'Europe/Berlin')",
        "day_new_york": "date_trunc('day', created_at, 'America/New_York')",
        "week_berlin": "date_trunc('week', created_at, 'Europe/Berlin')",
        "user": "'u' || user_id",
        "user_is_7": "user_id = 7",
        "client": "user_agent",
        "failed": "success = false",
        "gap": "extract(epoch from lead(start_time) over w - end_time) * 1000",
        "next": "lead",
        "w": "partition by session_id order by created_at, id",
        "isodow": "extract(isodow from h at time zone 'Europe/Berlin')",
        "hour_of": "extract(hour from h at time zone 'Europe/Berlin')",
        "path": "parameters ->> 'path'",
    },
}


def _between(engine: str, column: str, since: str, until: str = NOW) -> str:
    if engine == "chdb":
        return f"{column} >= toDateTime64('{since[:19]}', 6, 'UTC') and {column} < toDateTime64('{until[:19]}', 6, 'UTC')"
    if engine == "requirements":
        return f"created_at >= '{since}' and created_at < '{until}'"
    return f"{column} >= '{since[:19]}' and {column} < '{until[:19]}'"


for _engine, _names in DIALECTS.items():
    for _name, _since in SINCE.items():
        _names[_name] = _between(_engine, "start_time", _since) + f" and {_names['call']}"
        _names[f"{_name}_all"] = _between(_engine, "start_time", _since)
        _names[f"{_name}_errors"] = _between(_engine, "happened_at", _since)
        _names[f"{_name}_sessions"] = _between(_engine, "started_at", _since)
    _names["before"] = _between(_engine, "start_time", BEFORE_D30, SINCE["d30"]) + f" and {_names['call']}"
    _names["both"] = _between(_engine, "start_time", BEFORE_D30) + f" and {_names['call']}"
    _names["before_errors"] = _between(_engine, "happened_at", BEFORE_D30, SINCE["d30"])
    _names["both_errors"] = _between(_engine, "happened_at", BEFORE_D30)
    _names["whole_hours"] = (
        _between(_engine, "start_time", "2026-11-19 13:00:00+00") + f" and {_names['call']}"
    )
    _names["whole_days_errors"] = _between(_engine, "happened_at", "2026-08-22 00:00:00+00")
