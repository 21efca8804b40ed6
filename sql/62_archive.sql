-- The archive's side in the database: which chunks want one, what their rows are as text, and the manifest.
-- bcp-analytics archive does the rest. bcp.archives is written by these functions only.

create or replace function bcp_internal.archive_columns(p_table text) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum)
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'bcp'::regnamespace
      and c.relname = p_table
      and a.attnum > 0
      and not a.attisdropped
$func$;

comment on function bcp_internal.archive_columns(text) is
    'Columns of a table of schema bcp as a manifest lists them, generated ones too: an array of {"name", "type"}.';

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

comment on function bcp_internal.archive_time_column(text) is
    'Column that the chunks of a table of schema bcp are ranges of; ZB002 where it is no hypertable.';

grant execute on function bcp_internal.archive_time_column to bcp_reader;

create or replace function bcp_internal.archive_text(p_name text, p_type text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select format(case p_type
        when 'timestamp with time zone' then
            'case when isfinite(%1$I) then (extract(epoch from %1$I) * 1000000)::bigint::text '
            'when %1$I > ''epoch'' then ''9223372036854775807'' when %1$I < ''epoch'' then ''-9223372036854775808'' end'
        -- A NaN is a NaN, whatever its sign and payload.
        when 'double precision' then
            'case when %1$I = ''NaN'' then ''9221120237041090560'' '
            'else (''x'' || encode(float8send(%1$I), ''hex''))::bit(64)::bigint::text end'
        when 'text' then '%1$I'
        -- A cast would add the prefix length of a single address.
        when 'inet' then 'case when %1$I is not null then concat(%1$I) end'
        else '%1$I::text'
    end, p_name)
$func$;

comment on function bcp_internal.archive_text(text, text) is
    'Expression for a column''s value as text, exact: times in microseconds from 1970 (infinity as the greatest and least bigint), double precision as its 64 bits, read as a bigint, all else as PostgreSQL writes it.';

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

comment on function bcp_internal.archive_rows(regclass, jsonb, text, timestamptz, timestamptz) is
    'Query for the rows of a range, or for all rows, with every column as text.';

grant execute on function bcp_internal.archive_rows to bcp_reader;

create or replace function bcp_internal.checksum_text(p_sum numeric) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- mod() has the sign of what it divides, and a bigint ends at 2^63.
    select lpad(to_hex((case when s.rest >= 9223372036854775808 then s.rest - 18446744073709551616 else s.rest end)::bigint), 16, '0')
    from (select mod(mod(coalesce(p_sum, 0), 18446744073709551616) + 18446744073709551616, 18446744073709551616)) as s (rest)
$func$;

comment on function bcp_internal.checksum_text(numeric) is 'A sum of row hashes, modulo 2^64, as 16 hexadecimal digits.';

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
    select string_agg(format('case when c%1$s is null then ''-'' else length(c%1$s) || '':'' || c%1$s end', n), ' || ' order by n)
    into v_row
    from generate_series(1, jsonb_array_length(p_columns)) as n;
    -- offset 0: or each text would be made three times, and each hash four. By the first two bytes: all hashes of a chunk may be more than
    -- one value can hold.
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

comment on function bcp_internal.archive_checksum(regclass, jsonb, text, timestamptz, timestamptz) is
    'Rows of a range, or all, their checksum and their digest, whatever their order. A row''s hash is the SHA-256 of it as text in UTF-8: for each column in order, its length in characters, a colon and the text of bcp_internal.archive_text, or - for null. The checksum is the sum modulo 2^64, in 16 hexadecimal digits, of the first 8 bytes (big endian) of the hashes; those of parts add up to that of the whole, and so rows can be made up to fit it. Nobody can make any to fit the digest, the SHA-256 of hashes: those of rows are sorted, those that begin with the same 2 bytes make up a part, and the SHA-256 of each part is hashed once more, in order.';

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
    select bcp_internal.checksum_text(sum(('x' || a.checksum)::bit(64)::bigint)) as checksum, bool_and(a.columns = v_columns) as alike
    into v_archived
    from bcp.archives a
    where a.table_name = p_table
      and a.range_start = p_start
      and a.range_end = p_end
      and a.state in ('verified', 'restored');
    return v_archived.alike
        and (bcp_internal.archive_checksum(v_relation, v_columns, v_time_column, p_start, p_end)).checksum = v_archived.checksum;
end
$func$;

comment on function bcp_internal.chunk_is_archived(text, timestamptz, timestamptz, boolean) is
    'Whether proven archives hold a chunk''s rows as they are now: as many, and, unless content is not to be checked, with the same checksum. Reads the whole chunk.';

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
          -- What was restored to be looked at is not dropped yet. Within the chunk: one made anew may be longer.
          and not exists (
              select from bcp.archives a
              where a.table_name = c.table_name
                and a.range_start >= c.range_start
                and a.range_end <= c.range_end
                and a.state = 'restored'
                and a.keep_until > bcp_internal.now())
        -- The latest first, as in bcp_internal.old_chunks: cleanup can then drop each as soon as it is archived.
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

comment on function bcp.archives_wanted(boolean) is
    'Which chunks want an archive? Those past the retention of tables that want an archive first, whose rows are not all in proven archives as they are now, the latest of a table first. bcp-analytics archive makes them. Reads each chunk past retention; p_check_content => false only counts its rows, and misses those that were changed.';

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

comment on function bcp_internal.chunks_to_archive(text, timestamptz, timestamptz) is
    'Whole chunks of a range that are over and not archived as they are now, due or not, of a table or of all that want an archive; null: an open end.';

grant execute on function bcp_internal.chunks_to_archive to bcp_reader;

create or replace function bcp_internal.has_chunk(p_table text, p_start timestamptz, p_end timestamptz) returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select exists (
        select from timescaledb_information.chunks c
        where c.hypertable_schema = 'bcp' and c.hypertable_name = p_table and c.range_start = p_start and c.range_end = p_end
          -- In a transaction that is repeatable read the view still shows a chunk that has been dropped, but it has no relation.
          and to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name)) is not null)
$func$;

comment on function bcp_internal.has_chunk(text, timestamptz, timestamptz) is
    'Whether a table has a chunk of exactly this range, at this moment.';

create or replace function bcp_internal.begin_archive(p_table text, p_start timestamptz, p_end timestamptz, p_location text)
returns setof bcp.archives
language sql volatile
-- Nobody but the owner writes the manifest; bcp_admin may through these functions.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    insert into bcp.archives (table_name, range_start, range_end, state, location, columns, schema_version, started_at)
    select p_table, p_start, p_end, 'writing', p_location, bcp_internal.archive_columns(p_table),
           (select max(m.migration_id) from bcp_migrations._yoyo_migration m), bcp_internal.now()
    where p_end <= bcp_internal.now() and bcp_internal.has_chunk(p_table, p_start, p_end)
    returning *
$func$;

comment on function bcp_internal.begin_archive(text, timestamptz, timestamptz, text) is
    'Notes that an archive of a chunk is being written. No row where there is no such chunk, or no longer, or it is not over. To be committed before any file is, so that the files of a run that dies are known.';

grant execute on function bcp_internal.begin_archive to bcp_admin;

create or replace function bcp_internal.refuse_archive(p_archive_id uuid, p_to_be text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    raise exception using
        errcode = 'ZB007',
        message = format('archive %s ', p_archive_id) || case p_to_be
            when 'archived' then 'is not being written any more'
            when 'rewritten' then 'has been replaced in the meantime'
            when 'restored' then 'is not, or no longer, proven'
        end,
        hint = case p_to_be
            when 'archived' then 'Another run has taken its place: run bcp-analytics archive again.'
            when 'rewritten' then 'Do it again, with the archive that has taken its place.'
            when 'restored' then 'bcp-analytics archive list shows those that are.'
        end;
end
$func$;

comment on function bcp_internal.refuse_archive(uuid, text) is
    'ZB007 for an archive that is not in the state in which it can be archived, rewritten or restored.';

create or replace function bcp_internal.count_archive(p_archive_id uuid) returns setof bcp.archives
language plpgsql volatile
-- As for bcp_internal.begin_archive. What it notes is what restore will believe, so nobody else counts.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_archive bcp.archives;
    v_found record;
begin
    select * into v_archive from bcp.archives a where a.archive_id = p_archive_id and a.state = 'writing' and a.instead_of is null;
    if not found then
        perform bcp_internal.refuse_archive(p_archive_id, 'archived');
    end if;
    select * into v_found
    from bcp_internal.archive_checksum(
        format('bcp.%I', v_archive.table_name)::regclass, v_archive.columns,
        bcp_internal.archive_time_column(v_archive.table_name), v_archive.range_start, v_archive.range_end);
    -- What was read stays until this transaction ends. Of a chunk that was dropped before there was nothing to read.
    if not bcp_internal.has_chunk(v_archive.table_name, v_archive.range_start, v_archive.range_end) then
        delete from bcp.archives a where a.archive_id = p_archive_id;
        return;
    end if;
    return query
    update bcp.archives a
    set row_count = v_found.row_count, checksum = v_found.checksum, digest = v_found.digest
    where a.archive_id = p_archive_id
    returning a.*;
end
$func$;

comment on function bcp_internal.count_archive(uuid) is
    'Notes how many rows the chunk of an archive that is being written has, with their checksum and digest. In a transaction that is repeatable read it is of the same rows as what is then read from the chunk. No row where the chunk has been dropped: the archive is forgotten.';

grant execute on function bcp_internal.count_archive to bcp_admin;

create or replace function bcp_internal.proven_files(
    p_archive bcp.archives, p_files jsonb, p_row_count bigint, p_checksum text, p_bytes bigint)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_files jsonb;
    v_good boolean;
begin
    if (p_row_count, p_checksum) is distinct from (p_archive.row_count, p_archive.checksum) then
        raise exception using
            errcode = 'ZB007',
            message = format(
                'archive %s came back with %s rows and checksum %s, the database counted %s and %s: nothing was marked as archived',
                p_archive.archive_id, p_row_count, p_checksum, p_archive.row_count, p_archive.checksum),
            hint = 'Run it again; if it stays so, the store changes its files.';
    end if;
    select jsonb_agg(to_jsonb(f) order by f.day),
           count(distinct f.day) = count(*) and coalesce(sum(f.row_count), 0) = p_row_count and coalesce(sum(f.bytes), 0) = p_bytes
               and coalesce(bool_and(coalesce(
                   f.row_count > 0 and f.bytes > 0 and f.sha256 ~ '^[0-9a-f]{64}$'
                   and f.day between (p_archive.range_start at time zone 'UTC')::date and (p_archive.range_end at time zone 'UTC')::date
                   and f.path ~ format('^table=%s/day=%s/[0-9TZ]+-%s\.parquet$', p_archive.table_name, f.day, p_archive.archive_id),
                   false)), true)
    into v_files, v_good
    from jsonb_to_recordset(p_files) as f (path text, day date, row_count bigint, bytes bigint, sha256 text);
    if v_good is not true then
        raise exception using
            errcode = 'ZB007',
            message = format('the files of archive %s are not a file a day with its rows: nothing was marked as archived', p_archive.archive_id),
            hint = 'Use bcp-analytics archive.';
    end if;
    return coalesce(v_files, '[]');
end
$func$;

comment on function bcp_internal.proven_files(bcp.archives, jsonb, bigint, text, bigint) is
    'The files of an archive as the manifest keeps them; ZB007 where what was read back from them is not what the database counted, or they are not where its files go.';

create or replace function bcp_internal.pass_on_erasures(p_old uuid, p_new uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    insert into bcp_internal.erasure_archives (erasure_id, archive_id)
    select e.erasure_id, p_new from bcp_internal.erasure_archives e where e.archive_id = p_old and p_new is not null
    on conflict do nothing;
    -- Rows of nobody are left of an archive that is gone, so it waits for nothing.
    delete from bcp_internal.erasure_archives e where e.archive_id = p_old and p_new is not null;
    perform bcp_internal.archive_erased(e.erasure_id, p_old) from bcp_internal.erasure_archives e where e.archive_id = p_old;
end
$func$;

comment on function bcp_internal.pass_on_erasures(uuid, uuid) is
    'Has what waited for an erasure in an archive wait in the one that takes its place; null: none does.';

create or replace function bcp_internal.finish_archive(
    p_archive_id uuid, p_files jsonb, p_row_count bigint, p_checksum text, p_bytes bigint)
returns setof bcp.archives
language plpgsql volatile
-- As for bcp_internal.begin_archive.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_archive bcp.archives;
begin
    select * into v_archive
    from bcp.archives a
    where a.archive_id = p_archive_id and a.state = 'writing' and a.instead_of is null
    for update;
    if not found then
        perform bcp_internal.refuse_archive(p_archive_id, 'archived');
    end if;
    update bcp.archives a
    set state = 'verified', files = bcp_internal.proven_files(v_archive, p_files, p_row_count, p_checksum, p_bytes), bytes = p_bytes,
        verified_at = bcp_internal.now()
    where a.archive_id = p_archive_id
    returning * into v_archive;
    perform bcp_internal.pass_on_erasures(a.archive_id, p_archive_id)
    from bcp.archives a
    where a.table_name = v_archive.table_name
      and a.range_start >= v_archive.range_start
      and a.range_end <= v_archive.range_end
      and a.state in ('verified', 'restored')
      and a.archive_id <> p_archive_id;
    update bcp.archives a
    set state = 'replaced'
    where a.table_name = v_archive.table_name
      and a.range_start >= v_archive.range_start
      and a.range_end <= v_archive.range_end
      and a.state in ('verified', 'restored')
      and a.archive_id <> p_archive_id;
    return next v_archive;
end
$func$;

comment on function bcp_internal.finish_archive(uuid, jsonb, bigint, text, bigint) is
    'Notes that an archive has been read back, and with how many rows and which checksum: ZB007 unless they are those of bcp_internal.count_archive. It holds all rows of its chunk, so it takes the place of earlier ones of them.';

grant execute on function bcp_internal.finish_archive to bcp_admin;

create or replace function bcp_internal.discard_archive(p_archive_id uuid) returns boolean
language sql volatile
-- Nobody but the owner writes the manifest; bcp_admin may through these functions.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    with gone as (
        delete from bcp.archives a where a.archive_id = p_archive_id and a.state in ('writing', 'replaced') returning 1
    )
    select exists (select from gone)
$func$;

comment on function bcp_internal.discard_archive(uuid) is
    'Forgets an archive that was never proven, or has been replaced. To be called when its files are gone.';

grant execute on function bcp_internal.discard_archive to bcp_admin;

create or replace function bcp_internal.replace_archives(p_table text, p_start timestamptz, p_end timestamptz) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- Their chunk is still there, as all chunks are that late masking goes over.
    update bcp.archives a
    set state = 'replaced'
    where a.table_name = p_table and a.range_start >= p_start and a.range_end <= p_end and a.state in ('verified', 'restored')
$func$;

comment on function bcp_internal.replace_archives(text, timestamptz, timestamptz) is
    'Notes that archives of a chunk hold its rows as they were before, so that the next run of bcp-analytics archive removes them and makes a new one.';

-- Only the owner rewrites: it is for erasures, and what is left of the rows is what restore will believe.

create or replace function bcp_internal.begin_rewrite(p_archive_id uuid) returns setof bcp.archives
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_old bcp.archives;
    v_found record;
begin
    select * into v_old from bcp.archives a where a.archive_id = p_archive_id and a.state in ('verified', 'dropped', 'restored');
    if not found then
        perform bcp_internal.refuse_archive(p_archive_id, 'rewritten');
    end if;
    select * into v_found from bcp_internal.archive_checksum('pg_temp.bcp_restored'::regclass, v_old.columns);
    return query
    insert into bcp.archives (
        table_name, range_start, range_end, state, location, columns, schema_version, row_count, checksum, digest, started_at, instead_of)
    select v_old.table_name, v_old.range_start, v_old.range_end, 'writing', v_old.location, v_old.columns, v_old.schema_version,
           v_found.row_count, v_found.checksum, v_found.digest, bcp_internal.now(), p_archive_id
    where v_found.digest <> v_old.digest
    returning *;
end
$func$;

comment on function bcp_internal.begin_rewrite(uuid) is
    'Notes that an archive is being written that is to take the place of another, with what is left in bcp_restored of its rows. No row where that is all of them.';

create or replace function bcp_internal.finish_rewrite(
    p_archive_id uuid, p_files jsonb, p_row_count bigint, p_checksum text, p_bytes bigint)
returns setof bcp.archives
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_new bcp.archives;
    v_old bcp.archives;
    v_files jsonb;
begin
    select * into v_new from bcp.archives a where a.archive_id = p_archive_id and a.state = 'writing' for update;
    select * into v_old from bcp.archives a where a.archive_id = v_new.instead_of for update;
    if v_old.state is null or v_old.state not in ('verified', 'dropped', 'restored') then
        perform bcp_internal.refuse_archive(coalesce(v_new.instead_of, p_archive_id), 'rewritten');
    end if;
    v_files := bcp_internal.proven_files(v_new, p_files, p_row_count, p_checksum, p_bytes);
    perform bcp_internal.pass_on_erasures(v_old.archive_id, case when p_row_count > 0 then p_archive_id end);
    update bcp.archives a set state = 'replaced' where a.archive_id = v_old.archive_id;
    if p_row_count = 0 then
        -- Nothing is left, so nothing is to be kept.
        update bcp.archives a set state = 'replaced' where a.archive_id = p_archive_id;
        return;
    end if;
    return query
    update bcp.archives a
    set state = v_old.state, files = v_files, bytes = p_bytes,
        verified_at = bcp_internal.now(), dropped_at = v_old.dropped_at, keep_until = v_old.keep_until
    where a.archive_id = p_archive_id
    returning a.*;
end
$func$;

comment on function bcp_internal.finish_rewrite(uuid, jsonb, bigint, text, bigint) is
    'Notes that a rewritten archive has been read back and found as the database counted it, in place of the other one, in its state. No row where no row is left.';
