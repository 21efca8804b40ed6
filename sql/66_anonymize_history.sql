-- Late masking: the rules as they are now over rows that are stored already, and forgetting who it was. Each step is
-- a transaction, and what it has done it does not do again.

create or replace function bcp_internal.history_tables()
returns table (table_name text, time_column text, key_column text, is_chunked boolean)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    values
        ('tool_usage_logs', 'start_time', null, true),
        ('error_logs', 'timestamp', null, true),
        ('performance_metrics', 'timestamp', null, true),
        ('rejected_events', 'rejected_at', null, true),
        ('ingest_batches', 'received_at', null, true),
        ('collector_reports', 'reported_at', null, false),
        ('erasures', 'requested_at', null, false),
        ('users', 'last_seen', 'user_id', false),
        ('user_sessions', 'last_activity', 'session_id', false),
        ('open_tool_calls', 'started_at', null, false),
        ('error_issues', 'last_seen', null, false),
        ('issue_actions', 'acted_at', null, false),
        ('alerts', 'evaluated_at', null, false)
$func$;

comment on function bcp_internal.history_tables() is
    'Tables that hold what ingest masks: the column of their time, the key that masking may make equal to another, and whether they have chunks.';

create or replace function bcp_internal.history_cutoff(p_older_than interval, p_table text, p_forget_users boolean)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_older_than < interval '0' then
        raise exception using errcode = 'ZB002', message = 'p_older_than is negative';
    elsif p_forget_users and p_older_than is null then
        raise exception using errcode = 'ZB002', message = 'p_forget_users needs p_older_than';
    elsif p_table is not null and p_table not in (select table_name from bcp_internal.history_tables()) then
        raise exception using
            errcode = 'ZB002',
            message = 'p_table holds nothing that is masked',
            hint = 'It is one of ' || (select string_agg(table_name, ', ') from bcp_internal.history_tables()) || '.';
    end if;
    return coalesce(bcp_internal.now() - p_older_than, 'infinity');
end
$func$;

comment on function bcp_internal.history_cutoff(interval, text, boolean) is
    'Time before which bcp.anonymize_history works; ZB002 where its arguments are wrong.';

create or replace function bcp_internal.history_chunks(p_before timestamptz, p_table text)
returns table (table_name text, range_start timestamptz, range_end timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select c.table_name, c.range_start, c.range_end
    from bcp_internal.event_chunks(p_before) c
    join bcp_internal.history_tables() h on h.table_name = c.table_name
    where c.table_name = coalesce(p_table, c.table_name)
    order by c.table_name, c.range_start
$func$;

comment on function bcp_internal.history_chunks(timestamptz, text) is 'Chunks that end by a time, of one table or all.';

create or replace function bcp_internal.mask_rows(p_relation regclass, p_within text, p_except text, p_write boolean) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_select text;
    v_update text;
    v_row record;
    v_ctids tid[] := '{}';
    v_docs jsonb[] := '{}';
    v_changed bigint := 0;
    v_count bigint;
begin
    -- A fingerprint is a hash, and so is the id of a session that ingest made up. Columns go by number: their names say
    -- nothing of what is in them, and may be sensitive keys.
    select
        format(
            'select %s as ctid, jsonb_build_object(%s) as doc from %s where %s',
            -- Rows in the columnstore have none.
            case when p_write then 'ctid' else 'null::tid' end,
            -- Beside a conversation, ingest keeps the session in the attributes: a text, and no value of a sensitive key.
            string_agg(format('%L, %s', w.place, case w.column_name
                when 'session_id' then 'case when session_id not like ''gap-%'' then session_id end'
                when 'attributes' then format('attributes - ''session_id'', ''%ss'', attributes -> ''session_id''', w.place)
                else quote_ident(w.column_name) end), ', '),
            bcp_internal.name_of(p_relation), p_within),
        format(
            'update %s t set %s from unnest($1, $2) as m (id, doc) where t.ctid = m.id and %s',
            bcp_internal.name_of(p_relation),
            string_agg(format(
                '%1$I = case when jsonb_typeof(m.doc -> %4$L) = ''null'' then t.%1$I else coalesce(m.doc %2$s %4$L, %3$L) end'
                    || case w.column_name when 'attributes'
                        then ' || case when t.attributes ? ''session_id'' then jsonb_build_object(''session_id'', m.doc -> (%4$L || ''s'')) else ''{}'' end'
                        else '' end,
                w.column_name, case w.kind when 'json' then '->' else '->>' end,
                case w.kind when 'json' then '"[REDACTED]"' else '[REDACTED]' end, w.place), ', '),
            p_within)
    into v_select, v_update
    from (select *, (row_number() over ())::text as place from bcp_internal.written_columns(p_relation)) as w
    where w.column_name not in ('fingerprint', coalesce(p_except, ''));
    for v_row in execute v_select loop
        v_ctids := v_ctids || v_row.ctid;
        v_docs := v_docs || v_row.doc;
        if cardinality(v_docs) = 1000 then
            v_count := bcp_internal.mask_batch(v_ctids, v_docs, case when p_write then v_update end);
            v_changed := v_changed + v_count;
            exit when v_changed > 0 and not p_write;
            v_ctids := '{}';
            v_docs := '{}';
        end if;
    end loop;
    if v_docs <> '{}' and (p_write or v_changed = 0) then
        v_changed := v_changed + bcp_internal.mask_batch(v_ctids, v_docs, case when p_write then v_update end);
    end if;
    return v_changed;
end
$func$;

comment on function bcp_internal.mask_rows(regclass, text, text, boolean) is
    'Masks the rows of a table again, all columns of text and JSON but one, and returns how many changed; without writing, only whether any would.';

create or replace function bcp_internal.mask_batch(p_ctids tid[], p_docs jsonb[], p_update text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, whose elements are found by counting from its start.
set plan_cache_mode = force_generic_plan
as $func$
declare
    v_ids tid[];
    v_docs jsonb[];
begin
    select coalesce(array_agg(p.id), '{}'), array_agg(p.masked)
    into v_ids, v_docs
    from unnest(p_ctids, p_docs, bcp_internal.anonymize_documents(p_docs)) as p (id, doc, masked)
    -- What a sensitive key makes of nothing does not count.
    where p.doc <> p.masked
      and exists (select from jsonb_each(p.doc) as d where d.value <> 'null' and d.value is distinct from p.masked -> d.key);
    if v_ids <> '{}' and p_update is not null then
        v_docs := array(
            select (select jsonb_object_agg(d.key, case when d.value = 'null' then 'null' else o.masked -> d.key end)
                    from jsonb_each(p.doc) as d)
            from unnest(v_ids, v_docs) with ordinality as o (id, masked, n)
            join unnest(p_ctids, p_docs) as p (id, doc) on p.id = o.id
            order by o.n);
        execute p_update using v_ids, v_docs;
    end if;
    return cardinality(v_ids);
end
$func$;

comment on function bcp_internal.mask_batch(tid[], jsonb[], text) is
    'Masks rows as documents, has the update write those that change, and returns how many do.';

create or replace function bcp_internal.mask_addresses(p_relation regclass, p_within text, p_write boolean) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_changed bigint;
begin
    if not exists (
        select from pg_attribute
        where attrelid = p_relation and attname = 'ip_address' and not attisdropped)
    then
        return 0;
    end if;
    -- A network that was cut is what it was: a longer prefix brings nothing back.
    execute format(
        case when p_write
            then 'update %1$s set ip_address = bcp_internal.anonymize_ip(ip_address) where %2$s and ip_address <> bcp_internal.anonymize_ip(ip_address)'
            else 'select from %1$s where %2$s and ip_address <> bcp_internal.anonymize_ip(ip_address) limit 1'
        end, bcp_internal.name_of(p_relation), p_within);
    get diagnostics v_changed = row_count;
    return v_changed;
end
$func$;

comment on function bcp_internal.mask_addresses(regclass, text, boolean) is
    'Cuts addresses to the settings ip_prefix_v4 and ip_prefix_v6, and returns how many changed; without writing, whether any would.';

create or replace function bcp_internal.open_chunk(p_table text, p_start timestamptz, p_end timestamptz) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_within constant text := format('%1$I >= %2$L and %1$I < %3$L', bcp_internal.time_column(p_table), p_start, p_end);
    v_relation constant regclass := format('bcp.%I', p_table)::regclass;
    v_name text;
    v_chunk regclass;
begin
    select format('%I.%I', chunk_schema, chunk_name) into v_name
    from timescaledb_information.chunks
    where hypertable_schema = 'bcp' and hypertable_name = p_table and range_start = p_start and range_end = p_end
      and is_compressed;
    -- Rows of the columnstore are looked at where they are, and taken out of it only where one changes.
    if v_name is null then
        return null;
    elsif bcp_internal.mask_rows(v_relation, v_within, null, false) + bcp_internal.mask_addresses(v_relation, v_within, false) = 0 then
        return '';
    end if;
    v_chunk := to_regclass(v_name);
    if v_chunk is not null then
        perform public.decompress_chunk(v_chunk, true);
    end if;
    return v_name;
end
$func$;

comment on function bcp_internal.open_chunk(text, timestamptz, timestamptz) is
    'Takes a chunk that masking would change out of the columnstore, and returns its name; empty where nothing would change, null where it is in none. Nobody reads the chunk until the transaction ends.';

create or replace function bcp_internal.is_masked(p_table text, p_start timestamptz, p_end timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select exists (
        select from bcp_internal.anonymize_progress
        where table_name = p_table and range_start = p_start and range_end = p_end and rules_digest = bcp_internal.rules_digest())
$func$;

comment on function bcp_internal.is_masked(text, timestamptz, timestamptz) is 'Whether the present rules have been over a chunk.';

create or replace function bcp_internal.mask_chunk(p_table text, p_start timestamptz, p_end timestamptz, p_opened text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_within constant text := format('%1$I >= %2$L and %1$I < %3$L', bcp_internal.time_column(p_table), p_start, p_end);
    v_relation constant regclass := format('bcp.%I', p_table)::regclass;
    v_changed bigint := 0;
begin
    -- Empty again where somebody has put it back meanwhile, and nothing is left to change.
    if p_opened is distinct from '' and bcp_internal.open_chunk(p_table, p_start, p_end) is distinct from '' then
        v_changed := bcp_internal.mask_rows(v_relation, v_within, null, true)
            + bcp_internal.mask_addresses(v_relation, v_within, true);
    end if;
    if v_changed > 0 then
        perform bcp_internal.refresh_later(p_table, p_start, p_end);
        perform bcp_internal.replace_archives(p_table, p_start, p_end);
    end if;
    insert into bcp_internal.anonymize_progress as p (table_name, range_start, range_end, rules_digest, done_at)
    values (p_table, p_start, p_end, bcp_internal.rules_digest(), bcp_internal.now())
    on conflict (table_name, range_start, range_end)
        do update set rules_digest = excluded.rules_digest, done_at = excluded.done_at;
    return v_changed;
end
$func$;

comment on function bcp_internal.mask_chunk(text, timestamptz, timestamptz, text) is
    'Masks a chunk by the present rules, after bcp_internal.open_chunk, whose result it takes, and returns how many rows changed.';

create or replace function bcp_internal.masked_values(p_column text, p_values jsonb[])
returns table (value jsonb, masked jsonb)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select v, m
    from unnest(p_values, bcp_internal.anonymize_documents(p_values)) as p (v, m)
    where v <> m
      and not (p_column = 'session_id' and v #>> '{}' like 'gap-%')
$func$;

comment on function bcp_internal.masked_values(text, jsonb[]) is 'Those values of a column that masking changes, and what they become.';

create or replace function bcp_internal.mask_table(p_table text, p_before timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_relation constant regclass := format('bcp.%I', p_table)::regclass;
    v_table record;
    v_within text;
    v_key record;
    v_user bcp.users;
    v_session bcp.user_sessions;
    v_changed bigint;
begin
    select * into strict v_table from bcp_internal.history_tables() where table_name = p_table;
    v_within := format('%I < %L', v_table.time_column, p_before);
    v_changed := bcp_internal.mask_rows(v_relation, v_within, v_table.key_column, true)
        + bcp_internal.mask_addresses(v_relation, v_within, true);
    if v_table.key_column is null then
        return v_changed;
    end if;
    -- Two keys may become equal, and then their rows become one.
    for v_key in execute format(
        'select m.value #>> ''{}'' as value, m.masked #>> ''{}'' as masked from bcp_internal.masked_values(%1$L,'
        ' array(select to_jsonb(%1$I) from bcp.%2$I where %3$s)) as m', v_table.key_column, p_table, v_within)
    loop
        if p_table = 'users' then
            delete from bcp.users where user_id = v_key.value returning * into v_user;
            perform bcp_internal.touch_users(array[v_key.masked, v_key.masked], array[v_user.first_seen, v_user.last_seen]);
        else
            delete from bcp.user_sessions where session_id = v_key.value returning * into v_session;
            v_session.session_id := v_key.masked;
            perform bcp_internal.touch_sessions(array[v_session]);
        end if;
        v_changed := v_changed + 1;
    end loop;
    return v_changed;
end
$func$;

comment on function bcp_internal.mask_table(text, timestamptz) is
    'Masks the rows of a table without chunks that are older than a time, and returns how many changed.';

create or replace function bcp_internal.mask_aggregate(p_aggregate text, p_before timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_relation regclass;
    v_column record;
    v_value record;
    v_count bigint;
    v_changed bigint := 0;
begin
    select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
    into strict v_relation
    from timescaledb_information.continuous_aggregates
    where view_schema = 'bcp' and view_name = p_aggregate;
    -- Rows that become equal stay apart: every question adds them up.
    for v_column in
        select column_name, kind = 'json' as is_json from bcp_internal.written_columns(v_relation) where column_name <> 'fingerprint'
    loop
        for v_value in execute format(
            'select value, masked from bcp_internal.masked_values(%L, array(select distinct to_jsonb(%2$I) from %3$s where %2$I is not null and bucket < %4$L))',
            v_column.column_name, v_column.column_name, v_relation, p_before)
        loop
            execute format(
                'update %s set %I = $1%s where %2$I = $2%3$s and bucket < $3',
                v_relation, v_column.column_name, case when not v_column.is_json then ' #>> ''{}''' end)
            using v_value.masked, v_value.value, p_before;
            get diagnostics v_count = row_count;
            v_changed := v_changed + v_count;
        end loop;
    end loop;
    if v_changed > 0 then
        perform bcp_internal.compress_again(p_aggregate, '-infinity', 'infinity');
    end if;
    return v_changed;
end
$func$;

comment on function bcp_internal.mask_aggregate(text, timestamptz) is
    'Masks what is aggregated of the time before, and returns how many rows changed.';

create or replace function bcp_internal.forget_rows(p_relation regclass, p_within text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_keys constant text[] := '{user_id,session_id,conversation_id,ip_address,user_agent}';
    v_nulls text;
    v_known text;
    v_changed bigint;
begin
    select
        string_agg(case attname
            when 'attributes' then format('attributes = nullif(attributes - %L::text[], ''{}'')', v_keys)
            when 'event' then format('event = event - %L::text[]', v_keys)
            else format('%I = null', attname)
        end, ', '),
        string_agg(case
            when attname in ('attributes', 'event') then format('coalesce(%I ?| %L::text[], false)', attname, v_keys)
            else format('%I is not null', attname)
        end, ' or ')
    into v_nulls, v_known
    from pg_attribute
    where attrelid = p_relation
      and attname in ('user_id', 'session_id', 'ip_address', 'user_agent', 'attributes', 'event')
      and not attisdropped;
    if v_known is null then
        return 0;
    end if;
    execute format('update %s set %s where %s and (%s)', bcp_internal.name_of(p_relation), v_nulls, p_within, v_known);
    get diagnostics v_changed = row_count;
    return v_changed;
end
$func$;

comment on function bcp_internal.forget_rows(regclass, text) is
    'Takes user, session, address and user agent away from rows of a table, and returns how many had one.';

create or replace function bcp_internal.forget_chunk(p_table text, p_start timestamptz, p_end timestamptz) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_changed bigint;
begin
    v_changed := bcp_internal.forget_rows(
        format('bcp.%I', p_table)::regclass, format('%1$I >= %2$L and %1$I < %3$L', bcp_internal.time_column(p_table), p_start, p_end));
    if v_changed > 0 then
        perform bcp_internal.refresh_later(p_table, p_start, p_end);
        perform bcp_internal.replace_archives(p_table, p_start, p_end);
        perform bcp_internal.compress_again(p_table, p_start, p_end);
    end if;
    return v_changed;
end
$func$;

comment on function bcp_internal.forget_chunk(text, timestamptz, timestamptz) is
    'Takes away who it was from the rows of a chunk, and returns how many said so.';

create or replace function bcp_internal.forget_users(p_table text, p_before timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
set timescaledb.max_tuples_decompressed_per_dml_transaction = 0
as $func$
declare
    v_aggregate record;
    v_before timestamptz := p_before;
begin
    if coalesce(p_table, 'users') = 'users' then
        delete from bcp.users where last_seen < p_before;
    end if;
    if coalesce(p_table, 'user_sessions') = 'user_sessions' then
        delete from bcp.user_sessions where last_activity < p_before;
    end if;
    if coalesce(p_table, 'open_tool_calls') = 'open_tool_calls' then
        perform bcp_internal.forget_rows('bcp.open_tool_calls', format('started_at < %L', p_before));
    end if;
    if coalesce(p_table, 'tool_usage_logs') <> 'tool_usage_logs' then
        return;
    end if;
    -- Of a day that is not forgotten whole, the refresh leaves what is right.
    select least(p_before, min(range_start)) into v_before
    from bcp_internal.event_chunks() where table_name = 'tool_usage_logs' and range_end > p_before;
    for v_aggregate in
        select format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass as relation
        from timescaledb_information.continuous_aggregates
        where view_schema = 'bcp' and view_name in ('user_activity_1d', 'session_activity_1d')
    loop
        execute format('delete from %s where bucket <= $1 - interval ''24 hours''', v_aggregate.relation) using v_before;
    end loop;
end
$func$;

comment on function bcp_internal.forget_users(text, timestamptz) is
    'Deletes users, sessions, and their days in the aggregates that are older than a time.';

create or replace function bcp_internal.plain_history_tables(p_table text) returns table (table_name text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select h.table_name from bcp_internal.history_tables() h
    where not h.is_chunked and h.table_name = coalesce(p_table, h.table_name)
$func$;

comment on function bcp_internal.plain_history_tables(text) is 'Those of bcp_internal.history_tables without chunks, one or all.';

create or replace function bcp_internal.history_aggregates(p_table text) returns table (name text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select a.name from bcp_internal.aggregates() a where a.source_table = coalesce(p_table, a.source_table) order by a.ordinal
$func$;

comment on function bcp_internal.history_aggregates(text) is 'The aggregates of a table, or all.';

create or replace function bcp_internal.masked_statistics(p_of_names boolean)
returns table (schema_name text, relation_name text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select distinct k.schema_name, k.relation_name
    from bcp_internal.kept_statistics() k
    where k.is_of_index or p_of_names
$func$;

comment on function bcp_internal.masked_statistics(boolean) is
    'Statistics of the planner that may hold what was masked: of words of errors, and of names in aggregates.';

create or replace procedure bcp.anonymize_history(
    p_older_than interval default null, p_table text default null, p_forget_users boolean default false)
language plpgsql
as $proc$
declare
    v_before timestamptz;
    v_step record;
    v_rows bigint;
    v_opened text;
    v_names bigint := 0;
    v_unreached text;
begin
    v_before := bcp_internal.history_cutoff(p_older_than, p_table, p_forget_users);
    for v_step in
        select c.table_name, c.range_start, c.range_end from bcp_internal.history_chunks(v_before, p_table) c
    loop
        if p_forget_users then
            perform bcp_internal.forget_chunk(v_step.table_name, v_step.range_start, v_step.range_end);
            commit;
        end if;
        continue when bcp_internal.is_masked(v_step.table_name, v_step.range_start, v_step.range_end);
        v_opened := bcp_internal.open_chunk(v_step.table_name, v_step.range_start, v_step.range_end);
        commit;
        v_rows := bcp_internal.mask_chunk(v_step.table_name, v_step.range_start, v_step.range_end, v_opened);
        if v_rows operator(pg_catalog.>) 0 then
            raise notice '% from %: % rows masked', v_step.table_name, v_step.range_start, v_rows;
        end if;
        commit;
        perform bcp_internal.put_back(v_opened);
        commit;
    end loop;
    if p_forget_users then
        perform bcp_internal.forget_users(p_table, v_before);
        commit;
    end if;
    for v_step in select t.table_name from bcp_internal.plain_history_tables(p_table) t loop
        perform bcp_internal.mask_table(v_step.table_name, v_before);
        commit;
    end loop;
    v_unreached := bcp_internal.mask_restored_tables(p_table, v_before, p_forget_users);
    commit;
    call bcp_internal.refresh_pending();
    for v_step in select a.name from bcp_internal.history_aggregates(p_table) a loop
        v_names := v_names operator(pg_catalog.+) bcp_internal.mask_aggregate(v_step.name, v_before);
        commit;
    end loop;
    for v_step in
        select s.schema_name, s.relation_name
        from bcp_internal.masked_statistics(p_forget_users or v_names operator(pg_catalog.>) 0) s
    loop
        perform bcp_internal.renew_statistics(v_step.schema_name, v_step.relation_name);
        commit;
    end loop;
    perform bcp_internal.check_reached(v_unreached);
end
$proc$;

comment on procedure bcp.anonymize_history(interval, text, boolean) is
    'Masks stored rows again by the present rules, chunk by chunk: all, or what is older than p_older_than, of one table or all. With p_forget_users, older rows also lose user, session, address and user agent. Called again it goes on where it was interrupted; chunks that the same rules have masked are left out. Tables restored beside are masked too; ZB007, at the end, where one cannot be. Only the role that migrated the database may.';
