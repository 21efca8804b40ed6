-- What an answer was made from: for `bcp-analytics explain`.

create or replace function bcp_internal.relations_read()
returns table (
    relation text, kind text, chunk text, columnstore_table text, range_from timestamptz, range_to timestamptz,
    row_count bigint, batch_count bigint)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- PostgreSQL counts what a transaction has read from each table, whatever statement of whatever function did it.
    -- It does not count what parallel workers read.
    with counted as (
        select
            coalesce(bcp_internal.rows_of_columnstore(s.relid), s.relid) as relid,
            s.relid <> coalesce(bcp_internal.rows_of_columnstore(s.relid), s.relid) as of_columnstore,
            s.relname::text as name, coalesce(s.seq_tup_read, 0) + coalesce(s.idx_tup_fetch, 0) as read
        from pg_stat_xact_user_tables s
        where (s.seq_scan > 0 or s.idx_scan > 0)
          and s.schemaname in ('bcp', '_timescaledb_internal')
    ), chunks as (
        select
            c.relid, coalesce(i.inhparent, c.relid) as parent, i.inhrelid is not null as is_chunk,
            min(c.name) filter (where c.of_columnstore) as columnstore_table,
            coalesce(sum(c.read) filter (where not c.of_columnstore), 0)::bigint as rows,
            coalesce(sum(c.read) filter (where c.of_columnstore), 0)::bigint as batches
        from counted c
        left join pg_inherits i on i.inhrelid = c.relid
        group by 1, 2, 3
    )
    select
        case when a.view_name is not null then format('bcp.%I', a.view_name)
            else format('%I.%I', n.nspname, p.relname) end,
        case when a.view_name is not null then 'aggregate' when c.is_chunk then 'raw rows' else 'table' end,
        case when c.is_chunk then t.relname::text end, c.columnstore_table, k.range_start, k.range_end,
        c.rows, c.batches
    from chunks c
    join pg_class t on t.oid = c.relid
    join pg_class p on p.oid = c.parent
    join pg_namespace n on n.oid = p.relnamespace
    left join timescaledb_information.continuous_aggregates a
        on a.materialization_hypertable_schema = n.nspname and a.materialization_hypertable_name = p.relname
    left join timescaledb_information.chunks k
        on k.chunk_name = t.relname and k.hypertable_name = p.relname and c.is_chunk
    where c.rows + c.batches > 0
      -- Every question reads these, and they are small.
      and format('%I.%I', n.nspname, p.relname) not in ('bcp.settings', 'bcp.data_retention_policies')
    order by (a.view_name is null), 1, k.range_start, 3
$func$;

comment on function bcp_internal.relations_read() is
    'What this transaction has read so far: one row per chunk of an aggregate or of raw rows, or per other table of '
    'schema bcp. row_count counts rows that were read as such, before any filter; batch_count those of the '
    'columnstore, of up to 1000 rows each.';

grant execute on function bcp_internal.relations_read to bcp_reader;
