# ruff: noqa: E501 - a clause of SQL stays on its line
"""The rows that benchmarks/questions.py asks about: made up once, and in every store the same.

Sessions are made up first: each has a user, a client and a model, begins more often by day than by night, and makes
12 calls on average. Its calls follow each other after some seconds; tools are called as Zipf's law has it, and each
tool's durations are lognormal with a median and a spread of its own. One session of eleven asks for the list of tools.
Arguments are a path, a search, a statement or a message; answers are text of some hundred bytes to 2 kB. A failed call
leaves an error, of one of several causes.

The store is as one in use is: chunks older than a day are in the columnstore, and aggregates were refreshed five
minutes ago. What was stored since then, and what belongs to a bucket that is not over, is raw rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql

from benchmarks.requirements import BY_MONTH, INDEXES

if TYPE_CHECKING:
    from pathlib import Path

    Connection = psycopg.Connection[Any]

NOW = "2026-11-20 13:37:21+00"
D90 = "2026-08-22 13:37:21+00"

MADE_UP: LiteralString = """
create schema bench;
select setseed(0.7);
create table bench.tools as
select n, 'bundle-' || n %% 12 as bcp_name, 'tool-' || n as tool_name, ln(5) + random() * ln(400) as mu,
       0.4 + 0.8 * random() as sigma, 0.9 + 0.0999 * random() as ok
from generate_series(1, 200) n;
create table bench.words as
select n, substr('bcdfghklmnprstvw', n %% 16 + 1, 1) || substr('aeiou', n %% 5 + 1, 1)
       || substr('lmnrstx', n %% 7 + 1, 1) || case n %% 3 when 0 then 'ing' when 1 then 'a' else '' end as word
from generate_series(0, 1499) n;
create table bench.texts as
with places as materialized (
    select t.n, floor(1500 * power(random(), 2))::integer as word
    from generate_series(0, 4999) as t (n) cross join generate_series(1, 180) as place
)
select p.n, string_agg(w.word, ' ') as body from places p join bench.words w on w.n = p.word group by p.n;
create unlogged table bench.sessions as
select
    s, case when random() < 0.95 then 'u' || floor(2000 * power(random(), 2))::integer end as user_id,
    's-' || s as session_id, c.n as client, 'client-' || c.n as client_name, '1.' || floor(3 * random())::integer
        as client_version, 'model-' || floor(5 * power(random(), 2))::integer as client_model,
    1 + floor(-ln(1 - random()) * 11.5)::integer as calls,
    -- Two of five sessions of the night are moved by twelve hours, into the day.
    case when random() < 0.4 and extract(hour from a.at at time zone 'UTC') < 7
              and a.at < %(now)s::timestamptz - interval '12 hours'
         then a.at + interval '12 hours' else a.at end as started_at
from generate_series(1, %(calls)s * 11 / 120 + 10) as s
cross join lateral (
    select %(since)s::timestamptz + (s * 0 + random()) * interval '90 days') as a (at)
cross join lateral (select floor(6 * power(s * 0 + random(), 2))::integer) as c (n);
create unlogged table bench.calls as
with zipf as materialized (
    select array_agg(upto::double precision order by n) as upto
    from (select n, sum(1.0 / n) over (order by n) / sum(1.0 / n) over () as upto from bench.tools) z
), drawn as (
    select
        s.*, g.place, width_bucket(random(), z.upto) + 1 as tool,
        s.started_at + interval '1 second' * sum(-20 * ln(1 - random())) over (partition by s.s order by g.place)
            as start_time,
        sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) as normal, random() as luck, random() as how
    from bench.sessions s
    cross join lateral generate_series(1, s.calls) as g (place)
    cross join zipf z
)
select
    d.i, d.start_time, d.user_id, d.session_id, d.client_name, d.client_version, d.client_model, d.tool,
    t.bcp_name, case when d.list then 'tools/list' else t.tool_name end as tool_name,
    case when d.list then 'tools/list' else 'tools/call' end as operation,
    '2.' || floor(extract(epoch from d.start_time - %(since)s::timestamptz) / 1000000)::integer as release,
    interval '1 microsecond' * greatest(round(1000 * exp(t.mu + t.sigma * d.normal)), 1) as took,
    case when d.list or d.luck < t.ok then 'success' when d.how < 0.65 then 'error' when d.how < 0.8 then 'timeout'
         when d.how < 0.9 then 'rejected' when d.how < 0.95 then 'soft_fail' else 'cancelled' end as outcome,
    case when d.how < 0.3 then 'ConnectionError' when d.how < 0.5 then 'OSError' when d.how < 0.65 then 'ValueError'
         when d.how < 0.8 then 'TimeoutError' else 'Refused' end as cause,
    -- Bytes of the answer: lognormal around 350, at most 2,000.
    least(40 + round(350 * exp(0.8 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())))::integer, 2000) as size,
    random() < 0.3 as counted
from (
    -- Sessions are made up in no order of time, so these calls are spread over all of it.
    select d.*, row_number() over () as i, d.place = 1 and d.s %% 11 = 0 as list
    from drawn d where d.start_time < %(now)s
    limit %(calls)s
) d
join bench.tools t on t.n = case when d.list then 1 + d.s %% 12 else d.tool end
order by d.start_time;
create index on bench.calls (start_time);
alter table bench.texts add primary key (n);
analyze bench.calls, bench.texts, bench.tools;
"""

ROWS: LiteralString = """
insert into bcp.tool_usage_logs (
    start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success, outcome, error_type,
    error_message, parameters, response_data, request_bytes, response_bytes, response_tokens, user_id, session_id,
    request_id, client_name, client_version, client_model, release)
select
    c.start_time, c.start_time + c.took, c.start_time + c.took, md5(c.i::text)::uuid, c.bcp_name, c.tool_name,
    c.operation, case c.outcome when 'success' then true when 'cancelled' then null else false end, c.outcome,
    case when c.outcome not in ('success', 'cancelled') then c.cause end,
    case when c.outcome not in ('success', 'cancelled') then c.cause || ': ' || left(b.body, 60) end,
    case when c.operation = 'tools/list' then null else p.parameters end, r.response,
    octet_length(p.parameters::text), octet_length(r.response::text),
    case when c.counted then octet_length(r.response::text) * 3 / 11 end, c.user_id, c.session_id,
    'r' || c.i, c.client_name, c.client_version, c.client_model, c.release
from bench.calls c
join bench.texts a on a.n = mod(c.i * 7919, 5000)
join bench.texts b on b.n = mod(c.i * 104729 + 13, 5000)
cross join lateral (
    select case c.tool %% 4
        when 0 then jsonb_build_object('path', '/srv/data/' || mod(c.i, 5000), 'limit', 100 * (1 + mod(c.i, 9)))
        when 1 then jsonb_build_object(
            'query', left(b.body, 10 + mod(c.i, 50)::integer), 'top', mod(c.i, 20), 'language', 'en')
        when 2 then jsonb_build_object(
            'statement', 'select ' || left(b.body, 40) || ' from t' || mod(c.i, 300) || ' where id = ' || c.i,
            'timeout', 30)
        else jsonb_build_object('channel', 'c' || mod(c.i, 40), 'text', left(b.body, 60 + mod(c.i, 200)::integer))
    end
) as p (parameters)
cross join lateral (
    select case when c.operation = 'tools/list'
        then jsonb_build_object('tools', (
            select jsonb_agg(jsonb_build_object('name', t.tool_name, 'bytes', 200 + 10 * t.n))
            from bench.tools t where t.bcp_name = c.bcp_name and t.n %% 20 > 0))
        else jsonb_build_object('content', jsonb_build_array(jsonb_build_object(
            'type', 'text', 'text', left(b.body || ' ' || a.body, c.size)))) end
) as r (response)
where c.start_time >= %s and c.start_time < %s
order by c.start_time
"""

# Errors have the number of a host or a file in their message, which does not count for the cause.
REST: LiteralString = """
insert into bcp.error_logs (
    "timestamp", created_at, event_id, level, message, fingerprint, error_type, bcp_name, tool_name, operation,
    user_id, session_id, release)
select
    end_time, end_time, md5('error' || event_id)::uuid,
    case error_type when 'OSError' then 'fatal' when 'Refused' then 'warn' else 'error' end::bcp.error_level_enum,
    case error_type when 'ConnectionError' then 'connection refused by 10.0.0.' || mod(request_bytes, 9)
         else error_message end,
    left(md5(concat(bcp_name, tool_name, error_type, mod(request_bytes, 3))), 16), error_type, bcp_name, tool_name,
    operation, user_id, session_id, release
from bcp.tool_usage_logs
where not success and start_time >= %(since)s and start_time < %(until)s order by end_time;
"""

PEOPLE: LiteralString = """
insert into bcp.error_issues
select fingerprint, min("timestamp"), max("timestamp"), count(*), max(level), max(message), max(error_type),
       max(bcp_name), max(tool_name)
from bcp.error_logs group by fingerprint;
insert into bcp.users
select user_id, min(start_time), max(start_time) from bcp.tool_usage_logs where user_id is not null group by user_id;
insert into bcp.user_sessions (
    session_id, user_id, client_name, client_version, started_at, last_activity, ended_at, tool_calls_count,
    errors_count)
select session_id, max(user_id), max(client_name), max(client_version), min(start_time), max(end_time),
       case when session_id like '%7' then max(end_time) end, count(*) filter (where operation <> 'tools/list'),
       count(*) filter (where not success)
from bcp.tool_usage_logs group by session_id;
"""

REQUIREMENTS: LiteralString = (
    BY_MONTH
    + """
insert into requirements.users select generate_series(0, 1999);
insert into requirements.tool_usage_logs (
    bcp_name, tool_name, operation, parameters, response_data, user_id, session_id, start_time, end_time, success,
    error_message, user_agent, created_at)
select bcp_name, tool_name, operation, parameters, response_data, substr(user_id, 2)::integer, session_id,
       start_time, end_time, success, error_message, client_name, start_time
from bcp.tool_usage_logs where operation <> 'tools/list' order by start_time;
"""
    + INDEXES
)

CALLS: LiteralString = """
select start_time at time zone 'UTC' as start_time, bcp_name, tool_name, operation, duration_ms, success::int,
       outcome, error_type, user_id, session_id, client_name, client_model, request_bytes, response_bytes,
       response_tokens, event_id, parameters, case when operation = 'tools/list' then response_data end as listed
from bcp.tool_usage_logs order by start_time
"""
SESSIONS: LiteralString = """
select started_at at time zone 'UTC' as started_at, user_id, client_name, tool_calls_count, errors_count,
       extract(epoch from greatest(last_activity, ended_at) - started_at) * 1000 as ms, ended_at is not null as ended
from bcp.user_sessions
"""
ERRORS: LiteralString = """
select "timestamp" at time zone 'UTC' as happened_at, level, bcp_name, tool_name, error_type, fingerprint, message
from bcp.error_logs order by 1
"""
EXPORTS: dict[str, tuple[LiteralString, str]] = {
    "calls": (
        CALLS,
        (
            "{'start_time': 'timestamp', 'bcp_name': 'varchar', 'tool_name': 'varchar', 'operation': 'varchar',"
            " 'duration_ms': 'double', 'success': 'boolean', 'outcome': 'varchar', 'error_type': 'varchar',"
            " 'user_id': 'varchar', 'session_id': 'varchar', 'client_name': 'varchar', 'client_model': 'varchar',"
            " 'request_bytes': 'bigint', 'response_bytes': 'bigint', 'response_tokens': 'bigint', 'event_id': 'varchar',"
            " 'parameters': 'varchar', 'listed': 'varchar'}"
        ),
    ),
    "sessions": (
        SESSIONS,
        (
            "{'started_at': 'timestamp', 'user_id': 'varchar', 'client_name': 'varchar', 'tool_calls_count': 'bigint',"
            " 'errors_count': 'bigint', 'ms': 'double', 'ended': 'boolean'}"
        ),
    ),
    "errors": (
        ERRORS,
        (
            "{'happened_at': 'timestamp', 'level': 'varchar', 'bcp_name': 'varchar', 'tool_name': 'varchar',"
            " 'error_type': 'varchar', 'fingerprint': 'varchar', 'message': 'varchar'}"
        ),
    ),
}


# What chDB makes of them.
SCHEMA = {
    "calls": "start_time DateTime64(6, 'UTC'), bcp_name LowCardinality(String), tool_name LowCardinality(String),"
    " operation LowCardinality(String), duration_ms Float64, success Nullable(Bool),"
    " outcome LowCardinality(String), error_type LowCardinality(Nullable(String)), user_id Nullable(String),"
    " session_id String, client_name LowCardinality(String), client_model LowCardinality(String),"
    " request_bytes Nullable(Int64), response_bytes Nullable(Int64), response_tokens Nullable(Int64), event_id String,"
    " parameters Nullable(String), listed Nullable(String)",
    "sessions": "started_at DateTime64(6, 'UTC'), user_id Nullable(String), client_name LowCardinality(String),"
    " tool_calls_count Int64, errors_count Int64, ms Float64, ended Bool",
    "errors": "happened_at DateTime64(6, 'UTC'), level LowCardinality(String), bcp_name LowCardinality(String),"
    " tool_name LowCardinality(String), error_type LowCardinality(String), fingerprint String, message String",
}


def execute(conn: Connection, script: LiteralString, **arguments: object) -> None:
    with psycopg.ClientCursor(conn) as cur:
        cur.execute(script, arguments or None)


def at(conn: Connection, moment: datetime) -> None:
    conn.execute("select set_config('bcp.now', %s, false)", [moment.isoformat()])


def load(conn: Connection, calls: int, *, theirs: bool) -> None:
    """Make up the calls, and store them in both designs."""
    now = datetime.fromisoformat(NOW)
    refreshed = now - timedelta(minutes=5)
    execute(conn, MADE_UP, calls=calls, since=D90, now=NOW)
    at(conn, now)
    # The index on parameters comes back when only chunks without columnstore are left to fill.
    conn.execute("update bcp.settings set value = 'off' where name = 'index_parameters'")
    conn.execute("select bcp.apply_policies()")
    begin = datetime.fromisoformat(D90)
    while begin < refreshed:
        # By chunks, each to the columnstore before the next, so that rows take little room in between.
        end = min((begin + timedelta(days=1)).replace(hour=0, minute=0, second=0), refreshed)
        with psycopg.ClientCursor(conn) as cur:
            cur.execute(ROWS, [begin, end])
        execute(conn, REST, since=begin, until=end)
        if end < now - timedelta(days=1):
            conn.execute(
                "select compress_chunk(c, true) from unnest(array["
                "'bcp.tool_usage_logs'::regclass, 'bcp.error_logs']) t,"
                " lateral show_chunks(t, older_than => %s::timestamptz, newer_than => %s::timestamptz) c",
                [end, begin - timedelta(days=1)],
            )
        begin = end
    conn.execute("update bcp.settings set value = 'on' where name = 'index_parameters'")
    conn.execute("select bcp.apply_policies()")
    at(conn, refreshed)
    refresh(conn)
    at(conn, now)
    with psycopg.ClientCursor(conn) as cur:
        cur.execute(ROWS, [refreshed, now])
    execute(conn, REST, since=refreshed, until=now)
    conn.execute(PEOPLE)
    if theirs:
        conn.execute(REQUIREMENTS)
    conn.execute("drop table bench.calls, bench.sessions, bench.texts, bench.words")
    conn.execute("vacuum analyze")
    conn.execute("checkpoint")
    conn.execute(
        "create table bench.prepared as select %s::bigint as calls, %s::boolean as theirs", [calls, theirs]
    )


def refresh(conn: Connection) -> None:
    """Aggregate everything, as a store in use has done day by day, of which Berlin is the time zone."""
    conn.execute("update bcp.settings set value = 'Europe/Berlin' where name = 'time_zone'")
    conn.execute("select bcp.apply_policies()")
    # A store in use aggregates each day while it is young. A refresh of today would leave out the oldest two.
    aggregates = conn.execute(
        "select name, bcp_internal.bucket_start(bucket, bcp_internal.now(), time_zone)"
        " from bcp_internal.aggregates() order by ordinal"
    )
    for name, until in aggregates.fetchall():
        execute(
            conn, "call bcp_internal.refresh_aggregate(%(name)s, null, %(until)s)", name=name, until=until
        )
    conn.execute("call bcp.refresh_analytics_views()")
    conn.execute("call bcp_internal.columnstore_aggregates()")
    conn.execute("call bcp_internal.columnstore_tables()")


def export(conn: Connection, folder: Path) -> None:
    """Write the rows for the other engines."""
    import duckdb  # noqa: PLC0415  # only where it is asked for

    for name, (query, columns) in EXPORTS.items():
        csv, parquet = folder / f"{name}.csv", folder / f"{name}.parquet"
        if parquet.exists():
            continue
        statement = sql.SQL("copy ({}) to stdout (format csv)").format(sql.SQL(query))
        with csv.open("wb") as file, conn.cursor().copy(statement) as copy:
            for part in copy:
                file.write(part)
        rows = f"select * from read_csv('{csv}', header = false, columns = {columns})"
        duckdb.execute(f"copy ({rows}) to '{parquet}' (format parquet, compression zstd)")
        csv.unlink()
