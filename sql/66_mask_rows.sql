-- Late masking, the work: rows of chunks, tables and aggregates, by the present rules.

create or replace function bcp_internal.mask_rows(p_relation regclass, p_within text, p_except text, p_write boolean)
returns bigint
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
    -- Fingerprints are hashes, and so are ids of sessions that ingest made up. The document names columns by number,
    -- because a column's name could itself be a sensitive key.
    select
        format(
            'select %s as ctid, jsonb_build_object(%s) as doc from %s where %s',
            -- Rows in the columnstore have no ctid.
            case when p_write then 'ctid' else 'null::tid' end,
            -- If an event has a conversation too, ingest keeps its session in the attributes: as text, not as the value
            -- of a sensitive key.
            string_agg(format('%L, %s', w.place, case w.column_name
                when 'session_id' then 'case when session_id not like ''gap-%'' then session_id end'
                when 'attributes'
                    then format('attributes - ''session_id'', ''%ss'', attributes -> ''session_id''', w.place)
                else quote_ident(w.column_name) end), ', '),
            bcp_internal.name_of(p_relation), p_within),
        format(
            'update %s t set %s from unnest($1, $2) as m (id, doc) where t.ctid = m.id and %s',
            bcp_internal.name_of(p_relation),
            string_agg(format(
                '%1$I = case when jsonb_typeof(m.doc -> %4$L) = ''null'' then t.%1$I'
                ' else coalesce(m.doc %2$s %4$L, %3$L) end'
                    || case w.column_name when 'attributes'
                        then ' || case when t.attributes ? ''session_id'''
                            ' then jsonb_build_object(''session_id'', m.doc -> (%4$L || ''s'')) else ''{}'' end'
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

comment on function bcp_internal.mask_rows is
    'Masks the rows of a table again, all columns of text and JSON except p_except, and returns how many changed. '
    'Without p_write it changes nothing, and returns whether any row would change (more than 0).';

create or replace function bcp_internal.mask_batch(p_ctids tid[], p_docs jsonb[], p_update text) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, and finding an element then counts from its start.
set plan_cache_mode = force_generic_plan
as $func$
declare
    v_ids tid[];
    v_docs jsonb[];
begin
    select coalesce(array_agg(p.id), '{}'), array_agg(p.masked)
    into v_ids, v_docs
    from unnest(p_ctids, p_docs, bcp_internal.anonymize_documents(p_docs)) as p (id, doc, masked)
    -- Null stays null, whatever a sensitive key makes of it.
    where p.doc <> p.masked
      and exists (
          select
          from jsonb_each(p.doc) as d
          where d.value <> 'null' and d.value is distinct from p.masked -> d.key);
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

comment on function bcp_internal.mask_batch is
    'Masks rows as documents, has the update write the rows that change, and returns how many do.';

create or replace function bcp_internal.mask_addresses(p_relation regclass, p_within text, p_write boolean)
returns bigint
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
    -- A network that was cut stays as it was, because a longer prefix brings nothing back.
    execute format(
        case when p_write
            then 'update %1$s set ip_address = bcp_internal.anonymize_ip(ip_address)'
                ' where %2$s and ip_address <> bcp_internal.anonymize_ip(ip_address)'
            else 'select from %1$s where %2$s and ip_address <> bcp_internal.anonymize_ip(ip_address) limit 1'
        end, bcp_internal.name_of(p_relation), p_within);
    get diagnostics v_changed = row_count;
    return v_changed;
end
$func$;

comment on function bcp_internal.mask_addresses is
    'Cuts addresses to the settings ip_prefix_v4 and ip_prefix_v6, and returns how many changed. Without p_write it '
    'changes nothing, and returns 1 if any would change.';

create or replace function bcp_internal.open_chunk(p_table text, p_start timestamptz, p_end timestamptz) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_within constant text := format('%1$I >= %2$L and %1$I < %3$L', bcp_internal.time_column(p_table), p_start, p_end);
    v_relation constant regclass := format('bcp.%I', p_table)::regclass;
    v_name text;
begin
    perform bcp_internal.hold_chunk(p_table, p_start, p_end);
    select format('%I.%I', chunk_schema, chunk_name) into v_name
    from timescaledb_information.chunks
    where hypertable_schema = 'bcp' and hypertable_name = p_table and range_start = p_start and range_end = p_end
      and is_compressed;
    -- This checks rows of the columnstore where they are, and decompresses the chunk only if one would change.
    if v_name is null then
        return null;
    elsif bcp_internal.mask_rows(v_relation, v_within, null, false)
        + bcp_internal.mask_addresses(v_relation, v_within, false) = 0 then
        return '';
    end if;
    perform bcp_internal.take_out(v_name);
    return v_name;
end
$func$;

comment on function bcp_internal.open_chunk is
    'Decompresses a chunk that masking would change, and returns its name; empty if masking changes nothing, null if '
    'the chunk is not in the columnstore. Nobody else can read the chunk until the transaction ends.';

create or replace function bcp_internal.is_masked(p_table text, p_start timestamptz, p_end timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select exists (
        select
        from bcp_internal.anonymize_progress
        where table_name = p_table and range_start = p_start and range_end = p_end
          and rules_digest = bcp_internal.rules_digest())
$func$;

comment on function bcp_internal.is_masked is 'Whether a chunk has been masked by the present rules.';

create or replace function bcp_internal.mask_chunk(p_table text, p_start timestamptz, p_end timestamptz, p_opened text)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_within constant text := format('%1$I >= %2$L and %1$I < %3$L', bcp_internal.time_column(p_table), p_start, p_end);
    v_relation constant regclass := format('bcp.%I', p_table)::regclass;
    v_changed bigint := 0;
begin
    -- Empty here means that somebody has put the chunk back meanwhile, and nothing is left to change.
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

comment on function bcp_internal.mask_chunk is
    'Masks a chunk by the present rules, after bcp_internal.open_chunk, whose result is p_opened, and returns how many '
    'rows changed.';

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

comment on function bcp_internal.masked_values is 'The values of a column that masking changes, and what they become.';

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
    -- Two keys may become equal, and then their rows are merged.
    for v_key in execute format(
        'select m.value #>> ''{}'' as value, m.masked #>> ''{}'' as masked from bcp_internal.masked_values(%1$L,'
        ' array(select to_jsonb(%1$I) from bcp.%2$I where %3$s)) as m', v_table.key_column, p_table, v_within)
    loop
        if p_table = 'users' then
            delete from bcp.users where user_id = v_key.value returning * into v_user;
            -- Cleanup or an erasure has deleted the row meanwhile.
            continue when not found;
            perform bcp_internal.touch_users(array[v_key.masked, v_key.masked],
                array[v_user.first_seen, v_user.last_seen]);
        else
            delete from bcp.user_sessions where session_id = v_key.value returning * into v_session;
            continue when not found;
            v_session.session_id := v_key.masked;
            perform bcp_internal.touch_sessions(array[v_session]);
        end if;
        v_changed := v_changed + 1;
    end loop;
    return v_changed;
end
$func$;

comment on function bcp_internal.mask_table is
    'Masks the rows of a table without chunks that are older than a time, and returns how many changed.';

create or replace function bcp_internal.adds_up(p_relation regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select not exists (select from pg_attribute where attrelid = p_relation and attname in ('p50_lat_idx', 'issues'))
$func$;

comment on function bcp_internal.adds_up is
    'Whether rows of the hypertable of an aggregate may be equal but for what they count. Those with percentiles or '
    'numbers of issues may not: they are read as they are. Below the horizon, a bucket of these may be deleted: '
    'bcp_internal.unseen.';

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
    -- Rows that become equal are not merged, because every question adds them up. Percentiles and numbers of
    -- issues cannot be added up: without the bucket, the aggregates that they are made from answer.
    for v_column in
        select column_name, kind = 'json' as is_json
        from bcp_internal.written_columns(v_relation)
        where column_name <> 'fingerprint'
    loop
        for v_value in execute format(
            'select value, masked from bcp_internal.masked_values('
            '%L, array(select distinct to_jsonb(%2$I) from %3$s where %2$I is not null and bucket < %4$L))',
            v_column.column_name, v_column.column_name, v_relation, p_before)
        loop
            if bcp_internal.adds_up(v_relation) then
                execute format(
                    'update %s set %I = $1%s where %2$I = $2%3$s and bucket < $3',
                    v_relation, v_column.column_name, case when not v_column.is_json then ' #>> ''{}''' end)
                using v_value.masked, v_value.value, p_before;
            else
                execute format(
                    'delete from %s where bucket in (select bucket from %1$s where %I = $1%s and bucket < $2)',
                    v_relation, v_column.column_name, case when not v_column.is_json then ' #>> ''{}''' end)
                using v_value.value, p_before;
            end if;
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

comment on function bcp_internal.mask_aggregate is
    'Masks the rows of an aggregate before a time, and returns how many changed.';
