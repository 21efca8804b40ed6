-- Receipts of erasures, and the archives that still have to be rewritten.

create or replace function bcp_internal.begin_erasure(p_user_id text, p_note text) returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_forms constant text[] := bcp_internal.erasure_forms(p_user_id);
    v_id uuid;
    v_note text;
    v_salt bytea;
begin
    -- An erasure that was interrupted continues.
    select erasure_id into v_id from bcp_internal.erasure_work where forms && v_forms;
    if v_id is null then
        select bcp_internal.erased_text(bcp_internal.anonymize_text(p_note), r.texts)
        into v_note
        from bcp_internal.erasure_rule(v_forms) as r;
        insert into bcp.erasures (requested_at, requested_by, note)
        values (bcp_internal.now(), session_user, v_note)
        returning erasure_id into v_id;
        v_salt := uuid_send(gen_random_uuid());
        insert into bcp_internal.erasure_subjects (erasure_id, salt, digests)
        select v_id, v_salt, array_agg(sha256(v_salt || convert_to(f, 'UTF8'))) from unnest(v_forms) as f;
        insert into bcp_internal.erasure_work (erasure_id, forms) values (v_id, v_forms);
    else
        update bcp_internal.erasure_work
        set forms = array(select distinct unnest(forms || v_forms))
        where erasure_id = v_id;
        update bcp.erasures set erased_at = null where erasure_id = v_id;
    end if;
    update bcp_internal.erasure_work w
    set session_ids = array(select unnest(w.session_ids) union select bcp_internal.sessions_of(w.forms))
    where erasure_id = v_id;
    return v_id;
end
$func$;

comment on function bcp_internal.begin_erasure is
    'Creates the receipt of an erasure, or finds that of one that was interrupted, and notes the person''s sessions.';

create or replace function bcp_internal.sessions_of(p_forms text[]) returns setof text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Compiling takes longer than running.
set jit = off
as $func$
declare
    v_sessions text[];
begin
    -- Sessions are kept for a shorter time than calls, so the calls and errors are asked too.
    v_sessions := array(
        select session_id from bcp.tool_usage_logs where user_id = any (p_forms) and session_id is not null
        union
        select session_id from bcp.error_logs where user_id = any (p_forms) and session_id is not null
        union
        select session_id from bcp.user_sessions where user_id = any (p_forms));
    return query
        select unnest(v_sessions)
        except
        select session_id from bcp.tool_usage_logs
        where session_id = any (v_sessions) and user_id is not null and user_id <> all (p_forms)
        except
        select session_id from bcp.error_logs
        where session_id = any (v_sessions) and user_id is not null and user_id <> all (p_forms)
        except
        select session_id from bcp.user_sessions
        where session_id = any (v_sessions) and user_id is not null and user_id <> all (p_forms);
end
$func$;

comment on function bcp_internal.sessions_of is
    'Sessions in which only this person has calls or errors. Reads all calls and errors.';

create or replace function bcp_internal.count_erased(
    p_erasure_id uuid, p_table text, p_deleted bigint, p_changed bigint)
returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    update bcp.erasures
    set counts = counts || jsonb_build_object(p_table, jsonb_build_object(
        'deleted', coalesce((counts -> p_table ->> 'deleted')::bigint, 0) + p_deleted,
        'changed', coalesce((counts -> p_table ->> 'changed')::bigint, 0) + p_changed))
    where erasure_id = p_erasure_id and p_deleted + p_changed > 0
$func$;

comment on function bcp_internal.count_erased is 'Adds to the counts of a receipt.';

create or replace function bcp_internal.settle_erasure(p_erasure_id uuid) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_pending integer;
    v_complete boolean;
begin
    select count(*) into v_pending
    from bcp_internal.erasure_archives e
    join bcp.archives a using (archive_id)
    where e.erasure_id = p_erasure_id and a.state <> 'replaced';
    update bcp.erasures
    set archives_pending = v_pending,
        completed_at = case when v_pending = 0 and unreached = '[]' then coalesce(completed_at, bcp_internal.now()) end
    where erasure_id = p_erasure_id
    returning completed_at is not null into v_complete;
    if v_complete then
        delete from bcp_internal.erasure_work where erasure_id = p_erasure_id;
        delete from bcp_internal.erasure_archives where erasure_id = p_erasure_id;
    end if;
    return v_pending;
end
$func$;

comment on function bcp_internal.settle_erasure is
    'Counts the archives that wait for an erasure. If none does and every table was reached, it completes the receipt '
    'and deletes what the store knew of the person.';

create or replace function bcp_internal.pending_erasures()
returns table (erasure_id uuid, archive_id uuid, table_name text, forms text[], session_ids text[])
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select e.erasure_id, e.archive_id, a.table_name, w.forms, w.session_ids
    from bcp_internal.erasure_archives e
    join bcp_internal.erasure_work w on w.erasure_id = e.erasure_id
    join bcp.archives a on a.archive_id = e.archive_id
    where a.state = any (bcp_internal.proven_states())
    order by a.range_start, a.table_name, e.erasure_id
$func$;

comment on function bcp_internal.pending_erasures is
    'Archives that have to be rewritten, and without whom: rows whose user_id is one of forms go, and so do rows '
    'without a user_id whose session_id is one of session_ids; in all other rows, matches of bcp_internal.erasure_rule '
    'of forms are replaced. Call bcp_internal.archive_erased after each.';

create or replace function bcp_internal.archive_erased(p_erasure_id uuid, p_archive_id uuid) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    delete from bcp_internal.erasure_archives where erasure_id = p_erasure_id and archive_id = p_archive_id;
    if found then
        update bcp.erasures set archives_rewritten = archives_rewritten + 1 where erasure_id = p_erasure_id;
    end if;
    return bcp_internal.settle_erasure(p_erasure_id);
end
$func$;

comment on function bcp_internal.archive_erased is
    'Records that an archive was rewritten without a person, and returns how many archives still wait for this '
    'erasure.';

create or replace function bcp_internal.end_erasure(p_erasure_id uuid) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    update bcp.erasures set erased_at = bcp_internal.now() where erasure_id = p_erasure_id;
    insert into bcp_internal.erasure_archives (erasure_id, archive_id)
    select p_erasure_id, archive_id
    from bcp.archives
    -- An archive that is being written may have been read before the erasure.
    where state <> 'replaced'
    on conflict do nothing;
    return bcp_internal.settle_erasure(p_erasure_id);
end
$func$;

comment on function bcp_internal.end_erasure is
    'Records that the tables are done, and returns how many archives have to be rewritten.';

create or replace function bcp_internal.settle_erasures() returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select count(bcp_internal.settle_erasure(e.erasure_id))
    from bcp.erasures e
    where e.erased_at is not null and e.completed_at is null
$func$;

comment on function bcp_internal.settle_erasures is
    'Calls bcp_internal.settle_erasure for each erasure whose tables are done: an archive that was never finished, and '
    'is gone, holds nobody any more. Returns how many erasures.';

create or replace function bcp.find_erasure(p_user_id text) returns uuid
language plpgsql volatile
-- Only the owner may read the digests, or compute the form in which an id is stored.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_forms constant text[] := bcp_internal.erasure_forms(p_user_id);
begin
    return (
        select e.erasure_id
        from bcp.erasures e
        join bcp_internal.erasure_subjects s using (erasure_id)
        where s.digests && array(select sha256(s.salt || convert_to(f, 'UTF8')) from unnest(v_forms) as f)
        order by e.requested_at desc
        limit 1);
end
$func$;

comment on function bcp.find_erasure is
    'The latest erasure of a user, by the id as an application sends it or as it was stored; null if there was none. '
    'bcp.erasures has its receipt. ZB002 for an empty id.';

grant execute on function bcp.find_erasure to bcp_admin;

create or replace function bcp.erasure_plan(p_user_id text) returns table (table_name text, row_count bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_forms constant text[] := bcp_internal.erasure_forms(p_user_id);
    v_sessions constant text[] := array(select bcp_internal.sessions_of(v_forms));
    v_own text[];
begin
    foreach table_name in array array[
        'tool_usage_logs', 'error_logs', 'rejected_events', 'open_tool_calls', 'user_sessions', 'users']
    loop
        v_own := bcp_internal.own_rows(table_name);
        execute format('select count(*) from bcp.%I where (%s) or (%s)', table_name, v_own[1], v_own[2])
        into row_count
        using v_forms, v_sessions;
        return next;
    end loop;
end
$func$;

comment on function bcp.erasure_plan is
    'What would bcp.erase_user(p_user_id) delete now? One row per table with rows of users, and how many of them are '
    'the user''s own; those of sessions in which nobody else was count too. Rows of other people that name the user '
    'change as well, as do aggregates and archives, but these are not counted. Reads all calls and errors. Only the '
    'role that migrated the database may call it. ZB002 as bcp.erase_user.';
