-- The functions of TimescaleDB are in schema public, and many take "any". Somebody who may create functions there could
-- make one that fits a call better than TimescaleDB's. It would then run as whoever calls it, such as the owner in a
-- job.

create or replace function bcp_internal.foreign_overloads() returns setof regprocedure
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select p.oid::regprocedure
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and p.proname in (
          'add_continuous_aggregate_policy', 'add_job', 'alter_job', 'by_range', 'chunks_detailed_size',
          'compress_chunk', 'create_hypertable', 'decompress_chunk', 'delete_job', 'drop_chunks', 'hypertable_size',
          'refresh_continuous_aggregate', 'remove_columnstore_policy', 'remove_continuous_aggregate_policy',
          'set_chunk_time_interval', 'show_chunks', 'time_bucket')
      and not exists (
          select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
    order by p.oid
$func$;

comment on function bcp_internal.foreign_overloads is
    'Functions in schema public that belong to no extension and have the name of a TimescaleDB function that the store '
    'calls.';

grant execute on function bcp_internal.foreign_overloads to bcp_reader;

create or replace function bcp_internal.check_overloads() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_found regprocedure;
begin
    select f into v_found from bcp_internal.foreign_overloads() f limit 1;
    if found then
        raise exception using
            errcode = 'ZB004',
            message = format('function %s is not TimescaleDB''s, and would be called in the place of one', v_found),
            hint = format(
                'Find out who made it, then drop routine %s. bcp.health() says who may create others.', v_found);
    end if;
end
$func$;

comment on function bcp_internal.check_overloads is
    'ZB004 if a function of somebody else could be called in place of TimescaleDB''s. Call it before TimescaleDB''s '
    'functions that take arguments of any type.';

create or replace function bcp_internal.creators_beside() returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select case a.grantee when 0 then 'public' else quote_ident(r.rolname) end
    from pg_namespace n
    cross join aclexplode(n.nspacl) a
    left join pg_roles r on r.oid = a.grantee
    where n.nspname = 'public'
      and a.privilege_type = 'CREATE'
      and a.grantee <> n.nspowner
      and a.grantee <> (select b.nspowner from pg_namespace b where b.nspname = 'bcp')
      and r.rolsuper is not true
    order by 1
$func$;

comment on function bcp_internal.creators_beside is
    'Roles, quoted for use in a statement, that may create functions in the schema of TimescaleDB''s: all but '
    'superusers, the owner of that schema and the owner of the store.';

grant execute on function bcp_internal.creators_beside to bcp_reader;
