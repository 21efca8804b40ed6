-- Tables in other schemas into which archives were restored. The store keeps a list of them, and they belong to the
-- owner. So erasures and late masking reach them, and no trigger of somebody else runs when those change a row.

create or replace function bcp_internal.begin_beside(p_schema text, p_table text, p_archive_ids uuid[]) returns regclass
language plpgsql volatile
-- The table has to belong to the owner, whoever restores.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_relation regclass := to_regclass(format('%I.%I', p_schema, p_table));
    v_range record;
begin
    perform bcp_internal.archive_time_column(p_table);
    if v_relation is null and p_schema in ('bcp', 'bcp_internal', 'bcp_migrations') then
        raise exception using
            errcode = 'ZB002',
            message = format('schema %s is the store''s own', p_schema),
            hint = 'Name another schema, or restore without one to put the rows back.';
    elsif v_relation is null then
        execute format('create table %I.%I (like bcp.%2$I including generated)', p_schema, p_table);
        v_relation := format('%I.%I', p_schema, p_table)::regclass;
        execute format('comment on table %s is %L', v_relation, format('Restored from archives of bcp.%s.', p_table));
        execute format('grant select, insert, update, delete, truncate on %s to bcp_admin', v_relation);
        perform bcp_internal.forgo_statistics(v_relation);
    elsif not exists (
        select
        from bcp_internal.restored_tables r
        join pg_class c on c.oid = r.relation
        where r.relation = v_relation and r.table_name = p_table and c.relowner = current_user::regrole)
    then
        raise exception using
            errcode = 'ZB007',
            message = format('table %s was not made by a restore of %s: nothing was restored', v_relation, p_table),
            hint = 'Name another schema, or drop the table.';
    end if;
    -- An erasure waits here for restores that are going on, or is noticed below.
    insert into bcp_internal.restored_tables as r (relation, table_name, restored_at)
    values (v_relation, p_table, bcp_internal.now())
    on conflict (relation) do update set restored_at = excluded.restored_at;
    for v_range in
        select a.archive_id, a.range_start, a.range_end from bcp.archives a where a.archive_id = any (p_archive_ids)
    loop
        perform bcp_internal.check_erased(v_range.archive_id);
        execute format(
            'delete from %s where %I >= $1 and %2$I < $2', v_relation, bcp_internal.archive_time_column(p_table))
        using v_range.range_start, v_range.range_end;
    end loop;
    return v_relation;
end
$func$;

comment on function bcp_internal.begin_beside is
    'Creates a table in another schema for the rows of archives, or empties their ranges in the one that exists, and '
    'lists it in bcp_internal.restored_tables. ZB007 if a table is there that no restore has made.';

grant execute on function bcp_internal.begin_beside to bcp_admin;

create or replace function bcp_internal.finish_beside(p_relation regclass, p_archive_id uuid) returns bigint
language plpgsql volatile
-- The table belongs to the owner, as in bcp_internal.begin_beside.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_columns text;
    v_rows constant bigint := bcp_internal.check_restored(p_archive_id);
begin
    perform bcp_internal.check_erased(p_archive_id);
    if not exists (
        select
        from bcp_internal.restored_tables r
        join bcp.archives a on a.table_name = r.table_name
        join pg_class c on c.oid = r.relation
        where r.relation = p_relation and a.archive_id = p_archive_id and c.relowner = current_user::regrole)
    then
        raise exception using
            errcode = 'ZB007',
            message = format(
                'table %s was not made by a restore of this archive''s table: nothing was restored', p_relation),
            hint = 'Use bcp-analytics restore.';
    end if;
    select string_agg(format('%I', c.value ->> 'name'), ', ' order by c.ordinality) into v_columns
    from bcp.archives a
    cross join jsonb_array_elements(a.columns) with ordinality as c
    join pg_attribute t on t.attrelid = p_relation and t.attname = c.value ->> 'name'
    where a.archive_id = p_archive_id and t.attnum > 0 and not t.attisdropped and t.attgenerated = '';
    execute format('insert into %s (%s) select %2$s from pg_temp.bcp_restored', p_relation, v_columns);
    drop table pg_temp.bcp_restored;
    return v_rows;
end
$func$;

comment on function bcp_internal.finish_beside is
    'Moves the rows of bcp_restored into a table of bcp_internal.begin_beside, after they have proved equal to the '
    'manifest, and returns how many.';

grant execute on function bcp_internal.finish_beside to bcp_admin;

create or replace function bcp_internal.known_restored_tables()
returns table (relation regclass, table_name text, is_ours boolean)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- This waits for restores that are going on, because bcp_internal.begin_beside writes here.
    lock table bcp_internal.restored_tables in share row exclusive mode;
    delete from bcp_internal.restored_tables r where not exists (select from pg_class c where c.oid = r.relation);
    return query
    select r.relation, r.table_name, c.relowner = current_user::regrole
    from bcp_internal.restored_tables r
    join pg_class c on c.oid = r.relation
    order by r.relation::text;
end
$func$;

comment on function bcp_internal.known_restored_tables is
    'Tables in other schemas into which archives were restored, which table of schema bcp each is like, and whether it '
    'still belongs to the owner: otherwise a trigger of somebody else would run as the owner.';

create or replace function bcp_internal.erase_restored_tables(p_erasure_id uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_work bcp_internal.erasure_work;
    v_table record;
    v_found record;
    v_unreached jsonb := '[]';
begin
    select * into strict v_work from bcp_internal.erasure_work where erasure_id = p_erasure_id;
    for v_table in select k.relation, k.table_name, k.is_ours from bcp_internal.known_restored_tables() k loop
        begin
            if not v_table.is_ours then
                raise insufficient_privilege;
            end if;
            v_found := bcp_internal.erase_relation(
                v_table.relation, v_table.table_name, v_work.forms, v_work.session_ids);
            perform bcp_internal.count_erased(p_erasure_id, v_table.relation::text, v_found.deleted, v_found.changed);
        exception
            -- Its columns may have changed. The receipt says so, unless the table was dropped meanwhile.
            when others then
                if exists (select from pg_class c where c.oid = v_table.relation) then
                    v_unreached := v_unreached
                        || jsonb_build_object('table', v_table.relation::text, 'sqlstate', sqlstate);
                end if;
        end;
    end loop;
    update bcp.erasures set unreached = v_unreached where erasure_id = p_erasure_id;
end
$func$;

comment on function bcp_internal.erase_restored_tables is
    'Erases a person from the tables in other schemas into which archives were restored. The receipt names those that '
    'it cannot reach.';

create or replace function bcp_internal.unreached_tables(p_erasure_id uuid)
returns table (table_name text, sqlstate text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select u.value ->> 'table', u.value ->> 'sqlstate'
    from bcp.erasures e
    cross join jsonb_array_elements(e.unreached) as u
    where e.erasure_id = p_erasure_id
$func$;

comment on function bcp_internal.unreached_tables is
    'Tables that an erasure could not reach, and the SQLSTATE of the reason.';

create or replace function bcp_internal.mask_restored_tables(p_table text, p_before timestamptz, p_forget_users boolean)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_table record;
    v_within text;
    v_unreached text;
begin
    for v_table in
        select k.relation, k.table_name, k.is_ours
        from bcp_internal.known_restored_tables() k
        where k.table_name = coalesce(p_table, k.table_name)
    loop
        v_within := format('%I < %L', bcp_internal.archive_time_column(v_table.table_name), p_before);
        begin
            if not v_table.is_ours then
                raise insufficient_privilege;
            end if;
            if p_forget_users then
                perform bcp_internal.forget_rows(v_table.relation, v_within);
            end if;
            perform bcp_internal.mask_rows(v_table.relation, v_within, null, true);
            perform bcp_internal.mask_addresses(v_table.relation, v_within, true);
        exception
            when others then
                if exists (select from pg_class c where c.oid = v_table.relation) then
                    v_unreached := concat_ws(', ', v_unreached, format('%s (SQLSTATE %s)', v_table.relation, sqlstate));
                end if;
        end;
    end loop;
    return v_unreached;
end
$func$;

comment on function bcp_internal.mask_restored_tables is
    'Masks the tables in other schemas into which archives were restored, as bcp.anonymize_history masks those of '
    'schema bcp. Returns the tables that it cannot mask, null if there is none.';

create or replace function bcp_internal.check_reached(p_unreached text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_unreached is not null then
        raise exception using
            errcode = 'ZB007',
            message = format('everything is masked except what was restored into %s', p_unreached),
            hint = 'Drop these tables, or give them back to the role that migrated the database, and call it again.';
    end if;
end
$func$;

comment on function bcp_internal.check_reached is 'ZB007 if late masking could not reach a restored table.';
