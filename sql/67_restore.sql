-- Restoring an archive: its rows go into a temporary table, where SQL proves them, and from there into their own table.

create or replace function bcp_internal.check_erased(p_archive_id uuid) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if exists (select from bcp_internal.erasure_archives e where e.archive_id = p_archive_id) then
        raise exception using
            errcode = 'ZB007',
            message = format(
                'archive %s still has rows of a person who was erased: nothing was restored', p_archive_id),
            hint = 'bcp-analytics archive, as the role that migrated the database, rewrites it first.';
    elsif exists (
        select from bcp_internal.erasure_work w join bcp.erasures e using (erasure_id) where e.erased_at is null)
    then
        -- The erasure may already have been where the rows would go.
        raise exception using
            errcode = 'ZB007',
            message = 'a person is being erased: nothing was restored',
            hint = 'Wait until the erasure has ended; if it was interrupted, call it again.';
    end if;
end
$func$;

comment on function bcp_internal.check_erased is
    'ZB007 if an archive waits for an erasure, or if one is going on: restoring it would bring the person back.';

create or replace function bcp_internal.begin_restore(p_archive_id uuid, p_to_erase boolean default false) returns void
language plpgsql volatile
-- The table belongs to the owner, so that nobody can put a trigger or a view in its place.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_columns text;
begin
    select string_agg(format('%I %s', c.value ->> 'name', (c.value ->> 'type')::regtype), ', ' order by c.ordinality)
    into v_columns
    from bcp.archives a, jsonb_array_elements(a.columns) with ordinality as c
    where a.archive_id = p_archive_id and a.state = any (bcp_internal.proven_states());
    if v_columns is null then
        perform bcp_internal.refuse_archive(p_archive_id, 'restored');
    end if;
    if not p_to_erase then
        perform bcp_internal.check_erased(p_archive_id);
    end if;
    execute format('create temporary table bcp_restored (%s) on commit drop', v_columns);
    grant select, insert on pg_temp.bcp_restored to bcp_admin;
end
$func$;

comment on function bcp_internal.begin_restore is
    'Creates the temporary table bcp_restored for the rows of an archive; it lasts until the transaction ends. ZB007 '
    'if the archive waits for an erasure, unless p_to_erase says that this is the purpose.';

grant execute on function bcp_internal.begin_restore to bcp_admin;

create or replace function bcp_internal.check_restored(p_archive_id uuid) returns bigint
language plpgsql volatile
-- The table belongs to the owner, as in bcp_internal.begin_restore.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_archive bcp.archives;
    v_found record;
begin
    select * into v_archive from bcp.archives a where a.archive_id = p_archive_id;
    if not exists (
        select from pg_class c
        where c.oid = to_regclass('pg_temp.bcp_restored') and c.relkind = 'r' and c.relowner = current_user::regrole)
    then
        raise exception using
            errcode = 'ZB007',
            message = 'there is no table bcp_restored of bcp_internal.begin_restore',
            hint = 'Use bcp-analytics restore.';
    end if;
    select * into v_found from bcp_internal.archive_checksum('pg_temp.bcp_restored'::regclass, v_archive.columns);
    -- Compared by the digest, because rows could be made up that have the same checksum.
    if (v_found.row_count, v_found.digest) is distinct from (v_archive.row_count, v_archive.digest) then
        raise exception using
            errcode = 'ZB007',
            message = format(
                'archive %s came back with %s rows and digest %s, its manifest says %s and %s: nothing was restored',
                p_archive_id, v_found.row_count, v_found.digest, v_archive.row_count, v_archive.digest),
            hint = 'Its files are not as they were written, or the server reads them otherwise:'
                ' see docs/how-to/archive.md.';
    end if;
    return v_found.row_count;
end
$func$;

comment on function bcp_internal.check_restored is
    'Number of rows in bcp_restored; ZB007 if they are not those of the archive.';

create or replace function bcp_internal.finish_restore(p_archive_id uuid, p_keep_until timestamptz) returns bigint
language plpgsql volatile
-- Only the owner may write tables of events; bcp_admin may restore rows that were in them before.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_archive bcp.archives;
    v_columns text;
begin
    -- The lock on the row keeps two sessions from restoring it twice.
    select * into v_archive from bcp.archives a where a.archive_id = p_archive_id for update;
    if v_archive.state in ('verified', 'restored') then
        return 0;
    elsif v_archive.state is distinct from 'dropped' then
        -- Its rows may be in the table already.
        perform bcp_internal.refuse_archive(p_archive_id, 'restored');
    end if;
    perform bcp_internal.check_erased(p_archive_id);
    perform bcp_internal.check_restored(p_archive_id);
    select string_agg(format('%I', c.value ->> 'name'), ', ' order by c.ordinality) into v_columns
    from jsonb_array_elements(v_archive.columns) with ordinality as c
    join pg_attribute a on a.attrelid = format('bcp.%I', v_archive.table_name)::regclass
        and a.attname = c.value ->> 'name'
    where not a.attisdropped and a.attgenerated = '';
    if bcp_internal.loses_generated_columns() then
        perform public.decompress_chunk(format('%I.%I', c.chunk_schema, c.chunk_name)::regclass, true)
        from timescaledb_information.chunks c
        where c.hypertable_schema = 'bcp'
          and c.hypertable_name = v_archive.table_name
          and c.range_start < v_archive.range_end
          and c.range_end > v_archive.range_start
          and c.is_compressed;
    end if;
    execute format('insert into bcp.%I (%s) select %2$s from pg_temp.bcp_restored', v_archive.table_name, v_columns);
    if exists (
        select from timescaledb_information.chunks c
        where c.hypertable_schema = 'bcp'
          and c.hypertable_name = v_archive.table_name
          and c.range_start < v_archive.range_end
          and c.range_end > v_archive.range_start
          and not (c.range_start <= v_archive.range_start and c.range_end >= v_archive.range_end))
    then
        raise exception using
            errcode = 'ZB007',
            message = format(
                'archive %s is of a longer chunk than chunks are made now: cleanup could not tell which rows it has',
                p_archive_id),
            hint = 'Restore it with --into-schema, or make the setting chunk_interval as long as it was.';
    end if;
    update bcp.archives a set state = 'restored', keep_until = p_keep_until where a.archive_id = p_archive_id;
    return v_archive.row_count;
end
$func$;

comment on function bcp_internal.finish_restore is
    'Moves the rows of bcp_restored into their table, after they have proved equal to the manifest, and returns how '
    'many; 0 if they are there already. Cleanup leaves them until p_keep_until.';

grant execute on function bcp_internal.finish_restore to bcp_admin;
