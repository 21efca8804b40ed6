-- A session changes as long as it goes on, so no continuous aggregate can count sessions. Their figures by day are kept
-- here, and each statement that changes a session notes of which days these are no longer right: see
-- sql/60_session_days.sql. The first run of its job fills them; until then the sessions themselves answer.
create table bcp_internal.session_days (
    day timestamptz not null,
    client_name text,
    session_count bigint not null,
    user_count bigint not null,
    ended_count bigint not null,
    call_count bigint not null,
    error_count bigint not null,
    calls_per_session double precision,
    single_call_count bigint not null,
    avg_duration_ms double precision,
    p50_duration_ms double precision,
    p95_duration_ms double precision,
    max_duration_ms double precision,
    last_activity timestamptz not null
);

create index session_days_day_idx on bcp_internal.session_days (day);

comment on table bcp_internal.session_days is
    'Sessions by the UTC day on which they began and by client, as bcp.session_stats has them. A day of which none is '
    'left has one row that counts none. Days of bcp_internal.changed_session_days do not count.';

comment on column bcp_internal.session_days.last_activity is 'Latest event of these sessions, of whatever day.';

-- Without an index or a key: ingest adds a row per batch, and no batch waits for another.
create table bcp_internal.changed_session_days (
    day timestamptz not null
);

comment on table bcp_internal.changed_session_days is
    'UTC days on which sessions began that have changed since bcp_internal.session_days was made.';
