-- Late masking: the present rules applied to rows that are stored already, and forgetting who made them. Each step is
-- one transaction, and what it has done it does not repeat.

create or replace function bcp_internal.history_tables()
returns table (table_name text, time_column text, key_column text, is_chunked boolean)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    values
        ('tool_usage_logs', 'start_time', null, true),
        ('error_logs', 'timestamp', null, true),
        ('performance_metrics', 'timestamp', null, true),
        ('rejected_events', 'rejected_at', null, true),
        ('ingest_batches', 'received_at', null, true),
        ('collector_reports', 'reported_at', null, false),
        ('erasures', 'requested_at', null, false),
        ('users', 'last_seen', 'user_id', false),
        ('user_sessions', 'last_activity', 'session_id', false),
        ('open_tool_calls', 'started_at', null, false),
        ('error_issues', 'last_seen', null, false),
        ('issue_actions', 'acted_at', null, false),
        ('alerts', 'evaluated_at', null, false)
$func$;

comment on function bcp_internal.history_tables is
    'Tables that hold what ingest masks: the column of their time, their key if masking may make two keys equal, and '
    'whether they have chunks.';

create or replace function bcp_internal.history_cutoff(p_older_than interval, p_table text, p_forget_users boolean)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_older_than < interval '0' then
        raise exception using errcode = 'ZB002', message = 'p_older_than is negative';
    elsif p_forget_users and p_older_than is null then
        raise exception using errcode = 'ZB002', message = 'p_forget_users needs p_older_than';
    elsif p_table is not null and p_table not in (select table_name from bcp_internal.history_tables()) then
        raise exception using
            errcode = 'ZB002',
            message = 'p_table holds nothing that is masked',
            hint = 'It is one of ' || (select string_agg(table_name, ', ') from bcp_internal.history_tables()) || '.';
    end if;
    return coalesce(bcp_internal.now() - p_older_than, 'infinity');
end
$func$;

comment on function bcp_internal.history_cutoff is
    'Time before which bcp.anonymize_history works; ZB002 if its arguments are wrong.';

create or replace function bcp_internal.history_chunks(p_before timestamptz, p_table text)
returns table (table_name text, range_start timestamptz, range_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select c.table_name, c.range_start, c.range_end
    from bcp_internal.event_chunks(p_before) c
    join bcp_internal.history_tables() h on h.table_name = c.table_name
    where c.table_name = coalesce(p_table, c.table_name)
    order by c.table_name, c.range_start
$func$;

comment on function bcp_internal.history_chunks is 'Chunks that end by a time, of one table or all.';

create or replace function bcp_internal.forget_rows(p_relation regclass, p_within text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_keys constant text[] := '{user_id,session_id,conversation_id,ip_address,user_agent}';
    v_nulls text;
    v_known text;
    v_changed bigint;
begin
    select
        string_agg(case attname
            when 'attributes' then format('attributes = nullif(attributes - %L::text[], ''{}'')', v_keys)
            when 'event' then format('event = event - %L::text[]', v_keys)
            else format('%I = null', attname)
        end, ', '),
        string_agg(case
            when attname in ('attributes', 'event') then format('coalesce(%I ?| %L::text[], false)', attname, v_keys)
            else format('%I is not null', attname)
        end, ' or ')
    into v_nulls, v_known
    from pg_attribute
    where attrelid = p_relation
      and attname in ('user_id', 'session_id', 'ip_address', 'user_agent', 'attributes', 'event')
      and not attisdropped;
    if v_known is null then
        return 0;
    end if;
    execute format('update %s set %s where %s and (%s)', bcp_internal.name_of(p_relation), v_nulls, p_within, v_known);
    get diagnostics v_changed = row_count;
    return v_changed;
end
$func$;

comment on function bcp_internal.forget_rows is
    'Removes user, session, address and user agent from rows of a table, and returns how many rows had one.';

create or replace function bcp_internal.forget_chunk(p_table text, p_start timestamptz, p_end timestamptz)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_changed bigint;
begin
    v_changed := bcp_internal.forget_rows(
        format('bcp.%I', p_table)::regclass,
            format('%1$I >= %2$L and %1$I < %3$L', bcp_internal.time_column(p_table), p_start, p_end));
    if v_changed > 0 then
        perform bcp_internal.refresh_later(p_table, p_start, p_end);
        perform bcp_internal.replace_archives(p_table, p_start, p_end);
        perform bcp_internal.compress_again(p_table, p_start, p_end);
    end if;
    return v_changed;
end
$func$;

comment on function bcp_internal.forget_chunk is
    'Removes user, session, address and user agent from the rows of a chunk, and returns how many rows had one.';

create or replace function bcp_internal.forget_users(p_table text, p_before timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_aggregate record;
    v_before timestamptz := p_before;
begin
    if coalesce(p_table, 'users') = 'users' then
        delete from bcp.users where last_seen < p_before;
    end if;
    if coalesce(p_table, 'user_sessions') = 'user_sessions' then
        delete from bcp.user_sessions where last_activity < p_before;
    end if;
    if coalesce(p_table, 'open_tool_calls') = 'open_tool_calls' then
        perform bcp_internal.forget_rows('bcp.open_tool_calls', format('started_at < %L', p_before));
    end if;
    if coalesce(p_table, 'tool_usage_logs') <> 'tool_usage_logs' then
        return;
    end if;
    -- A day of which only a part is forgotten is left to the refresh.
    select least(p_before, min(range_start)) into v_before
    from bcp_internal.event_chunks() where table_name = 'tool_usage_logs' and range_end > p_before;
    for v_aggregate in
        select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass as relation
        from timescaledb_information.continuous_aggregates
        where view_schema = 'bcp' and view_name in (
            'user_usage_1d', 'user_activity_1d', 'user_totals_1d', 'session_activity_1d', 'session_steps_1d')
    loop
        execute format('delete from %s where bucket <= $1 - interval ''24 hours''', v_aggregate.relation)
        using v_before;
    end loop;
end
$func$;

comment on function bcp_internal.forget_users is
    'Deletes users and sessions that are older than a time, and their days in the aggregates.';

create or replace procedure bcp.anonymize_history(
    p_older_than interval default null, p_table text default null, p_forget_users boolean default false)
-- The search_path is set as in bcp_internal.refresh_aggregate.
language plpgsql
as $proc$
declare
    v_before timestamp with time zone;
    v_step record;
    v_rows bigint;
    v_opened pg_catalog.text;
    v_names bigint := 0;
    v_unreached pg_catalog.text;
begin
    set local search_path = pg_catalog, pg_temp;
    v_before := bcp_internal.history_cutoff(p_older_than, p_table, p_forget_users);
    for v_step in
        select c.table_name, c.range_start, c.range_end from bcp_internal.history_chunks(v_before, p_table) c
    loop
        if p_forget_users then
            perform bcp_internal.forget_chunk(v_step.table_name, v_step.range_start, v_step.range_end);
            commit;
            set local search_path = pg_catalog, pg_temp;
        end if;
        continue when bcp_internal.is_masked(v_step.table_name, v_step.range_start, v_step.range_end);
        v_opened := bcp_internal.open_chunk(v_step.table_name, v_step.range_start, v_step.range_end);
        commit;
        set local search_path = pg_catalog, pg_temp;
        v_rows := bcp_internal.mask_chunk(v_step.table_name, v_step.range_start, v_step.range_end, v_opened);
        if v_rows > 0 then
            raise notice '% from %: % rows masked', v_step.table_name, v_step.range_start, v_rows;
        end if;
        commit;
        set local search_path = pg_catalog, pg_temp;
        perform bcp_internal.put_back(v_opened);
        commit;
        set local search_path = pg_catalog, pg_temp;
    end loop;
    if p_forget_users then
        perform bcp_internal.forget_users(p_table, v_before);
        commit;
        set local search_path = pg_catalog, pg_temp;
    end if;
    for v_step in
        select t.table_name
        from bcp_internal.history_tables() t
        where not t.is_chunked and t.table_name = coalesce(p_table, t.table_name)
    loop
        perform bcp_internal.mask_table(v_step.table_name, v_before);
        commit;
        set local search_path = pg_catalog, pg_temp;
    end loop;
    v_unreached := bcp_internal.mask_restored_tables(p_table, v_before, p_forget_users);
    commit;
    call bcp_internal.refresh_pending();
    set local search_path = pg_catalog, pg_temp;
    -- Names of clients are in these, too.
    perform bcp_internal.refresh_session_days();
    for v_step in
        select a.name
        from bcp_internal.aggregates() a
        where a.source_table = coalesce(p_table, a.source_table)
        order by a.ordinal
    loop
        v_names := v_names + bcp_internal.mask_aggregate(v_step.name, v_before);
        commit;
        set local search_path = pg_catalog, pg_temp;
    end loop;
    for v_step in
        -- The words of errors, and where a name may have been masked those of aggregates too.
        select distinct k.schema_name, k.relation_name
        from bcp_internal.kept_statistics() k
        where k.is_of_index or p_forget_users or v_names > 0
    loop
        perform bcp_internal.renew_statistics(v_step.schema_name, v_step.relation_name);
        commit;
        set local search_path = pg_catalog, pg_temp;
    end loop;
    perform bcp_internal.check_reached(v_unreached);
end
$proc$;

comment on procedure bcp.anonymize_history is
    'Masks stored rows again by the present rules, chunk by chunk: all rows, or those older than p_older_than, of one '
    'table or of all. With p_forget_users, older rows also lose user, session, address and user agent. Called again, '
    'it continues where it was interrupted, and leaves out chunks that the same rules have masked. Restored tables are '
    'masked too; ZB007, at the end, if one cannot be. Only the role that migrated the database may call it.';
