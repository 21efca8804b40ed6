-- The statistics of the planner hold values of each column, which pg_stats shows and pg_dump --statistics writes. They
-- outlive the rows: ANALYZE leaves the statistics of a table as they are once it is empty, as the table of a chunk is
-- when its rows are in the columnstore.

create or replace function bcp_internal.forgo_statistics(p_relation regclass default null) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_change text;
begin
    -- Chunks take the setting from their hypertable. Indexes of chunks do not, and TimescaleDB refuses it for the
    -- tables of aggregates.
    for v_change in
        select format('alter table %I.%I %s', n.nspname, c.relname,
                      string_agg(format('alter column %I set statistics 0', a.attname), ', '))
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind = 'r'
          and case when p_relation is null then n.nspname in ('bcp', 'bcp_internal') else c.oid = p_relation end
          and a.atttypid in ('text'::regtype, 'jsonb'::regtype, 'inet'::regtype)
          and coalesce(a.attstattarget, -1) <> 0
        group by n.nspname, c.relname
        union all
        select format('alter index %I.%I alter column %s set statistics 0', n.nspname, c.relname, a.attnum)
        from pg_index i
        join pg_class c on c.oid = i.indexrelid
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid
        where i.indexprs is not null
          and case when p_relation is null then n.nspname in ('bcp', 'bcp_internal') else i.indrelid = p_relation end
          and i.indkey[a.attnum - 1] = 0
          and coalesce(a.attstattarget, -1) <> 0
    loop
        execute v_change;
    end loop;
end
$func$;

comment on function bcp_internal.forgo_statistics is
    'Has the planner keep no values of columns that may hold personal data: text, JSON and addresses, of one table or '
    'of all tables of the store. Questions are as quick without.';

create or replace function bcp_internal.kept_statistics()
returns table (schema_name text, relation_name text, column_name text, is_of_index boolean, held text, ids text[])
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select
        s.schemaname, s.tablename, s.attname, c.relkind = 'i',
        concat(s.most_common_vals, s.histogram_bounds, s.most_common_elems),
        case when s.attname in ('user_id', 'session_id')
            then s.most_common_vals::text::text[] || s.histogram_bounds::text::text[] end
    from pg_stats s
    join pg_namespace n on n.nspname = s.schemaname
    join pg_class c on c.relnamespace = n.oid and c.relname = s.tablename
    join pg_attribute a on a.attrelid = c.oid and a.attname = s.attname
    where c.relowner = current_user::regrole
      and (s.schemaname in ('bcp', 'bcp_internal', '_timescaledb_internal')
           or c.oid in (select r.relation from bcp_internal.restored_tables r))
      and a.atttypid in ('text'::regtype, 'jsonb'::regtype, 'inet'::regtype)
$func$;

comment on function bcp_internal.kept_statistics is
    'Values that the planner still keeps: names in aggregates, words by which errors are searched (only chunks have '
    'such indexes), and columns for which somebody has set statistics.';

create or replace function bcp_internal.renew_statistics(p_schema text, p_relation text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_relation text := p_relation;
    v_table text;
    v_hypertable record;
    v_is_filled boolean;
    v_columns text;
    v_values text;
    v_row text;
begin
    select coalesce(max(c.relname), p_relation) into v_relation
    from pg_index i
    join pg_class c on c.oid = i.indrelid
    where i.indexrelid = to_regclass(format('%I.%I', p_schema, p_relation));
    v_table := format('%I.%I', p_schema, v_relation);
    select
        format('%I.%I', h.hypertable_schema, h.hypertable_name) as name,
            coalesce(max(v.view_name), h.hypertable_name) as known_as,
        v_relation = h.hypertable_name as is_all, max(c.range_start) as range_start,
        -- The last moment of a chunk, because no bucket begins there.
        coalesce(max(c.range_end) - interval '1 microsecond', bcp_internal.now()) as last
    into v_hypertable
    from timescaledb_information.hypertables h
    left join timescaledb_information.chunks c using (hypertable_schema, hypertable_name)
    left join timescaledb_information.continuous_aggregates v
        on v.materialization_hypertable_schema = h.hypertable_schema
            and v.materialization_hypertable_name = h.hypertable_name
    where (h.hypertable_schema, h.hypertable_name) = (p_schema, v_relation)
       or (c.chunk_schema, c.chunk_name) = (p_schema, v_relation)
    group by h.hypertable_schema, h.hypertable_name;
    execute format('select exists (select from %s %s)', case when v_hypertable.is_all then '' else 'only' end, v_table)
    into v_is_filled;
    if v_is_filled or v_hypertable.name is null then
        execute format('analyze %s', v_table);
        return;
    end if;
    -- ANALYZE leaves the statistics of an empty table as they are. So it gets one row without values, which no other
    -- session sees.
    select string_agg(format('%I', a.attname), ', '), string_agg(l.literal, ', '),
           string_agg(format('%I = %s', a.attname, l.literal), ' and ')
    into v_columns, v_values, v_row
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    cross join lateral (
        select case
            when t.typname = 'timestamptz' then quote_literal(v_hypertable.last)
            when t.typname = 'uuid' then quote_literal(u.id)
            when t.typtype = 'e' then format('(enum_range(null::%s))[1]', format_type(t.oid, null))
            else quote_literal('')
        end as literal
        from (select gen_random_uuid() as id) as u
    ) as l
    where a.attrelid = v_hypertable.name::regclass and a.attnum > 0 and not a.attisdropped and a.attnotnull
        and not a.atthasdef;
    -- The row changes no aggregate. Some versions lack this setting.
    perform set_config(s, 'on', true)
    from unnest('{timescaledb.skip_cagg_invalidation}'::text[]) as s
    where current_setting(s, true) is not null;
    execute format('insert into %s (%s) values (%s)', v_hypertable.name, v_columns, v_values);
    execute format('analyze %s', v_table);
    execute format('delete from %s where %s', v_hypertable.name, v_row);
    perform bcp_internal.store_as_usual();
    perform bcp_internal.compress_again(v_hypertable.known_as, v_hypertable.range_start, v_hypertable.last);
exception
    when undefined_table then
        null; -- A chunk that was dropped meanwhile.
end
$func$;

comment on function bcp_internal.renew_statistics is
    'Makes the planner forget values that a table, chunk or index no longer has. It makes nobody wait.';

select bcp_internal.forgo_statistics();
