-- Changing rows that are stored already, compressed ones too: what erasure and late masking share.

create or replace function bcp_internal.put_back(p_chunk text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- compress_chunk sends a notice if there is nothing to do.
set client_min_messages = warning
-- Senders and questions wait behind a lock that is waited for. Deadlocks are looked for after a second.
set lock_timeout = '200ms'
as $func$
declare
    v_chunk regclass;
begin
    for v_try in 1..20 loop
        begin
            v_chunk := to_regclass(nullif(p_chunk, ''));
            exit when v_chunk is null;
            perform public.compress_chunk(v_chunk, true, false);
            exit;
        exception
            when lock_not_available or deadlock_detected then
                perform pg_sleep(0.05);
            when undefined_table or undefined_object then
                exit; -- It was dropped meanwhile.
        end;
    end loop;
end
$func$;

comment on function bcp_internal.put_back is
    'Moves the rows of a chunk into the columnstore. A chunk that is always in use is left to the daily job.';

create or replace function bcp_internal.hold_chunk(p_table text, p_start timestamptz, p_end timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_chunk text;
begin
    execute format('lock table only bcp.%I in row exclusive mode', p_table);
    select format('%I.%I', chunk_schema, chunk_name) into v_chunk
    from timescaledb_information.chunks
    where hypertable_schema = 'bcp' and hypertable_name = p_table and range_start = p_start and range_end = p_end;
    if v_chunk is not null then
        execute format('lock table only %s in row exclusive mode', v_chunk);
    end if;
exception
    when undefined_table then
        null; -- It was dropped meanwhile.
end
$func$;

comment on function bcp_internal.hold_chunk is
    'Takes, before a chunk is read, the locks that changing it needs. A move to the columnstore keeps writers out and '
    'then waits for readers: whoever has read the chunk and now wants to change it would be ended at once.';

create or replace function bcp_internal.take_out(p_chunk text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- As in bcp_internal.put_back.
set lock_timeout = '200ms'
as $func$
declare
    v_chunk regclass;
begin
    for v_try in 1..1000 loop
        begin
            v_chunk := to_regclass(p_chunk);
            if v_chunk is not null then
                perform public.decompress_chunk(v_chunk, true);
            end if;
            return;
        exception
            when lock_not_available or deadlock_detected then
                perform pg_sleep(0.05);
            when undefined_table or undefined_object then
                return; -- It was dropped meanwhile.
        end;
    end loop;
    raise exception using
        errcode = 'lock_not_available', message = format('chunk %s was in use each time in 1,000 tries', p_chunk),
        hint = 'Call it again: it continues there.';
end
$func$;

comment on function bcp_internal.take_out is
    'Moves the rows of a chunk out of the columnstore, so that they can be changed one by one. 55P03 if the chunk is '
    'always in use.';

create or replace function bcp_internal.compress_again(p_relation text, p_start timestamptz, p_end timestamptz)
returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.put_back(format('%I.%I', c.chunk_schema, c.chunk_name))
    from timescaledb_information.chunks c
    left join timescaledb_information.continuous_aggregates a
        on a.materialization_hypertable_schema = c.hypertable_schema
        and a.materialization_hypertable_name = c.hypertable_name
    where coalesce(a.view_schema, c.hypertable_schema) = 'bcp'
      and coalesce(a.view_name, c.hypertable_name) = p_relation
      and c.is_compressed
      and c.range_start < p_end
      and c.range_end > p_start
$func$;

comment on function bcp_internal.compress_again is
    'Moves rows that an update or a delete has left beside the columnstore of a chunk back into it.';
