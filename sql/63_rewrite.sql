-- To change rows that are stored already, compressed ones too, and put the aggregates right: what erasure and late
-- masking share.

create or replace function bcp_internal.written_columns(p_relation regclass)
returns table (column_name text, kind text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select
        attname,
        case
            when atttypid = 'jsonb'::regtype then 'json'
            when attname in (
                'error_message', 'message', 'stack_trace', 'user_agent', 'notes', 'resolution_notes', 'reason', 'last_error',
                'note') then 'text'
            else 'name'
        end
    from pg_attribute
    where attrelid = p_relation
      and attnum > 0
      and not attisdropped
      and attgenerated = ''
      and atttypid in ('text'::regtype, 'jsonb'::regtype)
    order by attnum
$func$;

comment on function bcp_internal.written_columns(regclass) is
    'Columns that may name a person: json; text, which people or programs wrote; and name, such as a tool, where only what cannot be a word by chance is replaced.';

create or replace function bcp_internal.event_chunks(p_before timestamptz default 'infinity')
returns table (table_name text, range_start timestamptz, range_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select hypertable_name, range_start, range_end
    from timescaledb_information.chunks
    where hypertable_schema = 'bcp' and range_end <= p_before
    order by hypertable_name, range_start
$func$;

comment on function bcp_internal.event_chunks(timestamptz) is 'Chunks of the hypertables that end by a time.';

create or replace function bcp_internal.compress_again(p_relation text, p_start timestamptz, p_end timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- It tells of each chunk where there is nothing to do.
set client_min_messages = warning
as $func$
declare
    v_chunk record;
begin
    for v_chunk in
        select format('%I.%I', c.chunk_schema, c.chunk_name)::regclass as chunk
        from timescaledb_information.chunks c
        left join timescaledb_information.continuous_aggregates a
            on a.materialization_hypertable_schema = c.hypertable_schema
            and a.materialization_hypertable_name = c.hypertable_name
        where coalesce(a.view_schema, c.hypertable_schema) = 'bcp'
          and coalesce(a.view_name, c.hypertable_name) = p_relation
          and c.is_compressed
          and c.range_start < p_end
          and c.range_end > p_start
    loop
        perform public.compress_chunk(v_chunk.chunk);
    end loop;
end
$func$;

comment on function bcp_internal.compress_again(text, timestamptz, timestamptz) is
    'Takes rows that an update or a delete has left beside the columnstore of a chunk back into it.';

create or replace function bcp_internal.refresh_later(p_table text, p_start timestamptz, p_end timestamptz) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_aggregated bigint;
    v_stored bigint;
begin
    if p_table not in (select source_table from bcp_internal.aggregates()) then
        return false;
    end if;
    -- Below the horizon a chunk may be a remainder: rows that came late for one that was dropped. Where the aggregates
    -- know of more rows than it has, a refresh would take them away.
    if not exists (
        select from bcp_internal.pending_refreshes where table_name = p_table and range_start = p_start and range_end = p_end)
    then
        if p_start < (
            select bcp_internal.now() - bcp_internal.refresh_start(retention_days)
            from bcp.data_retention_policies
            where table_name = p_table)
        then
            execute format(
                'select sum(%I) from bcp.%I where bucket >= $1 and bucket < $2',
                case p_table when 'tool_usage_logs' then 'calls' when 'error_logs' then 'errors' else 'samples' end,
                case p_table when 'tool_usage_logs' then 'tool_usage_1m' when 'error_logs' then 'errors_1h' else 'metrics_1m' end)
            into v_aggregated using p_start, p_end;
            execute format(
                'select count(*) from bcp.%I where %I >= $1 and %2$I < $2', p_table, bcp_internal.time_column(p_table))
            into v_stored using p_start, p_end;
            if v_aggregated > v_stored then
                return false;
            end if;
        end if;
        insert into bcp_internal.pending_refreshes (table_name, range_start, range_end) values (p_table, p_start, p_end);
    end if;
    return true;
end
$func$;

comment on function bcp_internal.refresh_later(text, timestamptz, timestamptz) is
    'Notes, before the rows of a chunk change, that its aggregates are to be refreshed; false where they cannot be, as they count rows that are gone.';

create or replace function bcp_internal.widened(p_ranges tstzmultirange, p_width interval) returns tstzmultirange
language sql immutable
set search_path = pg_catalog, pg_temp
as $func$
    select coalesce(range_agg(tstzrange(
        b.first at time zone 'UTC',
        case when b.last = upper(r) at time zone 'UTC' then b.last else b.last + p_width end at time zone 'UTC')), '{}')
    from unnest(p_ranges) as r
    cross join lateral (
        select public.time_bucket(p_width, lower(r) at time zone 'UTC'), public.time_bucket(p_width, upper(r) at time zone 'UTC')
    ) as b (first, last)
$func$;

comment on function bcp_internal.widened(tstzmultirange, interval) is 'Ranges, each as far as the UTC buckets that it is in.';

create or replace function bcp_internal.refreshes()
returns table (ordinal integer, name text, since timestamptz, until timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select a.ordinal, a.name, lower(r), upper(r)
    from bcp_internal.aggregates() a
    join bcp.data_retention_policies p on p.table_name = a.source_table
    cross join lateral (
        select range_agg(tstzrange(range_start, range_end)) as changed
        from bcp_internal.pending_refreshes
        where table_name = a.source_table
    ) as c
    cross join lateral (
        -- A bucket made from rows, not from a finer aggregate, may reach into a chunk that was dropped: below the
        -- horizon it has to be within chunks that are there.
        select case
            when a.all_time or a.name !~ '^(tool_usage_1m|tool_latency_1h|.*_activity_1d|errors_1h|metrics_1m)$' then '-infinity'
            else bcp_internal.now() - bcp_internal.refresh_start(p.retention_days)
        end as horizon
    ) as h
    cross join lateral unnest(
        (bcp_internal.widened(c.changed * tstzmultirange(tstzrange(h.horizon, null)), a.bucket)
            + bcp_internal.whole(c.changed * tstzmultirange(tstzrange(null, h.horizon)), a.bucket))
        * tstzmultirange(tstzrange(null, public.time_bucket(a.bucket, bcp_internal.now())))
    ) as r
    order by 1, 3
$func$;

comment on function bcp_internal.refreshes() is 'What to refresh of which aggregate for bcp_internal.pending_refreshes, in this order.';

create or replace function bcp_internal.latest_refresh() returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select max(refresh_id) from bcp_internal.pending_refreshes
$func$;

comment on function bcp_internal.latest_refresh() is 'The last of bcp_internal.pending_refreshes; null where there is none.';

create or replace function bcp_internal.forget_refreshes(p_latest bigint) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    delete from bcp_internal.pending_refreshes where refresh_id <= p_latest
$func$;

comment on function bcp_internal.forget_refreshes(bigint) is 'Deletes those of bcp_internal.pending_refreshes that are done.';

create or replace function bcp_internal.refreshes_in_batches() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select 'options' = any (proargnames) from pg_proc where oid = 'public.refresh_continuous_aggregate'::regproc
$func$;

comment on function bcp_internal.refreshes_in_batches() is 'Whether this TimescaleDB takes options for a refresh.';

create or replace procedure bcp_internal.refresh_pending()
language plpgsql
as $proc$
declare
    v_latest bigint;
    v_batches boolean;
    v_refresh record;
begin
    v_latest := bcp_internal.latest_refresh();
    v_batches := bcp_internal.refreshes_in_batches();
    for v_refresh in select r.name, r.since, r.until from bcp_internal.refreshes() r loop
        if v_batches then
            call public.refresh_continuous_aggregate(
                pg_catalog.format('bcp.%I', v_refresh.name)::pg_catalog.regclass, v_refresh.since, v_refresh.until,
                options => '{"buckets_per_batch": 0}');
        else
            call public.refresh_continuous_aggregate(
                pg_catalog.format('bcp.%I', v_refresh.name)::pg_catalog.regclass, v_refresh.since, v_refresh.until);
        end if;
        -- As in bcp.refresh_analytics_views.
        commit;
    end loop;
    perform bcp_internal.forget_refreshes(v_latest);
    commit;
end
$proc$;

comment on procedure bcp_internal.refresh_pending() is 'Refreshes the aggregates of the chunks of bcp_internal.pending_refreshes.';
