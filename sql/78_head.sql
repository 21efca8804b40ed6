-- Makes a head of a database that has shards: bodies of its functions are replaced by what the rules say.

create or replace function bcp_internal.answer_columns(p_routine oid, p_without text[] default '{}')
returns table (n bigint, name text, type text, is_sent boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select c.n, c.name, c.type, c.name <> all (p_without)
    from pg_proc p
    cross join lateral (
        select u.n, u.name, format_type(u.type, null) as type
        from unnest(p.proallargtypes, p.proargnames, p.proargmodes) with ordinality as u (type, name, mode, n)
        where u.mode in ('t', 'o')
        union all
        select a.attnum, a.attname, format_type(a.atttypid, a.atttypmod)
        from pg_type t
        join pg_attribute a on a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        where t.oid = p.prorettype and p.proallargtypes is null
        union all
        select 1, 'answer', format_type(t.oid, null)
        from pg_type t
        where t.oid = p.prorettype and t.typrelid = 0 and p.proallargtypes is null
    ) c
    where p.oid = p_routine
    order by c.n
$func$;

comment on function bcp_internal.answer_columns is
    'The columns that a function returns, in order; one named answer where it returns a single value.';

create or replace function bcp_internal.head_body(p_routine oid, p_merge text, p_given jsonb, p_without text[])
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when p_merge !~ '\mr\M' then p_merge
        -- Rows of a common table expression are copied once more, so that is for rules that read them twice.
        when (select count(*) from regexp_matches(p_merge, '\mfrom r\M', 'g')) = 1 then
            replace(replace(p_merge, 'from r', format('from %s as r (%s)', q.asked, q.names)), '{columns}', c.of_r)
        else format(
            'with r as (select * from %s as u (%s)) %s', q.asked, q.names, replace(p_merge, '{columns}', c.of_r))
    end
    from pg_proc p
    cross join lateral (
        select
            string_agg(format('%I %s', x.name, x.type), ', ' order by x.n) as declared,
            string_agg(format('%I', x.name), ', ' order by x.n) as names,
            string_agg(format('r.%I', x.name), ', ' order by x.n) as of_r,
            case when p.proallargtypes is null and p.prorettype::regtype::text !~ '\.' then '*' else string_agg(
                case when x.is_sent then format('%I', x.name) else format('null::%s', x.type) end, ', ' order by x.n)
            end as sent
        from bcp_internal.answer_columns(p.oid, p_without) x
    ) c
    cross join lateral (
        select
            string_agg(format('%I => %%L', u.name), ', ' order by u.n) as places,
            string_agg(', ' || coalesce(p_given ->> u.name, u.name), '' order by u.n) as expressions
        from unnest(p.proargnames[:p.pronargs]) with ordinality as u (name, n)
    ) a
    cross join lateral (
        select
            format(
                'rows from (bcp_internal.on_shards(%L, %L, format(%L%s)) as (shard text, %s))%s',
                case when p.oid::regprocedure::text = 'bcp.erasure_plan(text)' then 'owner' else 'bcp_reader' end,
                c.declared,
                format(
                    'select %s from %s.%I(%s)', c.sent, p.pronamespace::regnamespace, p.proname,
                    coalesce(a.places, '')),
                coalesce(a.expressions, ''), c.declared,
                case when p_merge ~ '\mr\.n\M' then ' with ordinality' else '' end) as asked,
            format('shard, %s%s', c.names, case when p_merge ~ '\mr\.n\M' then ', n' else '' end) as names
    ) q
    where p.oid = p_routine
$func$;

comment on function bcp_internal.head_body is
    'Body of a function on a head: it asks the same of all shards and makes one answer of theirs. Arguments are sent '
    'as quoted literals.';

create or replace function bcp_internal.erase_on_head(p_user_id text, p_note text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_erasure constant uuid := bcp_internal.begin_erasure(p_user_id, p_note);
begin
    perform bcp_internal.erase_chunk(v_erasure, c.table_name, c.range_start, c.range_end)
    from bcp_internal.event_chunks() c;
    perform bcp_internal.erase_tables(v_erasure);
    perform bcp_internal.end_erasure(v_erasure);
end
$func$;

comment on function bcp_internal.erase_on_head is
    'Erases a user from what a head keeps itself: actions on issues, alerts, what was sent, and reports of collectors.';

create or replace function bcp_internal.make_head() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v record;
begin
    for v in
        select
            p.oid, p.prokind, p.proname, p.pronamespace::regnamespace::text as schema, n.merge, n.given, n.without,
            format(
                'create or replace %s %s.%I(%s)%s', case p.prokind when 'p' then 'procedure' else 'function' end,
                p.pronamespace::regnamespace, p.proname, pg_get_function_arguments(p.oid),
                case when p.prokind = 'f' then ' returns ' || pg_get_function_result(p.oid) else '' end) as head
        from pg_proc p
        left join lateral (
            select u.*
            from (
                select * from bcp_internal.cell_rules()
                union all
                select * from bcp_internal.question_rules()
            ) u
            where u.routine in (format('%s.%s', p.pronamespace::regnamespace, p.proname), p.oid::regprocedure::text)
        ) n on true
        where p.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)
          -- What a load has set aside is dropped at its end.
          and p.proname !~ '^outdated_\d+$'
          and (n.merge is not null
               or p.pronamespace = 'bcp'::regnamespace and p.proname <> all (bcp_internal.kept_on_head()))
    loop
        if v.merge is not null then
            execute format(
                '%s language sql volatile security definer set search_path = pg_catalog, pg_temp as %L', v.head,
                bcp_internal.head_body(v.oid, v.merge, v.given, v.without));
        else
            execute format(
                '%s language plpgsql as %L', v.head, format(
                    'begin raise exception using errcode = %L, message = %L, hint = %L; end', '0A000',
                    format('%s.%s does not work on a head', v.schema, v.proname),
                    'A head holds no events. Ask each shard: select * from bcp.shards names them.'));
            if v.prokind = 'f' then
                execute format('alter function %s set search_path = pg_catalog, pg_temp', v.oid::regprocedure);
            end if;
        end if;
    end loop;
    execute format(
        'create or replace procedure bcp.erase_user(p_user_id text, p_note text default null)'
        ' language sql set search_path = pg_catalog, pg_temp as %L',
        'select a.answer from bcp_internal.on_shards(''owner'', ''answer text'','
        ' format(''call bcp.erase_user(%L, %L)'', p_user_id, p_note), p_partial => false)'
        ' as a (shard text, answer text); select bcp_internal.erase_on_head(p_user_id, p_note)');
    -- A head has no event in its tables, and an empty table would be an answer.
    for v in
        select c.oid::regclass as relation
        from pg_class c
        where c.relnamespace = 'bcp'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
          and c.relname <> all ('{shards,settings,alert_rules,alerts,anonymization_packs,anonymization_rules,
              data_retention_policies,name_value_keys,notification_channels,notification_log,otel_mappings,
              sensitive_keys,sensitive_key_exceptions,issue_actions}'::text[])
    loop
        execute format('revoke select on %s from bcp_reader', v.relation);
    end loop;
end
$func$;

comment on function bcp_internal.make_head is
    'Replaces the bodies of functions by what bcp_internal.cell_rules and bcp_internal.question_rules say. Every '
    'public function without a rule that is not in bcp_internal.kept_on_head raises 0A000, and readers may not read '
    'the tables and views that are empty here.';

create or replace function bcp_internal.put_shard(p_shard text, p_bundles text[], p_server jsonb, p_login jsonb)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_server constant text := 'bcp_shard_' || p_shard;
    v_owner constant text := (select n.nspowner::regrole::text from pg_namespace n where n.nspname = 'bcp');
begin
    if exists (select from bcp.tool_usage_logs) or exists (select from bcp.error_logs)
        or exists (select from bcp.performance_metrics) or exists (select from bcp.user_sessions)
    then
        raise exception using
            errcode = 'ZB002', message = 'this database holds events, so it cannot become a head',
            hint = 'Make and migrate an empty database for the head, and add this one as a shard.';
    end if;
    if not exists (select from bcp.shards) then
        delete from bcp_migrations.loaded_sql;
    end if;
    insert into bcp.shards (shard_name, bundles) values (p_shard, p_bundles);
    create schema if not exists bcp_dblink;
    if not exists (select from pg_extension where extname = 'dblink') then
        create extension dblink schema bcp_dblink;
    end if;
    if (select e.extnamespace <> 'bcp_dblink'::regnamespace from pg_extension e where e.extname = 'dblink') then
        raise exception using
            errcode = 'ZB002', message = 'dblink is in a schema that others may use',
            hint = 'Who can call dblink can use the connections of a session: alter extension dblink set schema'
                ' bcp_dblink.';
    end if;
    begin
        execute format(
            'create server %I foreign data wrapper dblink_fdw options (%s)', v_server,
            (select string_agg(format('%I %L', o.key, o.value), ', ') from jsonb_each_text(p_server) o));
        execute format(
            'create user mapping for %s server %I options (%s)', v_owner, v_server,
            (select string_agg(format('%I %L', o.key, o.value), ', ') from jsonb_each_text(p_login) o));
    exception
        -- The message of the server would repeat the statement, and with it the password. That of an option that the
        -- server does not know has its name alone: newer clients have options that older servers have not.
        when others then
            raise exception using
                errcode = 'ZB002', message = format(
                    'the connection string of the shard cannot be used (%s)',
                    case when sqlstate = 'HV00J' then sqlerrm else 'SQLSTATE ' || sqlstate end),
                hint = 'Give host, port, dbname and user, as libpq knows them.';
    end;
end
$func$;

comment on function bcp_internal.put_shard is
    'Adds a shard: its row, and the foreign server and user mapping by which the owner asks it, from the parts of a '
    'connection string. After the first one, the next load of sql/ makes the database a head. ZB002 if it holds '
    'events.';

create or replace function bcp_internal.drop_shard(p_shard text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    delete from bcp.shards where shard_name = p_shard;
    if not found then
        return false;
    end if;
    execute format('drop server if exists %I cascade', 'bcp_shard_' || p_shard);
    if not exists (select from bcp.shards) then
        delete from bcp_migrations.loaded_sql;
    end if;
    return true;
end
$func$;

comment on function bcp_internal.drop_shard is
    'Removes a shard from the head, and what the head knew of its address and password; false if there is none. After '
    'the last one, the next load of sql/ makes the head a store again.';
