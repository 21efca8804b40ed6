-- The columnstore: which chunks move there, and how, so that nobody who reads them is misled or ended.
--
-- Moving a chunk empties its rows for good, whatever snapshot others have. A reader that waits for the chunk's lock
-- with an older snapshot would find the rows neither here nor there. So each function that reads events is volatile:
-- each of its statements takes its snapshot after its locks. Of two sessions that wait for each other PostgreSQL ends
-- the one that has waited for deadlock_timeout, so a job waits for less, and only while it holds nothing that a
-- reader may want.

create or replace function bcp_internal.move_chunk(
    p_chunk regclass, p_hypertable regclass default null, p_merges boolean default false)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- compress_chunk reports each chunk for which there is nothing to do.
set client_min_messages = warning
as $func$
declare
    v_lock text;
begin
    v_lock := format(
        'lock table only %s in access exclusive mode', bcp_internal.name_of(coalesce(p_hypertable, p_chunk)));
    if p_merges then
        -- A statement looks for chunks after it has locked their hypertable. If it found this chunk but not yet the one
        -- before it, it would miss the rows once the two are merged. This lock also keeps readers away from all others
        -- that the move takes.
        execute v_lock;
    end if;
    perform public.compress_chunk(p_chunk, true, false);
    -- TimescaleDB reads its list of chunks row by row, each as it is at that instant. A statement that looks for chunks
    -- while this commits could find the old row no more and the new one not yet, so none may be looking. Not before the
    -- move, which takes seconds for a million rows: nobody could send or ask meanwhile.
    execute v_lock;
    return true;
exception
    -- Somebody reads the chunk, writes to it, or has dropped it.
    when lock_not_available or deadlock_detected or undefined_table or undefined_object then
        return false;
end
$func$;

comment on function bcp_internal.move_chunk is
    'Moves a chunk, or what has changed in it since its last move, to the columnstore. False if others use it. It '
    'waits for lock_timeout, which must be well below deadlock_timeout, so hold no other lock. It locks p_hypertable '
    'last, if that is given, or first if the chunk is merged with the one before it.';

create or replace function bcp_internal.chunks_to_move()
returns table (name text, chunk regclass, hypertable regclass, merges boolean, due_since timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with moving as (
        select a.ordinal, a.name, v.materialization_hypertable_schema as hypertable_schema,
               v.materialization_hypertable_name as hypertable_name, a.columnstore_after as after, true as merges
        from bcp_internal.aggregates() a
        join timescaledb_information.continuous_aggregates v on v.view_schema = 'bcp' and v.view_name = a.name
        where a.columnstore_after is not null
        union all
        select 0, p.table_name, 'bcp', p.table_name, p.columnstore_after, false
        from bcp.data_retention_policies p
        where p.columnstore_after is not null
    )
    select m.name, r.chunk, to_regclass(format('%I.%I', hypertable_schema, hypertable_name)), m.merges,
           case when not c.is_compressed then greatest(c.range_end + m.after, c.chunk_creation_time) end
    from moving m
    join timescaledb_information.chunks c using (hypertable_schema, hypertable_name)
    cross join lateral to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name)) as r (chunk)
    where c.range_end <= bcp_internal.now() - m.after
      and not bcp_internal.is_in_columnstore(r.chunk)
    -- Oldest first, because a chunk of an aggregate is merged with the one before it only if that is in the columnstore
    -- already. TimescaleDB's own policy promises no order: after a load of 90 days it left 224 chunks of the hourly
    -- aggregate, where 10 are enough.
    order by m.ordinal, m.name, c.range_start
$func$;

comment on function bcp_internal.chunks_to_move is
    'Chunks of tables and aggregates that are old enough for the columnstore and are not in it, or have changed since, '
    'in the order in which they are moved. merges says whether the chunk is merged with the one before it. due_since '
    'is null if some rows of the chunk are in the columnstore already.';

create or replace procedure bcp_internal.move_chunks(p_of_aggregates boolean)
-- The search_path is set as in bcp_internal.refresh_aggregate.
language plpgsql
as $proc$
declare
    v_chunk record;
    v_wait pg_catalog.int4;
    v_busy pg_catalog._text;
begin
    set local search_path = pg_catalog, pg_temp;
    perform bcp_internal.check_overloads();
    -- Milliseconds, short because whoever wants a lock that this waits for waits too. A reader that holds a chunk now
    -- seldom does so a moment later; only among readers that take turns does it need a longer wait.
    foreach v_wait in array array[50, 100, 200, 400, 400] loop
        v_busy := '{}';
        for v_chunk in
            select m.name, m.chunk, m.hypertable, m.merges
            from bcp_internal.chunks_to_move() m
            where m.merges = p_of_aggregates
        loop
            -- A chunk that is moved before an older one is not merged.
            continue when p_of_aggregates and v_chunk.name = any (v_busy);
            perform set_config('lock_timeout', v_wait::text, true);
            if not bcp_internal.move_chunk(v_chunk.chunk, v_chunk.hypertable, v_chunk.merges) then
                v_busy := v_busy || v_chunk.name;
            end if;
            commit;
            set local search_path = pg_catalog, pg_temp;
        end loop;
        exit when v_busy = '{}';
    end loop;
end
$proc$;

comment on procedure bcp_internal.move_chunks is
    'Moves the chunks of aggregates, or of tables, that are old enough to the columnstore, each in a transaction of '
    'its own, and chunks that have changed there again. A chunk that is in use after five tries waits for the next '
    'run.';

create or replace procedure bcp_internal.columnstore_aggregates()
-- It has no search_path because what it calls commits; every name is qualified instead.
language plpgsql
as $proc$
begin
    call bcp_internal.move_chunks(p_of_aggregates => true);
end
$proc$;

comment on procedure bcp_internal.columnstore_aggregates is
    'Moves the chunks of aggregates that are old enough to the columnstore, oldest first.';

create or replace procedure bcp_internal.columnstore_tables()
-- It has no search_path because what it calls commits; every name is qualified instead.
language plpgsql
as $proc$
begin
    call bcp_internal.move_chunks(p_of_aggregates => false);
end
$proc$;

comment on procedure bcp_internal.columnstore_tables is
    'Moves the chunks of tables that are older than columnstore_after of bcp.data_retention_policies to the '
    'columnstore.';
