-- Receipts of erasures, and what archives still need.

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
    -- One that was interrupted goes on.
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
        update bcp_internal.erasure_work set forms = array(select distinct unnest(forms || v_forms)) where erasure_id = v_id;
        update bcp.erasures set erased_at = null where erasure_id = v_id;
    end if;
    update bcp_internal.erasure_work w
    set session_ids = array(select unnest(w.session_ids) union select bcp_internal.sessions_of(w.forms))
    where erasure_id = v_id;
    return v_id;
end
$func$;

comment on function bcp_internal.begin_erasure(text, text) is
    'Makes the receipt of an erasure, or finds that of one that was interrupted, and notes the person''s sessions.';

create or replace function bcp_internal.sessions_of(p_forms text[]) returns setof text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_sessions text[];
begin
    -- Sessions are kept for a shorter time than calls, and so these tell too.
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

comment on function bcp_internal.sessions_of(text[]) is 'Sessions in which only this person has calls or errors. Reads all of them.';

create or replace function bcp_internal.count_erased(p_erasure_id uuid, p_table text, p_deleted bigint, p_changed bigint)
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

comment on function bcp_internal.count_erased(uuid, text, bigint, bigint) is 'Adds to the counts of a receipt.';

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

comment on function bcp_internal.settle_erasure(uuid) is
    'Counts the archives that wait for an erasure; where none does, and every table was reached, the receipt is complete and what was known of the person goes.';

create or replace function bcp_internal.pending_erasures()
returns table (erasure_id uuid, archive_id uuid, table_name text, forms text[], session_ids text[])
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select e.erasure_id, e.archive_id, a.table_name, w.forms, w.session_ids
    from bcp_internal.erasure_archives e
    join bcp_internal.erasure_work w on w.erasure_id = e.erasure_id
    join bcp.archives a on a.archive_id = e.archive_id
    where a.state in ('verified', 'dropped', 'restored')
    order by a.range_start, a.table_name, e.erasure_id
$func$;

comment on function bcp_internal.pending_erasures() is
    'Archives to be rewritten, and whom without: rows whose user_id is one of forms go, and so do those without a user_id whose session_id is one of session_ids; what bcp_internal.erasure_rule of forms matches in the others is replaced. Call bcp_internal.archive_erased after each.';

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

comment on function bcp_internal.archive_erased(uuid, uuid) is
    'Notes that an archive has been rewritten without a person, and returns how many still wait for this erasure.';

create or replace function bcp_internal.end_erasure(p_erasure_id uuid) returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    update bcp.erasures set erased_at = bcp_internal.now() where erasure_id = p_erasure_id;
    insert into bcp_internal.erasure_archives (erasure_id, archive_id)
    select p_erasure_id, archive_id
    from bcp.archives
    -- One that is being written may have been read before.
    where state <> 'replaced'
    on conflict do nothing;
    return bcp_internal.settle_erasure(p_erasure_id);
end
$func$;

comment on function bcp_internal.end_erasure(uuid) is
    'Notes that the tables are done, and returns how many archives are to be rewritten.';

create or replace function bcp.find_erasure(p_user_id text) returns uuid
language plpgsql volatile
-- Nobody else may read the digests, or make the form in which an id is stored.
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

comment on function bcp.find_erasure(text) is
    'The latest erasure of a user, by the id as an application sends it or as it was stored; null where there was none. bcp.erasures has its receipt.';

grant execute on function bcp.find_erasure to bcp_admin;
