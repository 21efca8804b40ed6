-- The columnstore: which chunks move there, and how, without misleading or ending who reads them.
--
-- To move a chunk empties its rows for good, whatever snapshot others have. Who waits for its lock with a snapshot taken
-- before finds the rows neither here nor there: so each function that reads events is volatile, and then each of its
-- statements takes a snapshot after its locks. Of two that wait for each other PostgreSQL ends the one that has waited for
-- deadlock_timeout: so a job waits for less, and only while it holds nothing that a reader may want.

create or replace function bcp_internal.move_chunk(p_chunk regclass, p_merging_in regclass default null) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- It tells of each chunk where there is nothing to do.
set client_min_messages = warning
as $func$
begin
    if p_merging_in is not null then
        -- A statement looks for its chunks after it has locked the table they are of. One that found this chunk, and not the
        -- one before it, would lack its rows as soon as the two are one. It also keeps readers from all other locks of this.
        execute format('lock table only %s in access exclusive mode', bcp_internal.name_of(p_merging_in));
    end if;
    perform public.compress_chunk(p_chunk, true, false);
    return true;
exception
    -- Somebody reads it, writes to it, or has dropped it.
    when lock_not_available or deadlock_detected or undefined_table or undefined_object then
        return false;
end
$func$;

comment on function bcp_internal.move_chunk(regclass, regclass) is
    'Moves a chunk to the columnstore, or what has changed in it since; where the hypertable it is merged in is given, with that all to itself. False where others use it. Waits for lock_timeout, which is to be well below deadlock_timeout: hold no other lock.';

create or replace function bcp_internal.chunks_to_move()
returns table (name text, chunk regclass, merged_in regclass, due_since timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with moving as (
        select a.ordinal, a.name, v.materialization_hypertable_schema as hypertable_schema,
               v.materialization_hypertable_name as hypertable_name, a.columnstore_after as after,
               to_regclass(format('%I.%I', v.materialization_hypertable_schema, v.materialization_hypertable_name)) as merged_in
        from bcp_internal.aggregates() a
        join timescaledb_information.continuous_aggregates v on v.view_schema = 'bcp' and v.view_name = a.name
        where a.columnstore_after is not null
        union all
        select 0, p.table_name, 'bcp', p.table_name, make_interval(days => p.columnstore_after_days), null
        from bcp.data_retention_policies p
        where p.columnstore_after_days is not null
    )
    select m.name, r.chunk, m.merged_in,
           case when not c.is_compressed then greatest(c.range_end + m.after, c.chunk_creation_time) end
    from moving m
    join timescaledb_information.chunks c using (hypertable_schema, hypertable_name)
    cross join lateral to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name)) as r (chunk)
    where c.range_end <= bcp_internal.now() - m.after
      and not bcp_internal.is_in_columnstore(r.chunk)
    -- Oldest first, which TimescaleDB's own policy does not promise: a chunk of an aggregate is merged with the one before it
    -- only where that is in the columnstore already. After a load of 90 days it left 224 chunks of hours where 10 are enough.
    order by m.ordinal, m.name, c.range_start
$func$;

comment on function bcp_internal.chunks_to_move() is
    'Chunks of tables and aggregates that are old enough for the columnstore and not in it, or changed since, in the order to move them; merged_in is the hypertable where a chunk is merged with the one before it; due_since is null where rows of it are in the columnstore already.';

create or replace procedure bcp_internal.move_chunks(p_of_aggregates boolean)
-- No search_path: a procedure that commits can have none; every name is qualified instead.
language plpgsql
as $proc$
declare
    v_chunk record;
    v_wait integer;
    v_busy text[];
begin
    perform bcp_internal.check_overloads();
    -- Milliseconds: who asks after a lock that this waits for waits too. A reader that holds a chunk seldom does so a moment
    -- later; where readers take turns, only a longer wait gets between them.
    foreach v_wait in array array[50, 100, 200, 400, 400] loop
        v_busy := '{}';
        for v_chunk in
            select m.name, m.chunk, m.merged_in
            from bcp_internal.chunks_to_move() m
            where (m.merged_in is not null) operator(pg_catalog.=) p_of_aggregates
        loop
            -- Out of turn it would not be merged.
            continue when p_of_aggregates and v_chunk.name operator(pg_catalog.=) any (v_busy);
            perform pg_catalog.set_config('lock_timeout', v_wait::pg_catalog.text, true);
            if not bcp_internal.move_chunk(v_chunk.chunk, v_chunk.merged_in) then
                v_busy := v_busy operator(pg_catalog.||) v_chunk.name;
            end if;
            commit;
        end loop;
        exit when v_busy operator(pg_catalog.=) '{}';
    end loop;
end
$proc$;

comment on procedure bcp_internal.move_chunks(boolean) is
    'Moves chunks of aggregates, or of tables, that are old enough to the columnstore, and what changed there anew; each in a transaction of its own. One that is in use after five tries waits for the next run.';

create or replace procedure bcp_internal.columnstore_aggregates()
-- As above.
language plpgsql
as $proc$
begin
    call bcp_internal.move_chunks(p_of_aggregates => true);
end
$proc$;

comment on procedure bcp_internal.columnstore_aggregates() is 'Moves the chunks of aggregates that are old enough to the columnstore, oldest first.';

create or replace procedure bcp_internal.columnstore_tables()
-- As above.
language plpgsql
as $proc$
begin
    call bcp_internal.move_chunks(p_of_aggregates => false);
end
$proc$;

comment on procedure bcp_internal.columnstore_tables() is
    'Moves the chunks of tables that are older than columnstore_after_days of bcp.data_retention_policies to the columnstore.';
