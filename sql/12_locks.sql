-- Locks that only the owner's code can take. An advisory lock alone does not suffice: every role that may connect can
-- take any advisory lock, and pg_locks shows the keys.

create or replace function bcp_internal.session_name(p_pid integer) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select format('server process %s', p_pid)
        || coalesce((select format(' of role %s', a.usename) from pg_stat_activity a where a.pid = p_pid), '')
$func$;

comment on function bcp_internal.session_name is 'How a message names a session: its server process and role.';

create or replace function bcp_internal.name_of(p_relation regclass) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_name text;
begin
    select format('%I.%I', n.nspname, c.relname) into v_name
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.oid = p_relation;
    if v_name is null then
        raise exception using errcode = 'undefined_table', message = 'the table was dropped meanwhile';
    end if;
    return v_name;
end
$func$;

comment on function bcp_internal.name_of is
    'Name of a table for use in a statement. 42P01 if the table is gone; a regclass would then print as a number.';

create or replace function bcp_internal.lock_table(p_table regclass, p_what text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '30s'
as $func$
begin
    execute format('lock table %s in share row exclusive mode', p_table);
exception
    when lock_not_available then
        raise exception using
            errcode = 'lock_not_available',
            message = format('waited 30 s for another %s', p_what) || coalesce((
                select format(' (%s)', string_agg(distinct bcp_internal.session_name(l.pid), ', '))
                from pg_locks l
                where l.locktype = 'relation' and l.relation = p_table and l.granted and l.pid <> pg_backend_pid()
                  and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock')), ''),
            hint = 'Let its transaction end and do this again; if it hangs, end it with pg_terminate_backend.';
end
$func$;

comment on function bcp_internal.lock_table is
    'Takes a lock until this transaction ends, so that no other session does the same work meanwhile. Only the owner '
    'may write to the table, so no other role can block this by locking it. 55P03 after 30 s, with the sessions that '
    'hold the lock.';

create or replace function bcp_internal.archive_lock_name(p_table text, p_start timestamptz, p_end timestamptz)
returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Times as numbers, because their text depends on the session's time zone.
    select format('%s %s %s', p_table, extract(epoch from p_start), extract(epoch from p_end))
$func$;

comment on function bcp_internal.archive_lock_name is
    'Name of the lock of a chunk, or, without its range, of what all archives of a table share.';

create or replace function bcp_internal.archive_lock_key(p_name text) returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select coalesce(
        (select l.key from bcp_internal.archive_chunk_locks l where l.name = p_name),
        (select hashtextextended(p_name, a.key) from bcp_internal.archive_lock a))
$func$;

comment on function bcp_internal.archive_lock_key is 'Key of the advisory lock with a name of archive_lock_name.';

create or replace function bcp_internal.lock_archive(
    p_table text, p_start timestamptz default null, p_end timestamptz default null,
    out is_mine boolean, out holder text)
language plpgsql volatile
-- No other role may read the keys, and the caller may not see whose lock it is.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_name constant text := bcp_internal.archive_lock_name(p_table, p_start, p_end);
    v_key bigint;
    v_holder record;
begin
    perform bcp_internal.lock_table('bcp_internal.archive_lock', 'run that archives or restores');
    v_key := bcp_internal.archive_lock_key(v_name);
    is_mine := pg_try_advisory_lock(v_key);
    if is_mine then
        return;
    end if;
    select
        l.pid, to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') as since,
        pg_has_role(a.usesysid, 'bcp_admin', 'member') or pg_has_role(a.usesysid, current_user, 'member') as may_archive
    into v_holder
    from pg_locks l
    join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and (l.classid::bigint << 32) + l.objid::bigint = v_key
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
    order by may_archive desc
    limit 1;
    if not v_holder.may_archive then
        -- The holder may not archive, so no run holds the key. Runs may go on with another key.
        v_key := hashtextextended(gen_random_uuid()::text, 0);
        insert into bcp_internal.archive_chunk_locks (name, key) values (v_name, v_key)
        on conflict (name) do update set key = excluded.key;
        is_mine := pg_try_advisory_lock(v_key);
        return;
    end if;
    -- The embedded database shows a session only its own locks.
    if v_holder.pid is not null then
        holder := concat_ws(', since ', bcp_internal.session_name(v_holder.pid), v_holder.since);
    end if;
end
$func$;

comment on function bcp_internal.lock_archive is
    'Takes, for this session, the lock of a chunk of a table that a run archives, restores or rewrites, or without a '
    'range that of what all archives of the table share, or says which session has it. The lock ends with the session '
    'or with bcp_internal.unlock_archive.';

grant execute on function bcp_internal.lock_archive to bcp_admin;

create or replace function bcp_internal.unlock_archive(
    p_table text, p_start timestamptz default null, p_end timestamptz default null)
returns boolean
language sql volatile
-- As bcp_internal.lock_archive: no other role may read the keys.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select pg_advisory_unlock(bcp_internal.archive_lock_key(bcp_internal.archive_lock_name(p_table, p_start, p_end)))
$func$;

comment on function bcp_internal.unlock_archive is
    'Releases a lock of bcp_internal.lock_archive; false if this session did not hold it.';

grant execute on function bcp_internal.unlock_archive to bcp_admin;
