-- Questions about single calls and errors. They read raw rows within a range.

create or replace function bcp_internal.calls(p_since timestamptz, p_until timestamptz, p_filters jsonb)
returns setof bcp.tool_usage_logs
language sql stable parallel safe
-- No search_path: a function that sets one is not inlined, and then a limit or an index would come too late. Every name
-- is qualified instead. In a custom plan the filters are a constant, so only the conditions that filter something
-- remain.
as $func$
    select l.*
    from bcp.tool_usage_logs l
    where l.start_time operator(pg_catalog.>=) p_since
      and l.start_time operator(pg_catalog.<) p_until
      and (p_filters operator(pg_catalog.?|) '{operation,event_id}' or l.operation operator(pg_catalog.<>) 'tools/list')
      and (p_filters operator(pg_catalog.->>) 'bcp_name' is null
          or l.bcp_name operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'bcp_name'))
      and (p_filters operator(pg_catalog.->>) 'tool_name' is null
          or l.tool_name operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'tool_name'))
      and (p_filters operator(pg_catalog.->>) 'operation' is null
          or l.operation operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'operation'))
      and (p_filters operator(pg_catalog.->>) 'user_id' is null
          or l.user_id operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'user_id')
          or p_filters operator(pg_catalog.@>) '{"user_id": ""}' and l.user_id is null)
      and (p_filters operator(pg_catalog.->>) 'session_id' is null
          or l.session_id operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'session_id')
          or p_filters operator(pg_catalog.@>) '{"session_id": ""}' and l.session_id is null)
      and (p_filters operator(pg_catalog.->>) 'client_name' is null
          or l.client_name operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'client_name')
          or p_filters operator(pg_catalog.@>) '{"client_name": ""}' and l.client_name is null)
      and (p_filters operator(pg_catalog.->>) 'client_version' is null
          or l.client_version operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'client_version')
          or p_filters operator(pg_catalog.@>) '{"client_version": ""}' and l.client_version is null)
      and (p_filters operator(pg_catalog.->>) 'client_model' is null
          or l.client_model operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'client_model')
          or p_filters operator(pg_catalog.@>) '{"client_model": ""}' and l.client_model is null)
      and (p_filters operator(pg_catalog.->>) 'release' is null
          or l.release operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'release')
          or p_filters operator(pg_catalog.@>) '{"release": ""}' and l.release is null)
      and (p_filters operator(pg_catalog.->>) 'event_id' is null
          or l.event_id operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'event_id')::pg_catalog.uuid)
      and (p_filters operator(pg_catalog.->>) 'outcome' is null
          or l.outcome operator(pg_catalog.=) (p_filters operator(pg_catalog.->>) 'outcome'))
      and (not p_filters operator(pg_catalog.@>) '{"failed": true}' or not l.success)
      and (not p_filters operator(pg_catalog.@>) '{"failed": false}' or l.success is not false)
$func$;

comment on function bcp_internal.calls is
    'Raw calls that began within [p_since, p_until) and pass the filters of bcp_internal.filters, as with '
    'bcp_internal.call_filter. A list of tools is no call, so it passes only if the filters name an operation or an '
    'event.';

grant execute on function bcp_internal.calls to bcp_reader;

create or replace function bcp.failed_calls(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null, p_operation text default null, p_user_id text default null,
    p_session_id text default null, p_client_name text default null, p_outcome text default null,
    p_limit integer default 50,
    p_client_version text default null, p_client_model text default null, p_release text default null)
returns table (
    start_time timestamptz, bcp_name text, tool_name text, operation text, outcome text, error_type text,
    error_message text, duration_ms double precision, parameters jsonb, user_id text, session_id text,
    client_name text, request_id text, trace_id text, event_id uuid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The best plan depends on the range: on the chunks in it, and whether they are in the columnstore.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_left integer := bcp_internal.checked_limit(p_limit);
    v_found integer;
    v_span record;
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome, true,
        p_client_version, p_client_model, p_release);
begin
    for v_span in select * from bcp_internal.latest_first(v_range.range_from, v_range.range_to) loop
        return query
        select l.start_time, l.bcp_name, l.tool_name, l.operation, l.outcome, l.error_type, l.error_message,
            l.duration_ms,
               l.parameters, l.user_id, l.session_id, l.client_name, l.request_id, l.trace_id, l.event_id
        from bcp_internal.calls(v_span.range_from, v_span.range_to, v_filters) l
        order by l.start_time desc, l.event_id
        limit v_left;
        get diagnostics v_found = row_count;
        v_left := v_left - v_found;
        exit when v_left = 0;
    end loop;
end
$func$;

comment on function bcp.failed_calls is
    'Which calls failed, and with what arguments? One row per call whose success is false, latest first, at most '
    'p_limit (1 to 10000). Reads an index of failed calls; chunks in the columnstore have no such index, so there it '
    'reads the success of all calls. The range is [p_since, p_until), the last 24 hours by default.';

grant execute on function bcp.failed_calls to bcp_reader;

create or replace function bcp.search_parameters(
    p_contains jsonb default null, p_path text default null, p_since timestamptz default null,
    p_until timestamptz default null, p_bcp_name text default null, p_tool_name text default null,
    p_operation text default null, p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_outcome text default null, p_limit integer default 50,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    start_time timestamptz, bcp_name text, tool_name text, operation text, outcome text, duration_ms double precision,
    parameters jsonb, user_id text, session_id text, client_name text, request_id text, event_id uuid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
-- Compiling takes longer than running.
set jit = off
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_left integer := bcp_internal.checked_limit(p_limit);
    v_found integer;
    v_span record;
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome, p_failed,
        p_client_version, p_client_model, p_release);
    v_path jsonpath;
    v_predicate jsonpath;
begin
    begin
        v_path := p_path::jsonpath;
    exception
        when syntax_error or data_exception or feature_not_supported then
            raise exception using
                errcode = 'ZB002', message = 'p_path is not a JSON path', detail = sqlerrm,
                hint = 'Try $.path, $.items[*] ? (@.price > 10), or $.path starts with "/etc".';
    end;
    -- $.a == 1 is a predicate: it always has a value, so @? would find every row.
    if jsonb_typeof(jsonb_path_query_first('{}', v_path, silent => true)) in ('boolean', 'null') then
        v_predicate := v_path;
        v_path := null;
    end if;
    for v_span in select * from bcp_internal.spans_of_parameters(v_range.range_from, v_range.range_to, p_contains) loop
        return query
        select l.start_time, l.bcp_name, l.tool_name, l.operation, l.outcome, l.duration_ms, l.parameters, l.user_id,
               l.session_id, l.client_name, l.request_id, l.event_id
        from bcp_internal.calls(v_span.range_from, v_span.range_to, v_filters) l
        where (v_span.bcp_names is null or l.bcp_name = any (v_span.bcp_names))
          and (p_contains is null or l.parameters @> p_contains)
          and (v_path is null or l.parameters @? v_path)
          and (v_predicate is null or l.parameters @@ v_predicate)
        order by l.start_time desc, l.event_id
        limit v_left;
        get diagnostics v_found = row_count;
        v_left := v_left - v_found;
        exit when v_left = 0;
    end loop;
end
$func$;

comment on function bcp.search_parameters is
    'Which calls were made with these arguments? One row per call whose parameters contain p_contains (as @>) and have '
    'what the JSON path p_path looks for (as @?, or as @@ if it is a predicate), latest first, at most p_limit (1 to '
    '10000). Values are as stored: masked. Reads the GIN index on parameters where there is one. Chunks in the '
    'columnstore have none, and neither has a store with the setting index_parameters off: there it reads the '
    'parameters of the bundles that have the keys of p_contains, or without p_contains those of all. A call that comes '
    'late for a day that is aggregated is found once the transaction that sent it has committed. The range is '
    '[p_since, p_until), the last 24 hours by default.';

grant execute on function bcp.search_parameters to bcp_reader;

create or replace function bcp_internal.checked_event_range(
    p_since timestamptz, p_until timestamptz, p_event_id text, out range_from timestamptz, out range_to timestamptz)
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select r.range_from, r.range_to
    from bcp_internal.checked_range(
        coalesce(p_since, case when p_event_id is not null then '-infinity'::timestamptz end),
        coalesce(p_until, case when p_event_id is not null then 'infinity'::timestamptz end)) r
$func$;

comment on function bcp_internal.checked_event_range is
    'As bcp_internal.checked_range, but by default all time if p_event_id is given: somebody who has the id of an '
    'event need not know its time.';

grant execute on function bcp_internal.checked_event_range to bcp_reader;

create or replace function bcp.find_calls(
    p_since timestamptz default null, p_until timestamptz default null, p_event_id text default null,
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_user_id text default null, p_session_id text default null, p_client_name text default null,
    p_outcome text default null, p_failed boolean default null, p_client_version text default null,
    p_client_model text default null, p_release text default null, p_limit integer default 50,
    p_after uuid default null, p_intent text default null)
returns table (
    start_time timestamptz, bcp_name text, tool_name text, operation text, outcome text, error_type text,
    error_message text, duration_ms double precision, parameters jsonb, request_bytes bigint, response_bytes bigint,
    user_id text, session_id text, client_name text, client_version text, client_model text, release text,
    request_id text, trace_id text, event_id uuid, intent text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
-- Compiling takes longer than running.
set jit = off
as $func$
declare
    v_range record := bcp_internal.checked_event_range(p_since, p_until, p_event_id);
    v_left integer := bcp_internal.checked_limit(p_limit);
    v_found integer;
    v_span record;
    v_words constant text := bcp_internal.intent_words(p_intent);
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome, p_failed,
        p_client_version, p_client_model, p_release, p_event_id);
begin
    for v_span in
        select range_from, range_to
        from bcp_internal.spans_of_calls(
            v_range.range_from,
            -- Calls of one time are listed by their ids, so the next page may begin within that time.
            v_range.range_to + case when p_after is null then interval '0' else interval '1 microsecond' end,
            p_event_id)
    loop
        return query
        select l.start_time, l.bcp_name, l.tool_name, l.operation, l.outcome, l.error_type, l.error_message,
               l.duration_ms, l.parameters, l.request_bytes, l.response_bytes, l.user_id, l.session_id, l.client_name,
               l.client_version,
               l.client_model, l.release, l.request_id, l.trace_id, l.event_id, l.intent
        from bcp_internal.calls(v_span.range_from, v_span.range_to, v_filters) l
        where (p_after is null or l.start_time < v_range.range_to or l.event_id > p_after)
          and (v_words is null
              -- Most calls say no intent, and comparing words takes long.
              or (l.intent is null) = (v_words = '')
                  and (l.intent is null or bcp_internal.intent_words(l.intent) = v_words)
                  and (p_tool_name is not null or l.tool_name <> 'get_more_tools'))
        -- The call of one id is found faster where TimescaleDB does not keep the order of the columnstore for it: then
        -- it compares whole columns, and not row by row.
        order by case when p_event_id is null then l.start_time else greatest(l.start_time, '-infinity') end desc,
                 l.event_id
        limit v_left;
        get diagnostics v_found = row_count;
        v_left := v_left - v_found;
        exit when v_left = 0;
    end loop;
end
$func$;

comment on function bcp.find_calls is
    'Which calls were there? One row per call, latest first, at most p_limit (1 to 10000): the calls of a user '
    '(p_user_id, as it is stored), a session, a model or a release, or the one call to which its sender gave '
    'p_event_id, any text or a UUID. An empty text finds the calls that name none: p_release => '''' those without a '
    'release. p_failed true finds calls whose success is false; p_failed false finds all '
    'others: succeeded, cancelled or unknown. intent is why the agent called, where it said so. p_intent finds the '
    'calls that bcp.intents counts as one: of the same words as this intent, as it is stored. An empty p_intent finds '
    'calls without one, and p_tool_name get_more_tools what bcp.missing_tools counts. For the next page give '
    'start_time of the last row as p_until, and its event_id as p_after. Reads the calls of the range '
    '[p_since, p_until): the last 24 hours by default, or with p_event_id all time, of which it reads the hours in '
    'which bcp.call_ids_1h may have the id. A call that comes late for an hour that is aggregated is found by its id '
    'once the transaction that sent it has committed.';

grant execute on function bcp.find_calls to bcp_reader;

create or replace function bcp.search_errors(
    p_query text default null, p_since timestamptz default null, p_until timestamptz default null,
    p_level bcp.error_level_enum default null, p_bcp_name text default null, p_tool_name text default null,
    p_operation text default null, p_user_id text default null, p_session_id text default null,
    p_limit integer default 50, p_release text default null, p_event_id text default null)
returns table (
    happened_at timestamptz, rank real, level bcp.error_level_enum, error_type text, error_code text, headline text,
    message text, bcp_name text, tool_name text, operation text, user_id text, session_id text, request_id text,
    trace_id text, release text, fingerprint text, event_id uuid)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v_range record := bcp_internal.checked_event_range(p_since, p_until, p_event_id);
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
    v_event_id constant uuid := bcp_internal.event_uuid(p_event_id);
    v_query constant tsquery := websearch_to_tsquery('pg_catalog.english', p_query);
begin
    if numnode(v_query) = 0 then
        raise exception using
            errcode = 'ZB002', message = 'p_query has no word to search for',
            hint = 'Words such as "the" are not indexed. Try: "connection refused" or timeout -retry;'
                ' null finds every error.';
    end if;
    return query
    select f."timestamp" as happened_at, f.rank, f.level, f.error_type, f.error_code,
           ts_headline('pg_catalog.english', f.message, v_query, 'StartSel=**, StopSel=**, MaxFragments=2'),
           f.message, f.bcp_name, f.tool_name, f.operation, f.user_id, f.session_id, f.request_id, f.trace_id,
           f.release,
           f.fingerprint, f.event_id
    from (
        select l.*, coalesce(ts_rank(t.terms, v_query), 0) as rank
        from bcp.error_logs l
        cross join lateral (values (to_tsvector(
            'pg_catalog.english',
            l.message || ' ' || coalesce(l.error_type, '') || ' ' || coalesce(l.error_code, '') || ' '
                || coalesce(l.tool_name, '')
                || ' ' || coalesce(regexp_replace(l.error_type, '(?<=[a-z0-9])(?=[A-Z])', ' ', 'g'), '')))) as t (terms)
        where l."timestamp" >= v_range.range_from
          and l."timestamp" < v_range.range_to
          and (v_query is null or t.terms @@ v_query)
          and (p_level is null or l.level = p_level)
          and (p_bcp_name is null or l.bcp_name = p_bcp_name or p_bcp_name = '' and l.bcp_name is null)
          and (p_tool_name is null or l.tool_name = p_tool_name or p_tool_name = '' and l.tool_name is null)
          and (p_operation is null or l.operation = p_operation or p_operation = '' and l.operation is null)
          and (p_user_id is null or l.user_id = p_user_id or p_user_id = '' and l.user_id is null)
          and (p_session_id is null or l.session_id = p_session_id or p_session_id = '' and l.session_id is null)
          and (p_release is null or l.release = p_release or p_release = '' and l.release is null)
          and (v_event_id is null or l.event_id = v_event_id)
        order by rank desc, l."timestamp" desc, l.event_id
        limit v_limit
    ) f
    order by f.rank desc, f."timestamp" desc, f.event_id;
end
$func$;

comment on function bcp.search_errors is
    'Which errors say this? One row per error whose message, type, code or tool name matches p_query, best match first '
    '(ts_rank), then latest; at most p_limit (1 to 10000). A type matches by its words too: TimeoutError by timeout. '
    'p_query is as in a web search: words that must all be there in any form, "a phrase", or, -without; null finds all '
    'errors. headline is the best part of the message with ** around each match, null without p_query; it is not '
    'escaped for HTML. Reads a full-text index; chunks in the columnstore have none, so there it reads the messages of '
    'the whole range. p_event_id is the id that the sender gave, any text or a UUID. The range is [p_since, p_until), '
    'the last 24 hours by default, or with p_event_id all time.';

grant execute on function bcp.search_errors to bcp_reader;
