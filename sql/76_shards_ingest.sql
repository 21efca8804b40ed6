-- What a head sends on: events, each to the shard of its bundle, and what it asks that is no question.

create or replace function bcp_internal.shard_batch(p_batch_id uuid, p_shard text) returns uuid
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select md5(p_batch_id || ':' || p_shard)::uuid
$func$;

comment on function bcp_internal.shard_batch is
    'Batch id of the part of a batch that a shard gets. The same batch sent again has the same parts, so that a shard '
    'which has stored its part takes it for a duplicate.';

create or replace function bcp_internal.ingest_for_head(
    p_kind text, p_batch_id uuid, p_events jsonb, p_source text, p_unreadable jsonb,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint, out error_state text,
    out error_message text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    select i.* into accepted, stored, duplicates, rejected
    from bcp_internal.ingest(p_kind, p_batch_id, p_events, p_source, p_unreadable) i;
exception
    -- A statement that fails goes into the server's log with its values, and dblink has no parameters. So it does not
    -- fail, not even where the head gives up and cancels it, which is none of the others. Only our own messages are
    -- known to repeat no value.
    when query_canceled or others then
        error_state := sqlstate;
        error_message := case when sqlstate ~ '^(ZB|53400)' then sqlerrm else 'SQLSTATE ' || sqlstate end;
end
$func$;

comment on function bcp_internal.ingest_for_head is
    'As bcp_internal.ingest, for a head: what goes wrong is in error_state and error_message.';

create or replace function bcp_internal.shards_of(p_kind text, p_events jsonb)
returns table (n bigint, event jsonb, shard_name text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with events as materialized (
        select
            a.n, a.e,
            case when p_kind in ('tool_usage', 'errors') then
                coalesce(nullif(a.e ->> 'bcp_name', ''), a.e -> 'tool_context' ->> 'bcp') end as bundle
        from jsonb_array_elements(p_events) with ordinality as a (e, n)
    ), routes as (
        select b.bundle, s.shard_name
        from (select distinct x.bundle from events x) b
        join lateral (
            select s.shard_name
            from bcp.shards s
            where b.bundle = any (s.bundles) or '*' = any (s.bundles)
            -- The shard that names the bundle, before the one for the rest.
            order by coalesce(b.bundle = any (s.bundles), false) and b.bundle <> '*' desc, '*' = any (s.bundles) desc
            limit 1
        ) s on true
    )
    select e.n, e.e, r.shard_name
    from events e
    left join routes r on r.bundle is not distinct from e.bundle
$func$;

comment on function bcp_internal.shards_of is
    'The shard that takes each event of a batch: the one that names its bundle, else the one for the rest. Metrics and '
    'sessions have no bundle. Null where there is none.';

create or replace function bcp_internal.ingest_on_shards(
    p_kind text, p_batch_id uuid, p_events jsonb, p_source text, p_unreadable jsonb,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_source constant text := coalesce(p_source, nullif(current_setting('application_name'), ''), 'unknown');
    v_rest constant text := (select s.shard_name from bcp.shards s where '*' = any (s.bundles));
    v_statements jsonb;
    v_homeless boolean;
    v_shard text;
    v_state text;
    v_message text;
begin
    perform bcp_internal.check_batch(jsonb_typeof(p_events));
    with parts as (
        select o.shard_name, jsonb_agg(o.event order by o.n) as events
        from bcp_internal.shards_of(p_kind, p_events) o
        group by o.shard_name
        union all
        select v_rest, '[]'::jsonb
        where p_unreadable <> '[]'
    ), whole as (
        select p.shard_name, (array_agg(p.events order by p.events desc))[1] as events
        from parts p
        group by p.shard_name
    )
    select
        bool_or(w.shard_name is null),
        jsonb_object_agg(w.shard_name, format(
            'select * from bcp_internal.ingest_for_head(%L, %L, %L, %L, %L)',
            p_kind, bcp_internal.shard_batch(p_batch_id, w.shard_name), w.events, v_source,
            case when w.shard_name = v_rest then p_unreadable else '[]' end)) filter (where w.shard_name is not null)
    into v_homeless, v_statements
    from whole w;
    if v_homeless then
        raise exception using
            errcode = 'ZB002', message = 'no shard takes the bundle of an event; nothing of the batch was sent',
            hint = 'Add a shard with --bundles ''*'', which takes what no other names, or name the bundle:'
                ' bcp-analytics federate.';
    end if;
    select
        coalesce(sum(r.accepted), 0), coalesce(sum(r.stored), 0), coalesce(sum(r.duplicates), 0),
        coalesce(sum(r.rejected), 0), min(r.shard) filter (where r.error_state is not null) as shard,
        (array_agg(r.error_state order by r.shard) filter (where r.error_state is not null))[1] as state,
        (array_agg(r.error_message order by r.shard) filter (where r.error_state is not null))[1] as message
    into accepted, stored, duplicates, rejected, v_shard, v_state, v_message
    from bcp_internal.on_shards(
        'owner',
        'accepted bigint, stored bigint, duplicates bigint, rejected bigint, error_state text, error_message text',
        null, coalesce(v_statements, '{}'), p_partial => false) as r (
        shard text, accepted bigint, stored bigint, duplicates bigint, rejected bigint, error_state text,
        error_message text);
    if v_state is not null then
        raise exception using
            errcode = v_state, message = format('the shard %s: %s', v_shard, v_message),
            hint = 'Other shards may have stored their part. Sent again with the same batch id, it is stored once.';
    end if;
end
$func$;

comment on function bcp_internal.ingest_on_shards is
    'As bcp_internal.ingest, on the shards: each gets the events of its bundles as a batch of its own. Each commits by '
    'itself, so where one fails the caller sends the whole batch again, with the same id: what is stored then counts '
    'as duplicates.';

create or replace function bcp_internal.states_of_shards()
returns table (shard_name text, check_name text, status text, value text, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_digest constant text := (select l.digest from bcp_migrations.loaded_sql l);
    v_before constant timestamptz := clock_timestamp();
begin
    -- Nothing that an older version might not have.
    return query
    select a.shard, c.*
    from (
        select r.*, extract(epoch from greatest(v_before - r.at, r.at - clock_timestamp(), '0')) as seconds
        from bcp_internal.on_shards(
            'owner', 'digest text, at timestamptz, is_read_only boolean',
            'select (select digest from bcp_migrations.loaded_sql), clock_timestamp(),'
            ' current_setting(''transaction_read_only'')', p_partial => true)
            as r (shard text, digest text, at timestamptz, is_read_only boolean)
    ) a
    cross join lateral (
        values
        ('version', case when a.digest = v_digest then 'ok' else 'fail' end, '',
         case
             when a.digest = v_digest then 'as on the head'
             else 'another version of bcp_analytics: run the same bcp-analytics migrate on head and shard'
         end),
        ('clock', case when a.seconds <= 5 then 'ok' else 'warn' end, round(a.seconds)::text,
         case
             when a.seconds <= 5 then 'as on the head, within 5 seconds'
             else 'seconds off from the head''s clock: what ends now ends at another time there, and ingest may'
                 ' take events for future ones'
         end),
        ('writes', case when a.is_read_only then 'warn' else 'ok' end, '',
         case
             when a.is_read_only then
                 'read-only, as a standby is: it answers, but takes no events, and nobody is erased from it'
             else 'takes events'
         end)
    ) as c (check_name, status, value, detail)
    order by 1, 2;
end
$func$;

comment on function bcp_internal.states_of_shards is
    'Whether each shard that answers has the version and the clock of the head, and takes events.';

create or replace function bcp_internal.health_of_shards()
returns table (check_name text, status text, value text, detail text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    return query
    select r.shard || '/' || r.check_name, r.status, r.value, r.detail
    from bcp_internal.on_shards(
        'bcp_reader', 'check_name text, status text, value text, detail text',
        'select h.check_name, h.status, h.value, h.detail from bcp.health() h', p_partial => true)
        as r (shard text, check_name text, status text, value text, detail text);
    return query
    select s.shard_name || '/' || s.check_name, s.status, s.value, s.detail from bcp_internal.states_of_shards() s;
    return query
    select s.shard_name || '/answers', case when s.shard_name = any (bcp.missing_shards()) then 'fail' else 'ok' end,
           '',
           case
               when s.shard_name = any (bcp.missing_shards()) then
                   'does not answer: bcp-analytics federate check says why'
               else 'answers; bundles: ' || array_to_string(s.bundles, ', ')
           end
    from bcp.shards s
    order by s.shard_name;
end
$func$;

comment on function bcp_internal.health_of_shards is
    'The checks of bcp.health of every shard, each with the name of the shard before it; whether it '
    'answers, and what bcp_internal.states_of_shards says.';
