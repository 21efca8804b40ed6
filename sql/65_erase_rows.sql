-- Erasing a person: the work, chunk by chunk, then the other tables, then the aggregates. Each step is one transaction
-- that leaves nothing half done, and that finds nothing to do if it has run before. So an erasure that was interrupted
-- simply starts again.

create or replace function bcp_internal.erased_columns(p_relation regclass, p_forms text[])
returns table (column_name text, is_name boolean, likes text[], hint text, erased text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select
        w.column_name, w.kind = 'name', l.likes, r.hint,
        format(
            case w.kind
                when 'json' then
                    'case when %1$I::text like any (%2$L::text[]) and %1$I::text ~ %6$L'
                    ' then bcp_internal.erased_json(%1$I, %3$L, %4$L, %5$L) else %1$I end'
                else 'bcp_internal.erased_text(%1$I, %3$L)'
            end,
            w.column_name, l.likes,
            case w.kind when 'json' then r.json_values when 'text' then r.texts else r.names end, r.keys, r.numbers,
                r.hint)
    from bcp_internal.written_columns(p_relation) w
    cross join bcp_internal.erasure_rule(p_forms) r
    cross join lateral (select case w.kind when 'name' then r.name_likes else r.likes end) as l (likes)
    where w.kind <> 'name' or r.names is not null
$func$;

comment on function bcp_internal.erased_columns is
    'Columns of a table that may name a person, and for each an expression for its value without that.';

create or replace function bcp_internal.mention_of(p_relation regclass, p_forms text[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- like comes first, because it costs a fraction of a regular expression. One expression for all columns comes next.
    -- The last condition is what the update would change, so that the rule that changes a row also finds it.
    select coalesce(string_agg(
        format('(%1$s like any (%2$L::text[]) and %1$s ~ %3$L and (%4$s))', c.written, c.likes, c.hint, c.changes),
            ' or '), 'false')
    from (
        select
            likes, hint, format('concat_ws(E''\n'', %s)', string_agg(quote_ident(column_name), ', ')) as written,
            string_agg(format('%I is distinct from %s', column_name, erased), ' or ') as changes
        from bcp_internal.erased_columns(p_relation, p_forms)
        group by is_name, likes, hint
    ) as c
$func$;

comment on function bcp_internal.mention_of is 'Condition that a row of a table names a person.';

create or replace function bcp_internal.without_mentions(p_relation regclass, p_forms text[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select string_agg(format('%I = %s', column_name, erased), ', ')
    from bcp_internal.erased_columns(p_relation, p_forms)
$func$;

comment on function bcp_internal.without_mentions is
    'Assignments of an update that removes a person from the rows of a table.';

create or replace function bcp_internal.own_rows(p_table text) returns text[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- If a session had nobody else, its rows without a user belong to the person too.
    select case
        when p_table in ('tool_usage_logs', 'error_logs') then
            array['user_id = any ($1)', 'user_id is null and session_id = any ($2)']
        when p_table = 'users' then array['user_id = any ($1)', 'false']
        when p_table = 'user_sessions' then array['false', 'session_id = any ($2)']
        when p_table in ('rejected_events', 'open_tool_calls') then
            array[$$event ->> 'user_id' = any ($1)$$,
                  $$event ->> 'user_id' is null
                      and coalesce(event ->> 'conversation_id', event ->> 'session_id') = any ($2)$$]
        else array['false', 'false']
    end
$func$;

comment on function bcp_internal.own_rows is
    'Conditions that a row of a table of schema bcp belongs to a person, by user and by session; $1 are the forms of '
    'the id, $2 the sessions in which nobody else was.';

create or replace function bcp_internal.erase_chunk(
    p_erasure_id uuid, p_table text, p_start timestamptz, p_end timestamptz)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- Compiling the conditions takes longer than running them, for each chunk anew.
set jit = off
-- A delete in the columnstore first decompresses the batches that hold the rows.
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_relation constant regclass := format('bcp.%I', p_table)::regclass;
    v_time constant text := bcp_internal.time_column(p_table);
    v_within constant text := format('%1$I >= %2$L and %1$I < %3$L', v_time, p_start, p_end);
    v_work bcp_internal.erasure_work;
    v_mention text;
    v_own text[];
    v_found record;
    v_gone record;
    v_own_rows text;
    v_counted jsonb := '[]';
    v_deleted bigint := 0;
    v_changed bigint := 0;
begin
    perform bcp_internal.lock_table('bcp_internal.erasure_work', 'erasure');
    perform bcp_internal.hold_chunk(p_table, p_start, p_end);
    select * into strict v_work from bcp_internal.erasure_work where erasure_id = p_erasure_id;
    v_mention := bcp_internal.mention_of(v_relation, v_work.forms);
    v_own := bcp_internal.own_rows(p_table);
    execute format(
        'select count(*) filter (where %1$s) as by_user, count(*) filter (where %2$s) as by_session,'
        ' count(*) filter (where m.yes) as mentions, min(%6$I) filter (where m.yes) as first,'
        ' max(%6$I) filter (where m.yes) as last'
        ' from %4$s cross join lateral (select (%1$s) is not true and (%2$s) is not true and (%3$s)) as m (yes)'
        ' where %5$s',
        v_own[1], v_own[2], v_mention, v_relation, v_within, v_time)
    into v_found using v_work.forms, v_work.session_ids;
    if v_found.by_user + v_found.by_session + v_found.mentions = 0 then
        return 0;
    end if;
    perform bcp_internal.refresh_later(p_table, p_start, p_end);
    if v_found.mentions > 0 then
        -- Only batches of these times are decompressed.
        execute format(
            'update %s set %s where %4$I >= %5$L and %4$I <= %6$L and (%3$s)'
            ' and (%7$s) is not true and (%8$s) is not true',
            v_relation, bcp_internal.without_mentions(v_relation, v_work.forms), v_mention, v_time, v_found.first,
            v_found.last, v_own[1], v_own[2])
        using v_work.forms, v_work.session_ids;
        get diagnostics v_changed = row_count;
    end if;
    for v_own_rows in
        select w.condition
        from (values (v_own[1], v_found.by_user), (v_own[2], v_found.by_session)) as w (condition, number)
        where w.number > 0
    loop
        v_gone := bcp_internal.delete_rows(p_table, v_within || ' and ' || v_own_rows, v_work);
        v_deleted := v_deleted + v_gone.deleted;
        v_counted := v_counted || v_gone.counted;
    end loop;
    perform bcp_internal.count_down(p_erasure_id, p_table, v_counted);
    perform bcp_internal.count_erased(p_erasure_id, p_table, v_deleted, v_changed);
    return v_deleted + v_changed;
end
$func$;

comment on function bcp_internal.erase_chunk is
    'Erases a person from a chunk, and returns how many rows it deleted or changed. bcp_internal.compress_again has to '
    'follow. Rows that ingest changes too are locked last.';

create or replace function bcp_internal.erase_relation(
    p_relation regclass, p_table text, p_forms text[], p_session_ids text[], out deleted bigint, out changed bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_own constant text[] := bcp_internal.own_rows(p_table);
    v_name constant text := bcp_internal.name_of(p_relation);
begin
    execute format('delete from %s where (%s) or (%s)', v_name, v_own[1], v_own[2]) using p_forms, p_session_ids;
    get diagnostics deleted = row_count;
    execute format(
        'update %s set %s where %s', v_name, bcp_internal.without_mentions(p_relation, p_forms),
        bcp_internal.mention_of(p_relation, p_forms));
    get diagnostics changed = row_count;
end
$func$;

comment on function bcp_internal.erase_relation is
    'Erases a person from a table without chunks that has rows like those of a table of schema bcp, and says how many '
    'rows it deleted and changed.';

create or replace function bcp_internal.erase_restored(p_archive_id uuid) returns uuid[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_person record;
    v_done uuid[] := '{}';
begin
    for v_person in
        select p.erasure_id, p.table_name, p.forms, p.session_ids
        from bcp_internal.pending_erasures() p
        where p.archive_id = p_archive_id
    loop
        perform bcp_internal.erase_relation(
            'pg_temp.bcp_restored'::regclass, v_person.table_name, v_person.forms, v_person.session_ids);
        v_done := v_done || v_person.erasure_id;
    end loop;
    return v_done;
end
$func$;

comment on function bcp_internal.erase_restored is
    'Erases every person whom an archive still has from its rows in bcp_restored (bcp_internal.begin_restore), and '
    'returns their erasures.';

create or replace function bcp_internal.delete_rows(
    p_table text, p_condition text, p_work bcp_internal.erasure_work, out deleted bigint, out counted jsonb)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    execute format(
        'with gone as (delete from bcp.%1$I where %2$s returning *)'
        ' select count(*), coalesce((select jsonb_agg(c) from (%3$s) as c), ''[]'') from gone',
        p_table, p_condition,
        case p_table
            when 'tool_usage_logs' then
                'select session_id as id, count(*) as rows, count(*) filter (where not success) as failed'
                ' from gone where operation <> ''tools/list'' and session_id is not null group by 1'
            when 'error_logs' then
                'select fingerprint as id, count(*) as rows, max("timestamp") as latest from gone group by 1'
            else 'select where false'
        end)
    into deleted, counted using p_work.forms, p_work.session_ids;
end
$func$;

comment on function bcp_internal.delete_rows is
    'Deletes the rows of a hypertable that fulfil a condition on $1, the forms, and $2, the sessions. Returns how '
    'many, and for bcp_internal.count_down how many of each session or issue.';

create or replace function bcp_internal.count_down(p_erasure_id uuid, p_table text, p_counted jsonb) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- In the order in which ingest locks them.
    case p_table
        when 'tool_usage_logs' then
            -- A session of several people stays, with fewer calls.
            with gone as (
                select id, sum(rows) as rows, sum(failed) as failed
                from jsonb_to_recordset(p_counted) as c (id text, rows bigint, failed bigint)
                group by id
            ), locked as materialized (
                select s.session_id
                from bcp.user_sessions s
                where s.session_id in (select id from gone)
                order by 1
                for update
            )
            update bcp.user_sessions s
            set tool_calls_count = greatest(s.tool_calls_count - g.rows, 0),
                errors_count = greatest(s.errors_count - g.failed, 0)
            from locked l
            join gone g on g.id = l.session_id
            where s.session_id = l.session_id;
        when 'error_logs' then
            with gone as (
                select id, sum(rows) as rows, max(latest) as latest
                from jsonb_to_recordset(p_counted) as c (id text, rows bigint, latest timestamptz)
                group by id
            ), locked as materialized (
                select i.fingerprint
                from bcp.error_issues i
                where i.fingerprint in (select id from gone)
                order by 1
                for update
            ), counted as (
                update bcp.error_issues i
                set events = greatest(i.events - g.rows, 0)
                from locked l
                join gone g on g.id = l.fingerprint
                where i.fingerprint = l.fingerprint
                returning i.fingerprint, g.latest >= i.last_seen or i.events = 0 as is_stale
            )
            update bcp_internal.erasure_work
            set issues = array(select unnest(issues) union select fingerprint from counted where is_stale)
            where erasure_id = p_erasure_id;
        else null;
    end case;
end
$func$;

comment on function bcp_internal.count_down is
    'Subtracts deleted calls from their sessions and deleted errors from their issues, and notes issues whose latest '
    'error was deleted.';

create or replace function bcp_internal.erase_tables(p_erasure_id uuid) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_work bcp_internal.erasure_work;
    v_name text;
    v_own text[];
    v_table record;
    v_mention text;
    v_count bigint;
begin
    select * into strict v_work from bcp_internal.erasure_work where erasure_id = p_erasure_id;
    foreach v_name in array array['users', 'user_sessions', 'open_tool_calls'] loop
        v_own := bcp_internal.own_rows(v_name);
        execute format('delete from bcp.%I where (%s) or (%s)', v_name, v_own[1], v_own[2])
        using v_work.forms, v_work.session_ids;
        get diagnostics v_count = row_count;
        perform bcp_internal.count_erased(p_erasure_id, v_name, v_count, 0);
    end loop;
    -- The session continues with the other people in it.
    update bcp.user_sessions
    set user_id = null, ip_address = null, user_agent = null
    where user_id = any (v_work.forms);
    get diagnostics v_count = row_count;
    perform bcp_internal.count_erased(p_erasure_id, 'user_sessions', 0, v_count);
    perform bcp_internal.erase_issues(p_erasure_id);
    for v_table in
        select c.oid::regclass as relation, c.relname
        from pg_class c
        join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in ('bcp', 'bcp_internal')
          and c.relkind = 'r'
          and c.relname not in (
              -- Hypertables are done already. Settings, rules and places of archives are about no person, and the work
              -- itself is needed until the end.
              select hypertable_name from timescaledb_information.hypertables where hypertable_schema = 'bcp')
          and c.relname not in (
              'settings', 'sensitive_keys', 'sensitive_key_exceptions', 'name_value_keys', 'anonymization_rules',
              'anonymization_packs', 'anonymizer_state',
              'anonymizer_rules', 'data_retention_policies', 'alert_rules', 'erasure_work', 'archives')
        order by 1
    loop
        v_mention := bcp_internal.mention_of(v_table.relation, v_work.forms);
        continue when v_mention = 'false';
        if v_table.relname in ('users', 'user_sessions') then
            -- Masking could make two keys equal, so these rows are deleted.
            execute format(
                'delete from %s where %I ~ (select names from bcp_internal.erasure_rule($1))',
                v_table.relation, case v_table.relname when 'users' then 'user_id' else 'session_id' end)
            using v_work.forms;
            get diagnostics v_count = row_count;
            perform bcp_internal.count_erased(p_erasure_id, v_table.relname, v_count, 0);
        end if;
        execute format(
            'update %s set %s where %s',
            v_table.relation, bcp_internal.without_mentions(v_table.relation, v_work.forms), v_mention);
        get diagnostics v_count = row_count;
        perform bcp_internal.count_erased(p_erasure_id, v_table.relname, 0, v_count);
    end loop;
end
$func$;

comment on function bcp_internal.erase_tables is 'Erases a person from the tables that are no hypertables.';

create or replace function bcp_internal.erase_issues(p_erasure_id uuid) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with stale as (
        select i.fingerprint
        from bcp.error_issues i
        where i.fingerprint = any (array(
            select unnest(issues) from bcp_internal.erasure_work where erasure_id = p_erasure_id))
    ), latest as (
        select distinct on (e.fingerprint)
            e.fingerprint, e."timestamp", e.message, e.error_type, e.bcp_name, e.tool_name
        from bcp.error_logs e
        where e.fingerprint = any (array(select fingerprint from stale))
        order by e.fingerprint, e."timestamp" desc
    ), deleted as (
        delete from bcp.error_issues i
        using stale s
        where i.fingerprint = s.fingerprint
          and i.events = 0
          and not exists (select from latest l where l.fingerprint = i.fingerprint)
    )
    update bcp.error_issues i
    set last_seen = coalesce(l."timestamp", i.last_seen),
        -- What the store knows of the issue comes from errors that are gone.
        message = coalesce(l.message, '[ERASED]'),
        error_type = case when l.fingerprint is null then i.error_type else l.error_type end,
        bcp_name = case when l.fingerprint is null then i.bcp_name else l.bcp_name end,
        tool_name = case when l.fingerprint is null then i.tool_name else l.tool_name end
    from stale s
    left join latest l using (fingerprint)
    where i.fingerprint = s.fingerprint
      and (i.events > 0 or l.fingerprint is not null)
$func$;

comment on function bcp_internal.erase_issues is
    'Gives issues whose latest error was the person''s the latest of their other errors; issues without other errors '
    'are deleted.';

create or replace function bcp_internal.erase_aggregate(p_erasure_id uuid, p_aggregate text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_work bcp_internal.erasure_work;
    v_relation regclass;
    v_column text;
    v_mention text;
    v_deleted bigint := 0;
    v_changed bigint;
begin
    select * into strict v_work from bcp_internal.erasure_work where erasure_id = p_erasure_id;
    -- This changes the hypertable of the aggregate, because the aggregate cannot be refreshed beyond its horizon.
    select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
    into strict v_relation
    from timescaledb_information.continuous_aggregates
    where view_schema = 'bcp' and view_name = p_aggregate;
    select attname into v_column from pg_attribute where attrelid = v_relation and attname in ('user_id', 'session_id');
    if v_column is not null then
        execute format('delete from %s where %I = any ($1)', v_relation, v_column)
        using case v_column when 'user_id' then v_work.forms else v_work.session_ids end;
        get diagnostics v_deleted = row_count;
    end if;
    v_mention := bcp_internal.mention_of(v_relation, v_work.forms);
    if v_mention <> 'false' then
        if bcp_internal.adds_up(v_relation) then
            execute format(
                'update %s set %s where %s', v_relation, bcp_internal.without_mentions(v_relation, v_work.forms),
                v_mention);
        else
            execute format(
                'delete from %s where bucket in (select bucket from %1$s where %s)', v_relation, v_mention);
        end if;
        get diagnostics v_changed = row_count;
    end if;
    if v_deleted > 0 or v_changed > 0 then
        perform bcp_internal.compress_again(p_aggregate, '-infinity', 'infinity');
    end if;
    perform bcp_internal.count_erased(p_erasure_id, p_aggregate, v_deleted, coalesce(v_changed, 0));
    return v_deleted + coalesce(v_changed, 0);
end
$func$;

comment on function bcp_internal.erase_aggregate is
    'Erases a person from an aggregate, whatever the age of its rows, and returns how many rows it deleted or changed.';

create or replace function bcp_internal.named_statistics(p_erasure_id uuid)
returns table (schema_name text, relation_name text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- Statistics of an index of words may hold parts of an id, so they are renewed in any case.
    select distinct k.schema_name, k.relation_name
    from bcp_internal.erasure_work w
    cross join bcp_internal.erasure_rule(w.forms) r
    cross join bcp_internal.kept_statistics() k
    where w.erasure_id = p_erasure_id
      and (k.is_of_index or k.held ~ r.hint or k.ids && w.session_ids)
$func$;

comment on function bcp_internal.named_statistics is 'Statistics of the planner that may hold an erased person.';
