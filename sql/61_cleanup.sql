-- Retention: which chunks cleanup drops, which it keeps, and why. It drops a chunk as a whole, which takes milliseconds
-- whatever its size. Before that the aggregates must have taken in its rows, and if its policy wants an archive, one
-- must be proven to hold them.

create or replace function bcp_internal.archived_rows(p_table text, p_range_start timestamptz, p_range_end timestamptz)
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select coalesce(sum(a.row_count), 0)::bigint
    from bcp.archives a
    where a.table_name = p_table
      and a.range_start = p_range_start
      and a.range_end = p_range_end
      and a.state in ('verified', 'restored')
$func$;

comment on function bcp_internal.archived_rows is 'Rows that proven archives hold of a chunk that still exists.';

grant execute on function bcp_internal.archived_rows to bcp_reader;

create or replace function bcp_internal.dropped_before(p_table text, p_range_start timestamptz, p_range_end timestamptz)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select exists (
        select from bcp.cleanup_log l
        where l.table_name = p_table and l.action = 'dropped' and l.range_start < p_range_end
            and l.range_end > p_range_start)
$func$;

comment on function bcp_internal.dropped_before is
    'Whether a chunk of this time was dropped already. Then the aggregates hold its rows, and a refresh would remove '
    'them.';

create or replace function bcp_internal.unaggregated(p_table text, p_range_start timestamptz, p_range_end timestamptz)
returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- The months do not count: they are made from days, which are never dropped, whatever their age. Nor do days of
    -- another zone: a part of such a day is in another chunk, which may be gone, and the hours answer in its place.
    select array_agg(a.name order by a.ordinal)
    from bcp_internal.aggregates() a
    where a.source_table = p_table
      and not a.all_time
      and a.time_zone = 'UTC'
      and bcp_internal.logged_changes(a.name) && tstzrange(p_range_start, p_range_end)
$func$;

comment on function bcp_internal.unaggregated is
    'Names of the continuous aggregates of a table by hours and days of UTC that have not taken in all changes of a '
    'time; null if there is none.';

create or replace function bcp_internal.retention_cutoff(p_retention_days integer) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- Whole days, so that an aggregate's day does not lose a part of its calls where chunks are shorter than a day.
    select date_trunc('day', bcp_internal.now() - p_retention_days * interval '24 hours', 'UTC')
$func$;

comment on function bcp_internal.retention_cutoff is 'Start of the UTC day before which rows may be dropped.';

grant execute on function bcp_internal.retention_cutoff to bcp_reader;

create or replace function bcp_internal.old_chunks()
returns table (
    table_name text, range_start timestamptz, range_end timestamptz, chunk regclass, archive_first boolean,
    due_since timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select p.table_name, c.range_start, c.range_end, to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name)),
        p.archive_before_delete,
           -- Old calls that were loaded at once, or restored, are waiting only since then.
           greatest(c.range_end + p.retention_days * interval '24 hours', c.chunk_creation_time, (
               select max(a.keep_until)
               from bcp.archives a
               where a.table_name = p.table_name and a.range_start = c.range_start and a.range_end = c.range_end
                 and a.state = 'restored'))
    from bcp.data_retention_policies p
    join timescaledb_information.chunks c on c.hypertable_schema = 'bcp' and c.hypertable_name = p.table_name
    where p.cleanup_enabled
      and c.range_end <= bcp_internal.retention_cutoff(p.retention_days)
      -- Chunks of other times cannot be archived; bcp.health() reports them.
      and tstzrange(c.range_start, c.range_end) <@ bcp_internal.known_years()
    -- Latest first, because dropping a chunk also logs its range, and the first moment of the next chunk, as changed.
    order by p.table_name, c.range_start desc
$func$;

comment on function bcp_internal.old_chunks is
    'Chunks past their retention, the latest of each table first, and since when each could have been dropped.';

grant execute on function bcp_internal.old_chunks to bcp_reader;

create or replace function bcp_internal.cleanup_verdict(
    p_table text, p_range_start timestamptz, p_range_end timestamptz, p_archive_first boolean,
    out row_count bigint, out action text, out reason text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_unaggregated constant text[] := bcp_internal.unaggregated(p_table, p_range_start, p_range_end);
    v_keep_until timestamptz;
begin
    action := 'kept';
    execute format(
        'select count(*) from bcp.%1$I where %2$I >= %3$L and %2$I < %4$L',
        p_table, bcp_internal.time_column(p_table), p_range_start, p_range_end) into row_count;
    if v_unaggregated is not null and not bcp_internal.dropped_before(p_table, p_range_start, p_range_end) then
        reason := 'not all of it is aggregated yet, in ' || array_to_string(v_unaggregated, ', ')
            || ': call bcp.run_cleanup() sees to that first';
        return;
    end if;
    if p_archive_first then
        select max(a.keep_until) into v_keep_until
        from bcp.archives a
        where a.table_name = p_table and a.range_start = p_range_start and a.range_end = p_range_end
            and a.state = 'restored';
        if v_keep_until > bcp_internal.now() then
            reason := format(
                'restored, and to be kept until %s',
                to_char(v_keep_until at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'));
            return;
        end if;
        if not bcp_internal.chunk_is_archived(p_table, p_range_start, p_range_end) then
            reason := case bcp_internal.archived_rows(p_table, p_range_start, p_range_end)
                when 0 then 'not archived yet: bcp-analytics archive does that'
                else 'the archive holds other rows than the chunk: bcp-analytics archive makes it anew' end;
            return;
        end if;
    end if;
    action := 'dropped';
    reason := case when p_archive_first then 'past its retention, and archived' else 'past its retention' end
        || case when v_unaggregated is not null then '; came late for a chunk dropped before, and is in no aggregate'
            else '' end;
end
$func$;

comment on function bcp_internal.cleanup_verdict is
    'Whether a chunk past its retention may be dropped, and the reason.';

create or replace function bcp.cleanup_plan()
returns table (
    table_name text, range_start timestamptz, range_end timestamptz, row_count bigint, bytes bigint, action text,
    reason text)
language plpgsql volatile
-- Only the owner may read sizes and TimescaleDB's log, but bcp_admin may see what cleanup would do.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_old record;
begin
    return query
        select c.table_name, c.range_start, c.range_end, v.row_count,
               (select s.total_bytes
                from public.chunks_detailed_size(format('bcp.%I', c.table_name)::regclass) s
                where format('%I.%I', s.chunk_schema, s.chunk_name)::regclass = c.chunk),
               v.action, v.reason
        from bcp_internal.old_chunks() c
        cross join lateral bcp_internal.cleanup_verdict(c.table_name, c.range_start, c.range_end, c.archive_first) v;
    return query
        select p.table_name, null::timestamptz, null::timestamptz, s.n, null::bigint, 'deleted', 'past their retention'
        from bcp.data_retention_policies p
        cross join lateral (
            select count(*) as n
            from (
                select 'user_sessions', u.last_activity from bcp.user_sessions u
                union all
                select 'open_tool_calls', o.started_at from bcp.open_tool_calls o
            ) as r (of_table, at)
            where r.of_table = p.table_name and r.at < bcp_internal.retention_cutoff(p.retention_days)) s
        where p.cleanup_enabled and s.n > 0;
    for v_old in select * from bcp_internal.old_days() loop
        return query execute format(
            'select %L, null::timestamptz, null::timestamptz, count(*), null::bigint, ''deleted'', %L'
            ' from bcp.%I where %s having count(*) > 0',
            v_old.relation, v_old.reason, v_old.relation, bcp_internal.within('bucket', v_old.days));
    end loop;
end
$func$;

comment on function bcp.cleanup_plan is
    'What would bcp.cleanup_old_data() do now? One row per chunk past its retention: dropped or kept, with the reason, '
    'its rows and its bytes. One row each for the sessions, the calls that never ended and the days of users and of '
    'sessions that it would delete. Reads each chunk that has an archive, as cleanup does.';

grant execute on function bcp.cleanup_plan to bcp_admin;

create or replace function bcp_internal.delete_old_rows(p_table text, p_limit integer) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_policy bcp.data_retention_policies;
    v_deleted bigint;
begin
    select p.* into v_policy from bcp.data_retention_policies p where p.table_name = p_table and p.cleanup_enabled;
    if not found then
        return 0;
    end if;
    execute format(
        'with old as (select ctid from bcp.%1$I where %2$I < $1 limit $2 for update skip locked)'
        ' delete from bcp.%1$I t using old where t.ctid = old.ctid',
        p_table, case p_table when 'user_sessions' then 'last_activity' else 'started_at' end)
    using bcp_internal.retention_cutoff(v_policy.retention_days), p_limit;
    get diagnostics v_deleted = row_count;
    if v_deleted > 0 then
        insert into bcp.cleanup_log (logged_at, table_name, row_count, action, reason)
        values (bcp_internal.now(), p_table, v_deleted, 'deleted', 'past their retention');
    end if;
    return v_deleted;
end
$func$;

comment on function bcp_internal.delete_old_rows is
    'Deletes up to p_limit rows of user_sessions or open_tool_calls that are past their retention, logs that, and '
    'returns how many.';

create or replace function bcp_internal.drop_old_chunk(
    p_table text, p_range_start timestamptz, p_range_end timestamptz, p_chunk regclass, p_archive_first boolean)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_chunk text;
    v_verdict record;
    v_bytes bigint;
begin
    perform bcp_internal.check_overloads();
    begin
        v_chunk := bcp_internal.name_of(p_chunk);
        -- A chunk that moves to the columnstore locks its hypertable, which all that follows needs: wait for it here,
        -- where that is no error.
        execute format('lock table only bcp.%I in access share mode', p_table);
        select s.total_bytes into v_bytes
        from public.chunks_detailed_size(format('bcp.%I', p_table)::regclass) s
        where to_regclass(format('%I.%I', s.chunk_schema, s.chunk_name)) = p_chunk;
        -- No row may come in between the checksum and the drop. It takes seconds, in which others may read.
        execute format('lock table %s in share row exclusive mode', v_chunk);
        select * into v_verdict from bcp_internal.cleanup_verdict(p_table, p_range_start, p_range_end, p_archive_first);
        if v_verdict.action = 'dropped' then
            execute format('lock table %s in access exclusive mode', v_chunk);
        end if;
    exception
        -- A session that reads or writes an old chunk at this moment has precedence; the next cleanup tries again.
        when lock_not_available or deadlock_detected then
            select null::bigint as row_count, 'kept' as action, 'in use' as reason into v_verdict;
        when undefined_table then
            return 0; -- Another cleanup has dropped it.
    end;
    if v_verdict.action = 'kept' then
        insert into bcp.cleanup_log (logged_at, table_name, range_start, range_end, row_count, bytes, action, reason)
        select bcp_internal.now(), p_table, p_range_start, p_range_end, coalesce(v_verdict.row_count, 0), v_bytes,
            'kept', v_verdict.reason
        where v_verdict.reason is distinct from (
            select l.reason
            from bcp.cleanup_log l
            where l.table_name = p_table and l.range_start = p_range_start
            order by l.logged_at desc
            limit 1);
        return 0;
    end if;
    perform public.drop_chunks(
        format('bcp.%I', p_table)::regclass, older_than => p_range_end, newer_than => p_range_start);
    update bcp.archives a
    set state = 'dropped', dropped_at = bcp_internal.now(), keep_until = null
    where a.table_name = p_table and a.range_start = p_range_start and a.range_end = p_range_end
        and a.state in ('verified', 'restored');
    insert into bcp.cleanup_log (logged_at, table_name, range_start, range_end, row_count, bytes, action, reason)
    values (bcp_internal.now(), p_table, p_range_start, p_range_end, v_verdict.row_count, v_bytes, 'dropped',
        v_verdict.reason);
    return v_verdict.row_count;
end
$func$;

comment on function bcp_internal.drop_old_chunk is
    'Drops a chunk past its retention if that is allowed, logs what it did, and returns how many rows are gone. A '
    'chunk in use stays: this waits for lock_timeout, which has to be well below deadlock_timeout.';

create or replace function bcp_internal.ask_for_archives() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- A chunk that is left needs an archive, or will once it is aggregated; asking in vain costs little.
    if exists (select from bcp_internal.old_chunks() c where c.archive_first) then
        notify bcp_archive;
    end if;
end
$func$;

comment on function bcp_internal.ask_for_archives is
    'Sends NOTIFY bcp_archive if cleanup kept chunks that need an archive first.';

create or replace function bcp.cleanup_old_data()
returns table (table_name text, deleted_count bigint)
language plpgsql volatile
-- Only the owner can drop chunks, but bcp_admin may have those dropped that are past their retention.
security definer
set search_path = pg_catalog, pg_temp
-- Hardly any wait: dropped chunks stay locked until the transaction ends, and readers wait for them.
set lock_timeout = '1ms'
as $func$
declare
    v_table text;
    v_deleted bigint;
    v_rows jsonb := '{"user_sessions": 0, "open_tool_calls": 0}';
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception using
            errcode = 'ZB002',
            message = format(
                'cleanup cannot run in a %s transaction: it would not see the latest rows',
                current_setting('transaction_isolation')),
            hint = 'Call it in a read committed transaction.';
    end if;
    perform bcp_internal.lock_table('bcp.cleanup_log', 'cleanup');
    for v_table in select jsonb_object_keys(v_rows) loop
        loop
            v_deleted := bcp_internal.delete_old_rows(v_table, 10000);
            exit when v_deleted = 0;
            v_rows := jsonb_set(v_rows, array[v_table], to_jsonb((v_rows -> v_table)::bigint + v_deleted));
        end loop;
    end loop;
    return query
        with dropped as materialized (
            select c.table_name,
                   bcp_internal.drop_old_chunk(c.table_name, c.range_start, c.range_end, c.chunk, c.archive_first) as n
            from bcp_internal.old_chunks() c
        )
        select p.table_name,
               coalesce((v_rows -> p.table_name)::bigint, sum(d.n), 0)::bigint
        from bcp.data_retention_policies p
        left join dropped d on d.table_name = p.table_name
        where p.cleanup_enabled
        group by p.table_name
        order by p.table_name;
    perform bcp_internal.delete_old_days();
    perform bcp_internal.expire_notifications();
    perform bcp_internal.ask_for_archives();
end
$func$;

comment on function bcp.cleanup_old_data is
    'Drops the chunks past their retention (bcp.data_retention_policies) that may go, deletes old sessions and calls '
    'that never ended, and returns how many rows went, one row per table with cleanup. A chunk stays if it is not '
    'aggregated yet, or if its policy wants an archive and no proven one holds it; bcp.cleanup_log has the reason, and '
    'NOTIFY bcp_archive asks for the archive. Irreversible, except by bcp-analytics restore. bcp.cleanup_plan() shows '
    'what it would do. A job does the same every day. ZB002 in a transaction that is repeatable read or serializable.';

grant execute on function bcp.cleanup_old_data to bcp_admin;

create or replace function bcp_internal.cleanup_summary(p_since timestamptz)
returns table (table_name text, action text, reason text, chunk_count bigint, row_count bigint)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select l.table_name, 'removed', null::text, count(l.range_start), sum(l.row_count)::bigint
    from bcp.cleanup_log l
    where l.logged_at >= p_since and l.action <> 'kept'
    group by l.table_name
    union all
    select p.table_name, p.action, p.reason, count(*), sum(p.row_count)::bigint
    from bcp.cleanup_plan() p
    where p.action = 'kept'
    group by p.table_name, p.action, p.reason
    order by 2 desc, 1, 3
$func$;

comment on function bcp_internal.cleanup_summary is
    'What cleanup has removed since a time, one row per table, and which chunks past their retention it keeps now, one '
    'row per table and reason. chunk_count is 0 for a table without chunks.';

grant execute on function bcp_internal.cleanup_summary to bcp_admin;

create or replace function bcp_internal.refresh_old_chunks_later() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- Whole days, because where chunks are shorter than a day some part of it may have none.
    insert into bcp_internal.pending_refreshes (table_name, range_start, range_end)
    select distinct c.table_name, d.first, d.last
    from bcp_internal.old_chunks() c
    cross join lateral (
        select date_trunc('day', c.range_start, 'UTC'),
               date_trunc('day', c.range_end + interval '24 hours' - interval '1 microsecond', 'UTC')
    ) as d (first, last)
    where bcp_internal.unaggregated(c.table_name, c.range_start, c.range_end) is not null
      and not bcp_internal.dropped_before(c.table_name, d.first, d.last)
$func$;

comment on function bcp_internal.refresh_old_chunks_later is
    'Notes, in bcp_internal.pending_refreshes, chunks past their retention with rows that came when their time was no '
    'longer refreshed, such as old calls that were loaded at once.';

create or replace procedure bcp.run_cleanup()
-- The search_path is set as in bcp_internal.refresh_aggregate.
language plpgsql
as $proc$
declare
    v_table pg_catalog.text;
    v_chunk record;
begin
    set local search_path = pg_catalog, pg_temp;
    perform bcp_internal.refresh_old_chunks_later();
    commit;
    call bcp_internal.refresh_pending();
    set local search_path = pg_catalog, pg_temp;
    -- In batches that commit, so that no lock lasts long.
    foreach v_table in array array['user_sessions', 'open_tool_calls'] loop
        while bcp_internal.delete_old_rows(v_table, 10000) > 0 loop
            commit;
            set local search_path = pg_catalog, pg_temp;
        end loop;
    end loop;
    -- Chunk by chunk, so that nobody waits for a chunk while another is checked.
    for v_chunk in select c.* from bcp_internal.old_chunks() c loop
        perform bcp_internal.lock_table('bcp.cleanup_log', 'cleanup');
        perform pg_catalog.set_config('lock_timeout', '400ms', true);
        perform bcp_internal.drop_old_chunk(
            v_chunk.table_name, v_chunk.range_start, v_chunk.range_end, v_chunk.chunk, v_chunk.archive_first);
        commit;
        set local search_path = pg_catalog, pg_temp;
    end loop;
    perform pg_catalog.set_config('lock_timeout', '400ms', true);
    perform bcp_internal.delete_old_days();
    perform bcp_internal.expire_notifications();
    commit;
    set local search_path = pg_catalog, pg_temp;
    perform bcp_internal.ask_for_archives();
    commit;
end
$proc$;

comment on procedure bcp.run_cleanup is
    'Aggregates what is past its retention and not yet aggregated, then does the same as bcp.cleanup_old_data() in '
    'many short transactions. A job calls it every day. Only the owner may call it by hand, in autocommit mode.';
