-- What of the tables goes into archives: which chunks need one, and what their rows are as text. bcp-analytics archive
-- does the rest.

create or replace function bcp_internal.proven_states() returns text[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select '{verified,dropped,restored}'::text[]
$func$;

comment on function bcp_internal.proven_states is 'States of an archive whose files are known to hold its rows.';

grant execute on function bcp_internal.proven_states to bcp_reader;

create or replace function bcp_internal.find_archives(
    p_archive_id uuid default null, p_table text default null, p_since timestamptz default null,
    p_until timestamptz default null, p_states text[] default null)
returns setof bcp.archives
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select a.*
    from bcp.archives a
    where a.archive_id = coalesce(p_archive_id, a.archive_id)
      and a.table_name = coalesce(p_table, a.table_name)
      and a.range_end > coalesce(p_since, '-infinity')
      and a.range_start < coalesce(p_until, 'infinity')
      and a.state = any (coalesce(p_states, bcp_internal.proven_states()))
    order by a.range_start, a.table_name, a.started_at
$func$;

comment on function bcp_internal.find_archives is
    'Archives by id, or by table and by a range that theirs meets, oldest first; by default those that are proven.';

grant execute on function bcp_internal.find_archives to bcp_reader;

create or replace function bcp_internal.archive_columns(p_table text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select jsonb_agg(
        jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum)
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'bcp'::regnamespace
      and c.relname = p_table
      and a.attnum > 0
      and not a.attisdropped
$func$;

comment on function bcp_internal.archive_columns is
    'Columns of a table of schema bcp as a manifest lists them, generated ones included: an array of {"name", "type"}.';

grant execute on function bcp_internal.archive_columns to bcp_reader;

create or replace function bcp_internal.archive_time_column(p_table text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_column constant text := bcp_internal.time_column(p_table);
begin
    if v_column is null then
        raise exception using
            errcode = 'ZB002',
            message = format('table %s has no chunks to archive', quote_literal(left(p_table, 63))),
            hint = 'Name a hypertable of schema bcp, such as tool_usage_logs.';
    end if;
    return v_column;
end
$func$;

comment on function bcp_internal.archive_time_column is
    'Column by which a table of schema bcp is cut into chunks; ZB002 if it is no hypertable.';

grant execute on function bcp_internal.archive_time_column to bcp_reader;

create or replace function bcp_internal.archive_text(p_name text, p_type text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select format(case p_type
        when 'timestamp with time zone' then
            'case when isfinite(%1$I) then (extract(epoch from %1$I) * 1000000)::bigint::text '
            'when %1$I > ''epoch'' then ''9223372036854775807'' when %1$I < ''epoch'' then ''-9223372036854775808'' end'
        -- All NaNs count as equal, whatever their sign and payload.
        when 'double precision' then
            'case when %1$I = ''NaN'' then ''9221120237041090560'' '
            'else (''x'' || encode(float8send(%1$I), ''hex''))::bit(64)::bigint::text end'
        when 'text' then '%1$I'
        -- A cast to text would add the prefix length even to a single address.
        when 'inet' then 'case when %1$I is not null then concat(%1$I) end'
        else '%1$I::text'
    end, p_name)
$func$;

comment on function bcp_internal.archive_text is
    'Expression for the exact value of a column as text: times are microseconds since 1970 (infinity is the greatest '
    'bigint, -infinity the least), double precision is its 64 bits read as a bigint, and everything else is as '
    'PostgreSQL writes it.';

grant execute on function bcp_internal.archive_text to bcp_reader;

create or replace function bcp_internal.archive_rows(
    p_relation regclass, p_columns jsonb, p_time_column text default null,
    p_start timestamptz default null, p_end timestamptz default null)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select format('select %s from %s', string_agg(
               format('%s as c%s', bcp_internal.archive_text(c.value ->> 'name', c.value ->> 'type'), c.ordinality),
               ', ' order by c.ordinality), p_relation)
        || case when p_time_column is not null then
               format(' where %1$I >= %2$L::timestamptz and %1$I < %3$L::timestamptz', p_time_column, p_start, p_end)
           else '' end
    from jsonb_array_elements(p_columns) with ordinality as c
$func$;

comment on function bcp_internal.archive_rows is
    'Query for the rows of a range, or for all rows, with every column as text.';

grant execute on function bcp_internal.archive_rows to bcp_reader;

create or replace function bcp_internal.checksum_text(p_sum numeric) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- The result of mod() has the sign of the dividend, and a bigint ends at 2^63.
    select lpad(
        to_hex((case when s.rest >= 9223372036854775808 then s.rest - 18446744073709551616 else s.rest end)::bigint),
        16, '0')
    from mod(mod(coalesce(p_sum, 0), 18446744073709551616) + 18446744073709551616, 18446744073709551616) as s (rest)
$func$;

comment on function bcp_internal.checksum_text is 'A sum of row hashes, modulo 2^64, as 16 hexadecimal digits.';

grant execute on function bcp_internal.checksum_text to bcp_reader;

create or replace function bcp_internal.archive_checksum(
    p_relation regclass, p_columns jsonb, p_time_column text default null,
    p_start timestamptz default null, p_end timestamptz default null,
    out row_count bigint, out checksum text, out digest text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_row text;
begin
    select string_agg(
        format('case when c%1$s is null then ''-'' else length(c%1$s) || '':'' || c%1$s end', n), ' || ' order by n)
    into v_row
    from generate_series(1, jsonb_array_length(p_columns)) as n;
    -- offset 0, because PostgreSQL would otherwise compute each text three times and each hash four times. The hashes
    -- are grouped by their first two bytes, because all hashes of a chunk may be more than one value can hold.
    execute format(
        'with hashes as ('
        'select sha256(convert_to(%s, ''UTF8'')) as h from (%s offset 0) as rows_as_text offset 0'
        '), parts as ('
        'select substring(h from 1 for 2) as first, count(*) as n,'
        ' sum((''x'' || encode(substring(h from 1 for 8), ''hex''))::bit(64)::bigint) as s,'
        ' sha256(string_agg(h, '''' order by h)) as d from hashes group by 1'
        ') select coalesce(sum(n), 0), bcp_internal.checksum_text(sum(s)),'
        ' encode(sha256(coalesce(string_agg(d, '''' order by first), '''')), ''hex'') from parts',
        v_row, bcp_internal.archive_rows(p_relation, p_columns, p_time_column, p_start, p_end))
    into row_count, checksum, digest;
end
$func$;

comment on function bcp_internal.archive_checksum is
    'Number of rows of a range, or of all rows, their checksum and their digest. Neither depends on the order of the '
    'rows. The hash of a row is the SHA-256 of its text in UTF-8: for each column in order, the length in characters, '
    'a colon and the text of bcp_internal.archive_text, or - for null. The checksum is the sum modulo 2^64, in 16 '
    'hexadecimal digits, of the first 8 bytes (big endian) of the hashes. The checksums of parts add up to that of the '
    'whole; but somebody could make up rows that fit a checksum. Nobody can do that for the digest, a SHA-256 of '
    'hashes: the hashes of rows are sorted, those that begin with the same 2 bytes form a part, and the SHA-256 of '
    'each part is hashed once more, in order.';

grant execute on function bcp_internal.archive_checksum to bcp_reader;

create or replace function bcp_internal.chunk_is_archived(
    p_table text, p_start timestamptz, p_end timestamptz, p_check_content boolean default true)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_relation constant regclass := format('bcp.%I', p_table)::regclass;
    v_time_column constant text := bcp_internal.archive_time_column(p_table);
    v_columns constant jsonb := bcp_internal.archive_columns(p_table);
    v_rows bigint;
    v_archived record;
begin
    -- Counting is quick, so it comes first.
    execute format('select count(*) from %1$s where %2$I >= $1 and %2$I < $2', v_relation, v_time_column)
    into v_rows using p_start, p_end;
    if v_rows <> bcp_internal.archived_rows(p_table, p_start, p_end) then
        return false;
    elsif v_rows = 0 or not p_check_content then
        return true;
    end if;
    select bcp_internal.checksum_text(sum(('x' || a.checksum)::bit(64)::bigint)) as checksum,
        bool_and(a.columns = v_columns) as alike
    into v_archived
    from bcp.archives a
    where a.table_name = p_table
      and a.range_start = p_start
      and a.range_end = p_end
      and a.state in ('verified', 'restored');
    return v_archived.alike
        and (bcp_internal.archive_checksum(v_relation, v_columns, v_time_column, p_start, p_end)).checksum
            = v_archived.checksum;
end
$func$;

comment on function bcp_internal.chunk_is_archived is
    'Whether proven archives hold the rows of a chunk as they are now: as many rows, and with p_check_content the same '
    'checksum. Reads the whole chunk.';

grant execute on function bcp_internal.chunk_is_archived to bcp_reader;

create or replace function bcp.archives_wanted(p_check_content boolean default true)
returns table (table_name text, range_start timestamptz, range_end timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_chunk record;
begin
    for v_chunk in
        select c.table_name as name, c.range_start as first, c.range_end as last
        from bcp_internal.old_chunks() c
        where c.archive_first
          -- Rows that were restored for somebody to look at are not to be dropped yet. The archive only has to be
          -- within the chunk, because a chunk that was made anew may be longer.
          and not exists (
              select from bcp.archives a
              where a.table_name = c.table_name
                and a.range_start >= c.range_start
                and a.range_end <= c.range_end
                and a.state = 'restored'
                and a.keep_until > bcp_internal.now())
        -- Latest first, as in bcp_internal.old_chunks: then cleanup can drop each chunk as soon as it is archived.
        order by c.table_name, c.range_start desc
    loop
        if not bcp_internal.chunk_is_archived(v_chunk.name, v_chunk.first, v_chunk.last, p_check_content) then
            table_name := v_chunk.name;
            range_start := v_chunk.first;
            range_end := v_chunk.last;
            return next;
        end if;
    end loop;
end
$func$;

comment on function bcp.archives_wanted is
    'Which chunks need an archive? Chunks past their retention, of tables whose policy wants an archive first, whose '
    'rows as they are now are not all in proven archives; the latest of each table first. bcp-analytics archive makes '
    'the archives. Reads each chunk past its retention; with p_check_content => false it only counts rows, and misses '
    'rows that have changed.';

grant execute on function bcp.archives_wanted to bcp_reader;

create or replace function bcp_internal.chunks_to_archive(p_table text, p_since timestamptz, p_until timestamptz)
returns table (table_name text, range_start timestamptz, range_end timestamptz)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select c.hypertable_name::text, c.range_start, c.range_end
    from timescaledb_information.chunks c
    join bcp.data_retention_policies r on r.table_name = c.hypertable_name
    where c.hypertable_schema = 'bcp'
      and (r.table_name = p_table or p_table is null and r.archive_before_delete)
      and c.range_start >= coalesce(p_since, '-infinity')
      and c.range_end <= least(p_until, bcp_internal.now())
      and tstzrange(c.range_start, c.range_end) <@ bcp_internal.known_years()
      and not bcp_internal.chunk_is_archived(r.table_name, c.range_start, c.range_end)
    order by c.hypertable_name, c.range_start desc
$func$;

comment on function bcp_internal.chunks_to_archive is
    'Chunks that lie within a range, are over and are not archived as they are now, whether due or not; of one table, '
    'or of all whose policy wants an archive. A null bound is open.';

grant execute on function bcp_internal.chunks_to_archive to bcp_reader;
