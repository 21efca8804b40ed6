-- The tables of events as their life cycle sees them: by what they are partitioned, their chunks, and which columns may
-- name a person.

create or replace function bcp_internal.time_column(p_table text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select d.column_name::text
    from timescaledb_information.dimensions d
    where d.hypertable_schema = 'bcp' and d.hypertable_name = p_table and d.dimension_number = 1
$func$;

comment on function bcp_internal.time_column is
    'The column by which a hypertable of schema bcp is partitioned; null for any other table.';

grant execute on function bcp_internal.time_column to bcp_reader;

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
                'error_message', 'message', 'stack_trace', 'user_agent', 'notes', 'resolution_notes', 'reason',
                'last_error',
                'note', 'intent') then 'text'
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

comment on function bcp_internal.written_columns is
    'Columns of a table that may name a person. kind is json; text, which people or programs wrote; or name, such as a '
    'tool, where only an id that cannot be a word by chance is replaced.';

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

comment on function bcp_internal.event_chunks is 'Chunks of the hypertables that end by a time.';
