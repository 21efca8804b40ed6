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
