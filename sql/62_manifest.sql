-- The manifest of the archives, bcp.archives. Only these functions write it, and what they record of rows is what the
-- database has counted.

create or replace function bcp_internal.has_chunk(p_table text, p_start timestamptz, p_end timestamptz) returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select exists (
        select from timescaledb_information.chunks c
        where c.hypertable_schema = 'bcp' and c.hypertable_name = p_table and c.range_start = p_start
            and c.range_end = p_end
          -- A repeatable read transaction still sees a dropped chunk in the view, but the chunk has no relation any
          -- more.
          and to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name)) is not null)
$func$;

comment on function bcp_internal.has_chunk is 'Whether a table has a chunk of exactly this range at this moment.';

create or replace function bcp_internal.begin_archive(
    p_table text, p_start timestamptz, p_end timestamptz, p_location text)
returns setof bcp.archives
language sql volatile
-- Only the owner may write the manifest; bcp_admin may do it through these functions.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    insert into bcp.archives (table_name, range_start, range_end, state, location, columns, schema_version, started_at)
    select p_table, p_start, p_end, 'writing', p_location, bcp_internal.archive_columns(p_table),
           (select max(m.migration_id) from bcp_migrations._yoyo_migration m), bcp_internal.now()
    where p_end <= bcp_internal.now() and bcp_internal.has_chunk(p_table, p_start, p_end)
    returning *
$func$;

comment on function bcp_internal.begin_archive is
    'Records that an archive of a chunk is being written. No row if the chunk does not exist, or no longer, or is not '
    'over. Commit it before writing any file, so that the files of a run that dies are known.';

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

comment on function bcp_internal.refuse_archive is
    'Raises ZB007: the archive is not in a state in which it can be archived, rewritten or restored.';

create or replace function bcp_internal.count_archive(p_archive_id uuid) returns setof bcp.archives
language plpgsql volatile
-- Only the owner may write the manifest. restore relies on what this records, so nobody else may count.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_archive bcp.archives;
    v_found record;
begin
    select * into v_archive from bcp.archives a where a.archive_id = p_archive_id and a.state = 'writing'
        and a.instead_of is null;
    if not found then
        perform bcp_internal.refuse_archive(p_archive_id, 'archived');
    end if;
    select * into v_found
    from bcp_internal.archive_checksum(
        format('bcp.%I', v_archive.table_name)::regclass, v_archive.columns,
        bcp_internal.archive_time_column(v_archive.table_name), v_archive.range_start, v_archive.range_end);
    -- Rows that were read stay until this transaction ends. If the chunk was dropped before that, there was nothing to
    -- read.
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

comment on function bcp_internal.count_archive is
    'Records how many rows the chunk of an archive that is being written has, with their checksum and digest. In a '
    'repeatable read transaction these are of the same rows as a later read of the chunk. No row if the chunk was '
    'dropped: then the archive is forgotten.';

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
                'archive %s came back with %s rows and checksum %s, the database counted %s and %s:'
                ' nothing was marked as archived',
                p_archive.archive_id, p_row_count, p_checksum, p_archive.row_count, p_archive.checksum),
            hint = 'Run it again; if it stays so, the store changes its files.';
    end if;
    select jsonb_agg(to_jsonb(f) order by f.day),
           count(distinct f.day) = count(*)
               and coalesce(sum(f.row_count), 0) = p_row_count
               and coalesce(sum(f.bytes), 0) = p_bytes
               and coalesce(bool_and(coalesce(
                   f.row_count > 0 and f.bytes > 0 and f.sha256 ~ '^[0-9a-f]{64}$'
                   and f.day between (p_archive.range_start at time zone 'UTC')::date
                       and (p_archive.range_end at time zone 'UTC')::date
                   and f.path ~ format(
                       '^table=%s/day=%s/[0-9TZ]+-%s\.parquet$', p_archive.table_name, f.day, p_archive.archive_id),
                   false)), true)
    into v_files, v_good
    from jsonb_to_recordset(p_files) as f (path text, day date, row_count bigint, bytes bigint, sha256 text);
    if v_good is not true then
        raise exception using
            errcode = 'ZB007',
            message = format(
                'the files of archive %s are not one file per day with its rows: nothing was marked as archived',
                p_archive.archive_id),
            hint = 'Use bcp-analytics archive.';
    end if;
    return coalesce(v_files, '[]');
end
$func$;

comment on function bcp_internal.proven_files is
    'Files of an archive as the manifest keeps them. ZB007 if the rows that were read back from them are not those '
    'that the database counted, or if a file is not where the archive''s files belong.';

create or replace function bcp_internal.pass_on_erasures(p_old uuid, p_new uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    insert into bcp_internal.erasure_archives (erasure_id, archive_id)
    select e.erasure_id, p_new from bcp_internal.erasure_archives e where e.archive_id = p_old and p_new is not null
    on conflict do nothing;
    -- An archive that is gone holds nobody's rows, so it waits for no erasure.
    delete from bcp_internal.erasure_archives e where e.archive_id = p_old and p_new is not null;
    perform bcp_internal.archive_erased(e.erasure_id, p_old)
    from bcp_internal.erasure_archives e
    where e.archive_id = p_old;
end
$func$;

comment on function bcp_internal.pass_on_erasures is
    'Moves the erasures that wait for one archive to the archive that takes its place; null if there is none.';

create or replace function bcp_internal.finish_archive(
    p_archive_id uuid, p_files jsonb, p_row_count bigint, p_checksum text, p_bytes bigint)
returns setof bcp.archives
language plpgsql volatile
-- Only the owner may write the manifest.
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
    set state = 'verified', files = bcp_internal.proven_files(v_archive, p_files, p_row_count, p_checksum, p_bytes),
        bytes = p_bytes,
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

comment on function bcp_internal.finish_archive is
    'Records that an archive was read back, and with how many rows and which checksum. ZB007 unless they are those of '
    'bcp_internal.count_archive. It holds all rows of its chunk, so it replaces earlier archives of them.';

grant execute on function bcp_internal.finish_archive to bcp_admin;

create or replace function bcp_internal.discard_archive(p_archive_id uuid) returns boolean
language sql volatile
-- Only the owner may write the manifest; bcp_admin may do it through these functions.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    with gone as (
        delete from bcp.archives a where a.archive_id = p_archive_id and a.state in ('writing', 'replaced') returning 1
    )
    select exists (select from gone)
$func$;

comment on function bcp_internal.discard_archive is
    'Forgets an archive that was never proven, or that has been replaced. Call it when its files are gone.';

grant execute on function bcp_internal.discard_archive to bcp_admin;

create or replace function bcp_internal.replace_archives(p_table text, p_start timestamptz, p_end timestamptz)
returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- Their chunk still exists, as do all chunks that late masking changes.
    update bcp.archives a
    set state = 'replaced'
    where a.table_name = p_table and a.range_start >= p_start and a.range_end <= p_end
        and a.state in ('verified', 'restored')
$func$;

comment on function bcp_internal.replace_archives is
    'Records that archives hold the rows of a chunk as they were before a change, so that the next run of '
    'bcp-analytics archive removes them and makes a new one.';

-- Only the owner may rewrite: it serves erasures, and restore relies on the rows that are left.

create or replace function bcp_internal.begin_rewrite(p_archive_id uuid) returns setof bcp.archives
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_old bcp.archives;
    v_found record;
begin
    select * into v_old from bcp.archives a where a.archive_id = p_archive_id
        and a.state = any (bcp_internal.proven_states());
    if not found then
        perform bcp_internal.refuse_archive(p_archive_id, 'rewritten');
    end if;
    select * into v_found from bcp_internal.archive_checksum('pg_temp.bcp_restored'::regclass, v_old.columns);
    return query
    insert into bcp.archives (
        table_name, range_start, range_end, state, location, columns, schema_version, row_count, checksum, digest,
        started_at, instead_of)
    select v_old.table_name, v_old.range_start, v_old.range_end, 'writing', v_old.location, v_old.columns,
        v_old.schema_version,
           v_found.row_count, v_found.checksum, v_found.digest, bcp_internal.now(), p_archive_id
    where v_found.digest <> v_old.digest
    returning *;
end
$func$;

comment on function bcp_internal.begin_rewrite is
    'Records that an archive is being written that will replace another, from the rows of it that are left in '
    'bcp_restored. No row if all of them are left.';

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
    if v_old.state is null or v_old.state <> all (bcp_internal.proven_states()) then
        perform bcp_internal.refuse_archive(coalesce(v_new.instead_of, p_archive_id), 'rewritten');
    end if;
    v_files := bcp_internal.proven_files(v_new, p_files, p_row_count, p_checksum, p_bytes);
    perform bcp_internal.pass_on_erasures(v_old.archive_id, case when p_row_count > 0 then p_archive_id end);
    update bcp.archives a set state = 'replaced' where a.archive_id = v_old.archive_id;
    if p_row_count = 0 then
        -- No row is left, so no archive is kept.
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

comment on function bcp_internal.finish_rewrite is
    'Records that a rewritten archive was read back and found as the database counted it, and gives it the place and '
    'state of the other. No row if no row is left.';
