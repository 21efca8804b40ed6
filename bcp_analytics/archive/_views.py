"""Questions as views that engines of the lake take: one text, and what each engine writes otherwise.

They answer as the functions of schema bcp do. What keeps them apart is handled here: days are dates and hours
are of UTC, whatever the session's time zone; levels sort by rank, not as text; percentiles are found by rank
as percentile_disc does, since engines' own differ; sums of bytes pass what 64 bits hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bcp_analytics.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

DIALECTS = ("duckdb", "clickhouse", "spark", "trino")
_CALLS, _ERRORS = "tool_usage_logs", "error_logs"
_BASES = {_CALLS: "bcp_calls", _ERRORS: "bcp_errors"}
_LEVELS = ("debug", "info", "warn", "error", "fatal")
_GAMMA = "1.02e0"
_FACTOR = "0.9900990099009901e0"
_MOST = "9e18"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an engine writes what engines write each in their own way; each is a format of one column."""

    name: str
    create: str
    day: str
    hour: str
    micros: str
    double: str
    long: str
    wide: str


_SQL = "create or replace view {} as"
_OF = {
    "duckdb": Dialect(
        "duckdb",
        _SQL,
        day="cast({} at time zone 'UTC' as date)",
        hour="date_trunc('hour', {} at time zone 'UTC')",
        micros="epoch_us({})",
        double="cast({} as double)",
        long="cast({} as bigint)",
        wide="cast({} as decimal(38, 0))",
    ),
    # Its cast takes no null, and its functions keep it.
    "clickhouse": Dialect(
        "clickhouse",
        _SQL,
        day="toDate({}, 'UTC')",
        hour="toStartOfHour({}, 'UTC')",
        micros="toUnixTimestamp64Micro({})",
        double="toFloat64({})",
        long="toInt64({})",
        wide="toDecimal128({}, 0)",
    ),
    # By numbers: its functions of time go by the session's zone.
    "spark": Dialect(
        "spark",
        "create or replace temporary view {} as",
        day="date_from_unix_date(cast(floor(unix_micros({}) / 86400000000) as int))",
        hour="timestamp_micros(cast(floor(unix_micros({}) / 3600000000) as bigint) * 3600000000)",
        micros="unix_micros({})",
        double="cast({} as double)",
        long="cast({} as bigint)",
        wide="cast({} as decimal(38, 0))",
    ),
    "trino": Dialect(
        "trino",
        _SQL,
        day="cast({} at time zone 'UTC' as date)",
        hour="date_trunc('hour', {} at time zone 'UTC')",
        micros="(to_unixtime({}) * 1e6)",
        double="cast({} as double)",
        long="cast({} as bigint)",
        wide="cast({} as decimal(38, 0))",
    ),
}


def views(dialect: str, sources: Sequence[str], bytes_per_token: float = 4) -> list[str]:
    """Return statements that make the views, over what `sources` makes bcp_calls and bcp_errors of."""
    d = _OF[dialect]
    return [
        *sources,
        _usage(d, "bcp_usage_1h", d.hour.format("start_time")),
        _usage(d, "bcp_usage_1d", d.day.format("start_time")),
        _errors(d),
        _sessions(d),
        _session_stats(d),
        _top_users(d),
        _context_cost(d, bytes_per_token),
    ]


def sources(dialect: str, location: str, *, catalog: str | None = None, by_path: bool = False) -> list[str]:
    """Return statements that make bcp_calls and bcp_errors, of Iceberg's tables or of files by their paths.

    `location` is a folder or s3://...; `catalog` is what the engine calls a catalogue that it knows already.
    """
    d = _OF[dialect]
    if by_path and dialect == "trino":
        raise InvalidArgument("Trino reads no files by their paths.", hint="Publish them: archive --iceberg.")
    made = []
    for table in (_CALLS, _ERRORS):
        of = _source(dialect, location, table, catalog, by_path)
        made.append(f"{d.create.format(_BASES[table])} select * from {of}")  # noqa: S608 - texts of this file
    if dialect == "duckdb" and not by_path and catalog is None:
        return ["load iceberg", "set unsafe_enable_version_guessing = true", *made]
    return made


def _source(dialect: str, location: str, table: str, catalog: str | None, by_path: bool) -> str:  # noqa: FBT001
    if by_path:
        files, folder = f"{location}/table={table}/*/*.parquet", f"{location}/table={table}"
        if dialect == "spark":
            return f"parquet.`{folder.replace('`', '``')}`"
        if dialect == "clickhouse":
            function = "s3" if location.startswith("s3://") else "file"
            return f"{function}({_text(files, dialect)}, 'Parquet')"
        return f"read_parquet({_text(files, dialect)}, hive_partitioning = false, union_by_name = true)"
    if catalog is None and dialect in {"spark", "trino"}:
        catalog = "bcp"
    if catalog is not None:
        return f"{catalog}.bcp.{table}"
    where = _text(f"{location}/_iceberg/{table}", dialect)
    if dialect == "clickhouse":
        return f"{'icebergS3' if location.startswith('s3://') else 'icebergLocal'}({where})"
    return f"iceberg_scan({where})"


def _text(value: str, dialect: str) -> str:
    if dialect == "clickhouse":
        value = value.replace("\\", "\\\\")
    return "'" + value.replace("'", "''") + "'"


def _count(condition: str) -> str:
    return f"sum(case when {condition} then 1 else 0 end)"


def _share(d: Dialect, part: str, of: str) -> str:
    return f"{d.double.format(part)} / nullif({d.double.format(of)}, 0e0)"


def _bytes(d: Dialect, column: str) -> str:
    """Of a sum of bytes: what the store answers, which never passes 9e18."""
    return d.long.format(f"least(greatest(coalesce({d.double.format(column)}, 0e0), 0e0), {_MOST})")


def _latency(column: str) -> str:
    return f"case when {column} = -32768 then 0e0 else power({_GAMMA}, {column}) * {_FACTOR} end"


def _at(d: Dialect, percentile: str, value: str) -> str:
    """Of rows with up_to, how many values there are until this one, of total: the value of a percentile."""
    rank = f"greatest(ceil({percentile} * {d.double.format('total')}), 1e0)"
    return f"min(case when {value} is not null and {d.double.format('up_to')} >= {rank} then {value} end)"


def _usage(d: Dialect, view: str, bucket: str) -> str:
    key = "bucket" if view.endswith("1h") else "day"
    keys = f"{key}, bcp_name, tool_name"
    clamped = [
        f"least(greatest({_latency(f'p{n}')}, min_ms), max_ms) as p{n}_duration_ms" for n in (50, 95, 99)
    ]
    return f"""{d.create.format(view)}
with counted as (
    select {bucket} as {key}, bcp_name, tool_name, lat_idx, count(*) as calls,
        {_count("success")} as ok, {_count("not success")} as failed,
        count(duration_ms) as timed, sum(duration_ms) as ms, min(duration_ms) as least_ms,
        max(duration_ms) as most_ms, sum({d.wide.format("request_bytes")}) as sent,
        sum({d.wide.format("response_bytes")}) as answered
    from bcp_calls
    where operation <> 'tools/list'
    group by {bucket}, bcp_name, tool_name, lat_idx
), ranked as (
    select counted.*,
        sum(case when lat_idx is null then 0 else calls end)
            over (partition by {keys} order by coalesce(lat_idx, -40000) rows between unbounded preceding and
                current row) as up_to,
        sum(case when lat_idx is null then 0 else calls end) over (partition by {keys}) as total
    from counted
), summed as (
    select {keys}, sum(calls) as n, sum(ok) as successes, sum(failed) as errors, sum(timed) as timed_calls,
        sum(ms) as sum_ms, min(least_ms) as min_ms, max(most_ms) as max_ms, sum(sent) as all_sent,
        sum(answered) as all_answered, {_at(d, "0.5e0", "lat_idx")} as p50,
        {_at(d, "0.95e0", "lat_idx")} as p95,
        {_at(d, "0.99e0", "lat_idx")} as p99
    from ranked
    group by {keys}
)
select {keys}, {d.long.format("n")} as call_count, {d.long.format("successes")} as success_count,
    {d.long.format("errors")} as error_count, {_share(d, "successes", "successes + errors")} as success_rate,
    {_share(d, "sum_ms", "timed_calls")} as avg_duration_ms,
    {", ".join(clamped)},
    max_ms as max_duration_ms, {_bytes(d, "all_sent")} as request_bytes,
    {_bytes(d, "all_answered")} as response_bytes
from summed"""  # noqa: S608 - texts of this file


def _errors(d: Dialect) -> str:
    rank = " ".join(f"when '{level}' then {n}" for n, level in enumerate(_LEVELS, 1))
    day = d.day.format("e.timestamp")
    return f"""{d.create.format("bcp_errors_1d")}
with grouped as (
    select {day} as day, e.level, e.bcp_name, e.tool_name, e.error_type, count(*) as n,
        count(distinct e.fingerprint) as issues, min(e.timestamp) as first_at, max(e.timestamp) as last_at
    from bcp_errors e
    group by {day}, e.level, e.bcp_name, e.tool_name, e.error_type
)
select day, level, case level {rank} end as level_rank, bcp_name, tool_name, error_type,
    {d.long.format("n")} as error_count, {_share(d, "n", "sum(n) over (partition by day)")} as share,
    {d.long.format("issues")} as issue_count, first_at as first_seen, last_at as last_seen
from grouped"""  # noqa: S608


def _sessions(d: Dialect) -> str:
    lasted = f"{d.double.format(d.micros.format('last_at') + ' - ' + d.micros.format('first_at'))} / 1000e0"
    return f"""{d.create.format("bcp_sessions")}
with grouped as (
    select session_id, min(user_id) as of_user, min(client_name) as of_client, min(start_time) as first_at,
        max(coalesce(end_time, start_time)) as last_at, {_count("operation <> 'tools/list'")} as calls,
        {_count("operation <> 'tools/list' and not success")} as errors
    from bcp_calls
    where session_id is not null
    group by session_id
)
select session_id, of_user as user_id, of_client as client_name, {d.day.format("first_at")} as day,
    first_at as started_at, last_at as last_activity, {d.long.format("calls")} as call_count,
    {d.long.format("errors")} as error_count, {lasted} as duration_ms
from grouped"""  # noqa: S608


def _session_stats(d: Dialect) -> str:
    keys = "day, client_name"
    return f"""{d.create.format("bcp_session_stats_1d")}
with ranked as (
    select bcp_sessions.*,
        row_number() over (partition by {keys} order by duration_ms) as up_to,
        count(*) over (partition by {keys}) as total
    from bcp_sessions
), summed as (
    select {keys}, count(*) as sessions, count(distinct user_id) as users, sum(call_count) as calls,
        sum(error_count) as errors, {_count("call_count = 1")} as single, avg(duration_ms) as mean,
        {_at(d, "0.5e0", "duration_ms")} as p50, {_at(d, "0.95e0", "duration_ms")} as p95,
        max(duration_ms) as most
    from ranked
    group by {keys}
)
select {keys}, {d.long.format("sessions")} as session_count, {d.long.format("users")} as user_count,
    {d.long.format("calls")} as call_count, {d.long.format("errors")} as error_count,
    {_share(d, "calls", "sessions")} as calls_per_session, {d.long.format("single")} as single_call_count,
    mean as avg_duration_ms, p50 as p50_duration_ms, p95 as p95_duration_ms, most as max_duration_ms
from summed"""  # noqa: S608


def _top_users(d: Dialect) -> str:
    day = d.day.format("start_time")
    return f"""{d.create.format("bcp_top_users_1d")}
with grouped as (
    select {day} as day, user_id, {_count("operation <> 'tools/list'")} as calls,
        {_count("operation <> 'tools/list' and success")} as ok,
        {_count("operation <> 'tools/list' and not success")} as failed,
        sum({d.wide.format("response_bytes")}) as answered
    from bcp_calls
    where user_id is not null
    group by {day}, user_id
)
select day, user_id, {d.long.format("calls")} as call_count, {d.long.format("ok")} as success_count,
    {d.long.format("failed")} as error_count, {_share(d, "ok", "ok + failed")} as success_rate,
    {_share(d, "calls", "sum(calls) over (partition by day)")} as share,
    {_bytes(d, "answered")} as response_bytes
from grouped
where calls > 0"""  # noqa: S608


def _context_cost(d: Dialect, bytes_per_token: float) -> str:
    day = d.day.format("start_time")
    given_bytes = f"sum(case when response_tokens is not null then {d.wide.format('response_bytes')} end)"
    estimate = (
        f"coalesce({d.double.format('given')}, 0e0) + greatest(coalesce({d.double.format('answered')}, 0e0)"
        f" - coalesce({d.double.format('of_given')}, 0e0), 0e0) / {float(bytes_per_token)!r}e0"
    )
    # PostgreSQL rounds halves of doubles to the even number.
    rounded = (
        "floor(filled) + case when filled - floor(filled) > 0.5e0 then 1e0"
        " when filled - floor(filled) < 0.5e0 then 0e0"
        " else floor(filled) - 2e0 * floor(floor(filled) / 2e0) end"
    )
    return f"""{d.create.format("bcp_context_cost_1d")}
with grouped as (
    select {day} as day, bcp_name, tool_name, count(*) as calls,
        sum({d.wide.format("response_bytes")}) as answered,
        sum({d.wide.format("response_tokens")}) as given, {given_bytes} as of_given
    from bcp_calls
    group by {day}, bcp_name, tool_name
), estimated as (
    select day, bcp_name, tool_name, calls, {_bytes(d, "answered")} as bytes, given, {estimate} as filled
    from grouped
)
select day, bcp_name, tool_name, {d.long.format("calls")} as call_count, bytes as response_bytes,
    {_share(d, "bytes", "calls")} as avg_response_bytes,
    filled / nullif(sum(filled) over (partition by day), 0e0) as share,
    {d.long.format(f"least({rounded}, {_MOST})")} as tokens, {_bytes(d, "given")} as given_tokens
from estimated"""  # noqa: S608
