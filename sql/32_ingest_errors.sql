-- Ingest of errors, and how they are grouped into issues.

create or replace function bcp_internal.message_template(p_message text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Replace what varies between two errors of one cause. The most particular pattern comes first, because each one
    -- would match part of what the ones before it match.
    select left(btrim(p9), 500)
    from regexp_replace(left(p_message, 4000), '\m[a-z_]+#k\d+#[a-z]{16}|[^\s@<>"'']+@[^\s@<>"'']+\.[a-z]{2,}', '<person>', 'gi') as p1
    cross join lateral regexp_replace(p1, '\m[a-z][a-z0-9+.-]*://[^\s"''<>]+', '<url>', 'gi') as p2
    cross join lateral regexp_replace(p2, '\m\d{1,3}(\.\d{1,3}){3}(:\d+)?(/\d+)?\M|\m([0-9a-f]{1,4}:){3,7}:?[0-9a-f]{1,4}\M', '<ip>', 'gi') as p3
    cross join lateral regexp_replace(p3, '\m[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}\M', '<uuid>', 'gi') as p4
    cross join lateral regexp_replace(p4, '\m0x[0-9a-f]+\M|\m(?=[a-f]*\d)[0-9a-f]{7,}\M', '<hash>', 'gi') as p5
    cross join lateral regexp_replace(p5, '\m\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?', '<date>', 'g') as p6
    cross join lateral regexp_replace(p6, '[+-]?\m\d+([.,]\d+)*', '<number>', 'g') as p7
    cross join lateral regexp_replace(p7, '"[^"]*"|`[^`]*`|''[^'']*''', '<quoted>', 'g') as p8
    cross join lateral regexp_replace(p8, '\s+', ' ', 'g') as p9
$func$;

comment on function bcp_internal.message_template(text) is
    'A message with placeholders for persons, URLs, addresses, UUIDs, hashes, dates, numbers and quoted text.';

create or replace function bcp_internal.application_frames(p_stack_trace text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Frames as Python and JavaScript write them, without line numbers, which change with every edit. The collector has
    -- the same rule for the frames that it sends, and a test compares the two.
    select string_agg(frame, e'\n' order by n)
    from (
        select n, coalesce(p[1] || ':' || p[2], j[2] || ':' || j[1], j[2]) as frame
        from string_to_table(left(p_stack_trace, 100000), e'\n') with ordinality as l (line, n)
        left join lateral regexp_match(line, '^\s*File "([^"]+)", line \d+, in (\S+)') as p on true
        left join lateral regexp_match(line, '^\s*at (?:async )?(?:(\S+) \()?([^():]+(?::[^():]+)?):\d+:\d+\)?\s*$') as j on true
        where coalesce(p[1], j[2]) !~ '(site-packages|dist-packages|node_modules|/lib/python\d|node:|<frozen )'
    ) as frames
$func$;

comment on function bcp_internal.application_frames(text) is
    'Files and functions of those frames of a stack trace that are in the application''s own code; null where there '
    'are none.';

create or replace function bcp_internal.error_fingerprint(
    p_given text, p_stack_trace text, p_error_type text, p_message text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select left(encode(sha256(convert_to(
        case
            when p_given <> '' then 'given:' || p_given
            when f.frames is not null then 'frames:' || coalesce(p_error_type, '') || e'\n' || f.frames
            when p_error_type <> '' then 'type:' || p_error_type
            else 'message:' || bcp_internal.message_template(p_message)
        end, 'UTF8')), 'hex'), 16)
    from bcp_internal.application_frames(p_stack_trace) as f (frames)
$func$;

comment on function bcp_internal.error_fingerprint(text, text, text, text) is
    'Group of an error, as the first 16 hex digits of a SHA-256: of what the sender gave, else of the frames in the '
    'application''s code, else of the type, else of the message''s template.';

create or replace function bcp_internal.touch_issues(p_errors bcp.error_issues[]) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    insert into bcp.error_issues as i
    select
        fingerprint, min(first_seen), max(last_seen), sum(events), max(level),
        (array_agg(message order by last_seen desc))[1],
        (array_agg(error_type order by last_seen desc))[1],
        (array_agg(bcp_name order by last_seen desc))[1],
        (array_agg(tool_name order by last_seen desc))[1]
    from unnest(p_errors)
    group by fingerprint
    order by fingerprint
    on conflict (fingerprint) do update set
        first_seen = least(i.first_seen, excluded.first_seen),
        last_seen = greatest(i.last_seen, excluded.last_seen),
        events = i.events + excluded.events,
        level = greatest(i.level, excluded.level),
        message = case when excluded.last_seen >= i.last_seen then excluded.message else i.message end,
        error_type = case when excluded.last_seen >= i.last_seen then excluded.error_type else i.error_type end,
        bcp_name = case when excluded.last_seen >= i.last_seen then excluded.bcp_name else i.bcp_name end,
        tool_name = case when excluded.last_seen >= i.last_seen then excluded.tool_name else i.tool_name end
$func$;

comment on function bcp_internal.touch_issues(bcp.error_issues[]) is
    'Makes or updates the issues that errors belong to.';

create or replace function bcp_internal.error_level(p_level text) returns bcp.error_level_enum
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return case lower(p_level)
        when 'warning' then 'warn' when 'critical' then 'fatal'
        else lower(p_level)
    end::bcp.error_level_enum;
exception
    when invalid_text_representation then
        raise exception using errcode = 'ZB005', message = 'level is none of debug, info, warn, error, fatal';
end
$func$;

comment on function bcp_internal.error_level(text) is
    'Level of an error, in upper or lower case; warning and critical are what Python calls warn and fatal. ZB005 where '
    'it is none.';

create or replace function bcp_internal.error_attributes(p_event jsonb, p_attributes jsonb, p_max_bytes integer)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.truncate_json(
        nullif(
            coalesce(p_attributes, '{}')
            || case
                when p_event ? 'client_name' then jsonb_build_object('client_name', p_event -> 'client_name')
                else '{}'
            end
            || case
                when p_event ->> 'conversation_id' <> ''
                    and p_event ->> 'session_id' <> p_event ->> 'conversation_id'
                    then jsonb_build_object('session_id', p_event -> 'session_id')
                else '{}'
            end,
            '{}'),
        p_max_bytes)
$func$;

comment on function bcp_internal.error_attributes(jsonb, jsonb, integer) is
    'Attributes of an error: its fields that nobody knows, and those that are known but have no column: the client, '
    'which tells sessions apart, and a session_id beside a conversation_id.';

create or replace function bcp_internal.store_errors(p_events jsonb[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_oldest constant timestamptz := v_now - bcp_internal.setting('max_event_age')::interval;
    v_latest constant timestamptz := v_now + bcp_internal.setting('max_event_lead')::interval;
    v_max_document constant integer := bcp_internal.setting('max_document_bytes');
    v_stored bigint;
begin
    perform bcp_internal.store_as_usual();
    with masked as materialized (
        select m.n, m.raw, m.whole, m.e, m.attributes, nullif(m.e -> 'tool_context', 'null') as tool_context
        from bcp_internal.mask_events('errors', p_events) as m
    ), typed as materialized (
        select
            n,
            coalesce(bcp_internal.event_time('timestamp', raw ->> 'timestamp', v_oldest, v_latest), v_now) as happened,
            bcp_internal.event_uuid(bcp_internal.event_id(raw ->> 'event_id')) as given_id,
            bcp_internal.error_level(e ->> 'level') as level,
            e ->> 'message' as message,
            bcp_internal.error_fingerprint(
                whole ->> 'fingerprint', whole ->> 'stack_trace', whole ->> 'error_type', whole ->> 'message'
                    ) as fingerprint,
            coalesce(
                nullif(e ->> 'error_type', ''), bcp_internal.classify_error_type(e ->> 'message', null)) as error_type,
            e ->> 'error_code' as error_code,
            e ->> 'stack_trace' as stack_trace,
            coalesce(nullif(e ->> 'bcp_name', ''), tool_context ->> 'bcp') as bcp_name,
            coalesce(nullif(e ->> 'tool_name', ''), tool_context ->> 'tool') as tool_name,
            coalesce(nullif(e ->> 'operation', ''), tool_context ->> 'operation') as operation,
            coalesce(nullif(e -> 'context', 'null'), '{}') as context,
            tool_context,
            bcp_internal.event_id(e ->> 'user_id') as user_id,
            bcp_internal.event_id(e ->> 'conversation_id') as conversation_id,
            bcp_internal.event_id(e ->> 'session_id') as given_session,
            nullif(e ->> 'client_name', '') as client_name,
            e ->> 'request_id' as request_id,
            e ->> 'trace_id' as trace_id,
            nullif(e ->> 'release', '') as release,
            bcp_internal.error_attributes(e, attributes, v_max_document) as attributes
        from masked
    ), keys as materialized (
        select id from bcp_internal.new_keys(
            'errors', array(select given_id from typed where given_id is not null)) as id
    ), fresh as materialized (
        select * from typed where given_id is null
        union all
        (select distinct on (given_id) typed.* from typed join keys on keys.id = given_id order by given_id, n)
    ), resolved as materialized (
        select r.n, r.session_id, case when r.is_new then 'gap' end as resolved_by
        from (
            select array_agg(n), array_agg(user_id), array_agg(client_name),
                   array_agg(coalesce(conversation_id, given_session)), array_agg(happened)
            from fresh
        ) as f (numbers, users, clients, given, times)
        cross join lateral bcp_internal.resolve_sessions(numbers, users, clients, given, times, times) as r
    ), placed as materialized (
        select
            fresh.*,
            coalesce(conversation_id, given_session, resolved.session_id) as session_id,
            case
                when conversation_id is not null then 'conversation'
                when given_session is not null then 'given'
                else resolved.resolved_by
            end as resolved_by
        from fresh
        left join resolved using (n)
    ), stored as (
        insert into bcp.error_logs (
            "timestamp", created_at, event_id, level, message, fingerprint, error_type, error_code, stack_trace,
            bcp_name,
            tool_name, operation, context, tool_context, user_id, session_id, request_id, trace_id, release, attributes)
        select
            happened, v_now, coalesce(given_id, bcp_internal.uuidv7(happened)), level, message, fingerprint, error_type,
            error_code, stack_trace, bcp_name, tool_name, operation, context, tool_context, user_id, session_id,
            request_id, trace_id, release, attributes
        from placed
    ), touched as (
        select
            bcp_internal.touch_users(array_agg(user_id), array_agg(happened)),
            bcp_internal.touch_sessions(array_agg(row(
                session_id, user_id, client_name, null, null, null, happened, happened, null, 0, 0, null, resolved_by,
                null
            )::bcp.user_sessions order by n)),
            bcp_internal.touch_issues(array_agg(row(
                fingerprint, happened, happened, 1, level, message, error_type, bcp_name, tool_name
            )::bcp.error_issues order by n)),
            bcp_internal.note_names('error', array_agg(fingerprint))
        from placed
    )
    select count(*) into v_stored from placed, touched;
    return v_stored;
end
$func$;

comment on function bcp_internal.store_errors(jsonb[]) is
    'Masks, groups and stores errors whose shape is right, and returns how many were new; raises an error where one '
    'cannot be stored.';

create or replace function bcp.ingest_errors(
    p_batch_id uuid, p_events jsonb, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest('errors', p_batch_id, p_events, p_source)
$func$;

comment on function bcp.ingest_errors(uuid, jsonb, text) is
    'Takes in an array of errors; batch ids, event ids, bad values, the ledger and p_source work as in '
    'bcp.ingest_tool_usage.';

grant execute on function bcp.ingest_errors(uuid, jsonb, text) to bcp_writer;

create or replace function bcp.ingest_errors(
    p_batch_id uuid, p_events_text text, p_source text default null,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language sql volatile
-- The writer role may insert into no table, so that nothing gets round the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select * from bcp_internal.ingest_text('errors', p_batch_id, p_events_text, p_source)
$func$;

comment on function bcp.ingest_errors(uuid, text, text) is
    'Takes in an array of errors as text: an event that jsonb cannot hold is repaired instead of failing the call.';

grant execute on function bcp.ingest_errors(uuid, text, text) to bcp_writer;
