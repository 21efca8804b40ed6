-- Floods of names. A sender who puts an id into the name of a tool makes a row per call in each aggregate. So every
-- batch notes its names, a job counts them, and a role that sent too many is refused until it sends fewer.

create or replace function bcp_internal.note_names(p_kind text, p_names text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Use the index, although the planner may have seen the table empty: a batch has few names.
set enable_seqscan = off
as $func$
declare
    -- A variable, because session_user itself has a collation that no index has.
    v_role constant text := session_user;
    v_now constant timestamptz := bcp_internal.now();
begin
    if p_names is null or p_names = '{}' then
        return;
    end if;
    -- There is no unique key: a batch that waits for another batch's commit would wait for all that it does. A name
    -- that was noted twice counts once.
    insert into bcp_internal.names_seen (kind, name, seen_at)
    select p_kind, n.name, v_now
    from (select distinct hashtextextended(x, 0) from unnest(p_names) as x where x is not null) as n (name)
    -- The limit keeps this from becoming a join, which the planner, while it knows nothing of the table, makes one of
    -- each name with all names of the role.
    where (
        select s.name
        from bcp_internal.names_seen s
        where s.sent_by = v_role and s.kind = p_kind and s.name = n.name
        limit 1) is null;
end
$func$;

comment on function bcp_internal.note_names(text, text[]) is
    'Notes names that the events of the logged-in role had: of a tool, error, metric or collector.';

create or replace function bcp_internal.note_new_ids(p_kind text, p_ids bigint) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- What is new is different from all that came before: a row for each would cost as much as the user or session.
    if p_ids > 0 then
        insert into bcp_internal.names_seen (kind, ids, seen_at) values (p_kind, p_ids, bcp_internal.now());
    end if;
end
$func$;

comment on function bcp_internal.note_new_ids(text, bigint) is
    'Notes how many new users or sessions the events of the logged-in role had.';

create or replace function bcp_internal.find_floods() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_names constant bigint := bcp_internal.setting('max_names_per_hour');
    v_ids constant bigint := bcp_internal.setting('max_ids_per_hour');
    v_floods bigint;
begin
    delete from bcp_internal.names_seen where seen_at < v_now - interval '1 hour';
    delete from bcp.floods;
    insert into bcp.floods (sent_by, kind, names, found_at)
    select f.sent_by, f.kind, f.names, v_now
    from (
        select
            s.sent_by, s.kind,
            case when s.kind in ('user', 'session') then sum(s.ids) else count(distinct s.name) end as names
        from bcp_internal.names_seen s
        group by s.sent_by, s.kind
    ) as f
    where f.names > case when f.kind in ('user', 'session', 'collector') then v_ids else v_names end;
    get diagnostics v_floods = row_count;
    return v_floods;
end
$func$;

comment on function bcp_internal.find_floods() is
    'Writes into bcp.floods the roles that sent too many names within the last hour, and returns how many rows that '
    'has. Forgets older names.';

create or replace function bcp_internal.check_floods() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_flood bcp.floods;
begin
    select f.* into v_flood from bcp.floods f where f.sent_by = session_user::text limit 1;
    if found then
        raise exception using
            errcode = 'configuration_limit_exceeded',
            message = format(
                'this role sent %s different names of kind %s within an hour', v_flood.names, v_flood.kind),
            hint = 'Look for ids in names. The settings max_names_per_hour and max_ids_per_hour say how many may be; '
                'what is refused now can be sent later.';
    end if;
end
$func$;

comment on function bcp_internal.check_floods() is
    'Refuses, with 53400, what a role sends that is in bcp.floods: nothing is booked, and a collector keeps it on its '
    'own disk.';
