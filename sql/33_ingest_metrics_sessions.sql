-- Ingest of metrics and sessions.

create or replace function bcp_internal.metric_period(p_period text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_period not in ('raw', '1m', '5m', '1h', '1d') then
        raise exception using errcode = 'ZB005', message = 'aggregation_period is none of raw, 1m, 5m, 1h, 1d';
    end if;
    return coalesce(p_period, 'raw');
end
$func$;

comment on function bcp_internal.metric_period(text) is
    'Period that a metric was aggregated over, raw by default; ZB005 where it is none.';

create or replace function bcp_internal.metric_value(p_value numeric) returns double precision
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Far beyond what anybody measures, and far enough from 1.8e308 that sums and sums of squares fit.
    if abs(p_value) > 1e100 then
        raise exception using errcode = 'ZB005', message = 'metric_value is not from -1e100 to 1e100';
    end if;
    return p_value::double precision;
end
$func$;

comment on function bcp_internal.metric_value(numeric) is
    'Value of a metric; ZB005 where it is so large that sums of such values could overflow.';

create or replace function bcp_internal.store_metrics(p_events jsonb[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_oldest constant timestamptz := v_now - bcp_internal.setting('max_event_age')::interval;
    v_latest constant timestamptz := v_now + bcp_internal.setting('max_event_lead')::interval;
    v_stored bigint;
    v_series text[];
begin
    perform bcp_internal.store_as_usual();
    with masked as materialized (
        select m.n, m.raw, m.e, m.attributes from bcp_internal.mask_events('metrics', p_events) as m
    ), typed as materialized (
        select
            n,
            coalesce(bcp_internal.event_time('timestamp', raw ->> 'timestamp', v_oldest, v_latest), v_now) as happened,
            bcp_internal.event_uuid(bcp_internal.event_id(raw ->> 'event_id')) as given_id,
            bcp_internal.event_text('metric_name', e ->> 'metric_name', 500) as metric_name,
            bcp_internal.metric_value((raw -> 'metric_value')::numeric) as metric_value,
            coalesce(nullif(e -> 'labels', 'null'), '{}') as labels,
            bcp_internal.metric_period(e ->> 'aggregation_period') as aggregation_period,
            attributes
        from masked
    ), keys as materialized (
        select id from bcp_internal.new_keys(
            'metrics', array(select given_id from typed where given_id is not null)) as id
    ), fresh as materialized (
        select * from typed where given_id is null
        union all
        (select distinct on (given_id) typed.* from typed join keys on keys.id = given_id order by given_id, n)
    ), stored as (
        insert into bcp.performance_metrics (
            "timestamp", created_at, event_id, metric_name, metric_value, labels, aggregation_period, attributes)
        select
            happened, v_now, coalesce(given_id, bcp_internal.uuidv7(happened)), metric_name, metric_value, labels,
            aggregation_period, attributes
        from fresh
    )
    select count(*), array_agg(metric_name || labels::text) into v_stored, v_series from fresh;
    perform bcp_internal.note_names('metric', v_series);
    return v_stored;
end
$func$;

comment on function bcp_internal.store_metrics(jsonb[]) is
    'Masks and stores metrics whose shape is right, and returns how many were new; raises an error where one cannot be '
    'stored.';

create or replace function bcp_internal.store_sessions(p_events jsonb[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_oldest constant timestamptz := v_now - bcp_internal.setting('max_event_age')::interval;
    v_latest constant timestamptz := v_now + bcp_internal.setting('max_event_lead')::interval;
    v_rows bcp.user_sessions[];
begin
    select array_agg(row(
        bcp_internal.event_text('session_id', m.e ->> 'session_id', 500),
        bcp_internal.event_id(m.e ->> 'user_id'),
        nullif(m.e ->> 'client_name', ''),
        nullif(m.e ->> 'client_version', ''),
        bcp_internal.event_ip(m.raw ->> 'ip_address'),
        m.e ->> 'user_agent',
        coalesce(t.started_at, t.last_activity, t.ended_at, v_now),
        coalesce(greatest(t.started_at, t.last_activity, t.ended_at), v_now),
        bcp_internal.session_end(t.started_at, t.ended_at),
        0,
        0,
        m.attributes,
        'given',
        null
    )::bcp.user_sessions order by m.n)
    into v_rows
    from bcp_internal.mask_events('sessions', p_events) as m
    cross join lateral (
        select
            bcp_internal.event_time('started_at', m.raw ->> 'started_at', v_oldest, v_latest),
            bcp_internal.event_time('last_activity', m.raw ->> 'last_activity', v_oldest, v_latest),
            bcp_internal.event_time('ended_at', m.raw ->> 'ended_at', v_oldest, v_latest)
    ) as t (started_at, last_activity, ended_at);
    perform bcp_internal.touch_users(array_agg(user_id), array_agg(last_activity)) from unnest(v_rows);
    perform bcp_internal.touch_sessions(v_rows);
    return cardinality(v_rows);
end
$func$;

comment on function bcp_internal.store_sessions(jsonb[]) is
    'Masks sessions whose shape is right, and stores what is new of them; raises an error where one cannot be stored.';

create or replace function bcp_internal.session_end(p_started_at timestamptz, p_ended_at timestamptz)
returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_ended_at < p_started_at then
        raise exception using errcode = 'ZB005', message = 'ended_at is before started_at';
    end if;
    return p_ended_at;
end
$func$;

comment on function bcp_internal.session_end(timestamptz, timestamptz) is
    'End of a session; ZB005 where it is before its start.';

create or replace function bcp.ingest_metrics(
    p_batch_id uuid, p_events jsonb, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('metrics', p_batch_id, p_events, p_source)
$func$;

comment on function bcp.ingest_metrics(uuid, jsonb, text) is
    'Takes in an array of metrics; batch ids, event ids, bad values, the ledger and p_source work as in '
    'bcp.ingest_tool_usage.';

grant execute on function bcp.ingest_metrics(uuid, jsonb, text) to bcp_writer;

create or replace function bcp.ingest_metrics(
    p_batch_id uuid, p_events_text text, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest_text('metrics', p_batch_id, p_events_text, p_source)
$func$;

comment on function bcp.ingest_metrics(uuid, text, text) is
    'The same for a batch as text: an event that jsonb cannot hold is repaired instead of failing the call.';

grant execute on function bcp.ingest_metrics(uuid, text, text) to bcp_writer;

create or replace function bcp.ingest_sessions(
    p_batch_id uuid, p_events jsonb, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('sessions', p_batch_id, p_events, p_source)
$func$;

comment on function bcp.ingest_sessions(uuid, jsonb, text) is
    'Takes in an array of sessions; batch ids, bad values, the ledger and p_source work as in bcp.ingest_tool_usage. '
    'Each event adds to what is known of its session, so the same one again changes nothing.';

grant execute on function bcp.ingest_sessions(uuid, jsonb, text) to bcp_writer;

create or replace function bcp.ingest_sessions(
    p_batch_id uuid, p_events_text text, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest_text('sessions', p_batch_id, p_events_text, p_source)
$func$;

comment on function bcp.ingest_sessions(uuid, text, text) is
    'The same for a batch as text: an event that jsonb cannot hold is repaired instead of failing the call.';

grant execute on function bcp.ingest_sessions(uuid, text, text) to bcp_writer;
