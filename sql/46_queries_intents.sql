-- Questions about why agents called, what they looked for in vain, and how their tools changed.

create or replace function bcp_internal.intent_words(p_intent text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Only the words that carry meaning, in any form and order: "find the invoices" and "Finding an invoice" are one.
    -- Masked values and numbers differ from call to call.
    select coalesce(
        (select string_agg(w.lexeme, ' ' order by w.lexeme)
         from unnest(to_tsvector(
             'pg_catalog.english', regexp_replace(left(p_intent, 2000), '\S*[#\d\[\]]\S*', ' ', 'g'))) as w),
        lower(btrim(p_intent)))
$func$;

comment on function bcp_internal.intent_words is
    'What intents are grouped by: their words in English, without endings, words of no meaning, numbers and masked '
    'values, in alphabetical order. Where none is left, or it is of another language, the intent in lower case.';

grant execute on function bcp_internal.intent_words to bcp_reader;

create or replace function bcp.intents(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null, p_client_name text default null, p_limit integer default 50,
    p_client_version text default null, p_client_model text default null, p_release text default null)
returns table (
    intent text, call_count bigint, success_rate double precision, session_count bigint, tool_count bigint,
    bcp_name text, tool_name text, first_seen timestamptz, last_seen timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.slow_calls.
set plan_cache_mode = force_custom_plan
as $func$
begin
    return query
    with calls as materialized (
        select c.*, bcp_internal.intent_words(c.intent) as words
        from bcp_internal.checked_range(p_since, p_until) r
        cross join lateral bcp_internal.calls(
            r.range_from, r.range_to,
            bcp_internal.filters(
                p_bcp_name, p_tool_name, p_client_name => p_client_name, p_client_version => p_client_version,
                p_client_model => p_client_model, p_release => p_release)) c
        where c.intent is not null and c.tool_name <> 'get_more_tools'
    )
    select
        (array_agg(c.intent order by c.start_time desc, c.event_id desc))[1], count(*),
        count(*) filter (where c.success)::double precision / nullif(count(c.success), 0)::double precision,
        count(distinct c.session_id), count(distinct (c.bcp_name, c.tool_name)),
        mode() within group (order by c.bcp_name), mode() within group (order by c.tool_name),
        min(c.start_time), max(c.start_time)
    from calls c
    group by c.words
    order by count(*) desc, max(c.start_time) desc, c.words
    limit bcp_internal.checked_limit(p_limit);
end
$func$;

comment on function bcp.intents is
    'Why do agents call? One row per intent, most calls first, at most p_limit (1 to 10000). Intents of the same '
    'words, in any form and order, are one; intent is its latest wording, masked. success_rate is the share of '
    'successes among the calls that say whether they succeeded, from 0 to 1, null if there are none. tool_count '
    'counts the tools that were called for it; bcp_name and tool_name are those called most. Calls without an intent '
    'are left out, and so is what agents looked for in vain: see bcp.missing_tools. Reads the calls of the '
    'range [p_since, p_until), the last 24 hours by default.';

grant execute on function bcp.intents to bcp_reader;

create or replace function bcp.missing_tools(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_client_name text default null, p_limit integer default 50, p_client_version text default null,
    p_client_model text default null, p_release text default null)
returns table (
    intent text, bcp_name text, request_count bigint, session_count bigint, first_seen timestamptz,
    last_seen timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.slow_calls.
set plan_cache_mode = force_custom_plan
as $func$
begin
    return query
    with calls as materialized (
        select c.*, bcp_internal.intent_words(c.intent) as words
        from bcp_internal.checked_range(p_since, p_until) r
        cross join lateral bcp_internal.calls(
            r.range_from, r.range_to,
            bcp_internal.filters(
                p_bcp_name, 'get_more_tools', p_client_name => p_client_name, p_client_version => p_client_version,
                p_client_model => p_client_model, p_release => p_release)) c
    )
    select
        (array_agg(c.intent order by c.start_time desc, c.event_id desc))[1], c.bcp_name, count(*),
        count(distinct c.session_id), min(c.start_time), max(c.start_time)
    from calls c
    group by c.bcp_name, c.words
    order by count(*) desc, max(c.start_time) desc, c.bcp_name, c.words
    limit bcp_internal.checked_limit(p_limit);
end
$func$;

comment on function bcp.missing_tools is
    'Which tools do agents miss? One row per bundle and wish, most frequent first, at most p_limit (1 to 10000). A '
    'wish is the intent of a call of get_more_tools, which proxy and middleware add to a server where they are told '
    'to; wishes of the same words are one, and null is a wish that was not said. Reads the calls of the range '
    '[p_since, p_until), the last 24 hours by default.';

grant execute on function bcp.missing_tools to bcp_reader;

create or replace function bcp_internal.tool_definitions(p_since timestamptz, p_until timestamptz, p_bcp_name text)
returns table (
    bcp_name text, tool_name text, digest text, description text, input_schema jsonb, context_bytes bigint,
    first_seen timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.slow_calls.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v_filters constant jsonb := bcp_internal.filters(p_bcp_name, 'tools/definition', 'tools/list');
begin
    return query
    select distinct on (d.bcp_name, d.name, d.digest)
        d.bcp_name, d.name, d.digest, d.doc ->> 'description', d.doc -> 'inputSchema',
        jsonb_path_query_first(d.doc, '$.bytes ? (@ >= 0 && @ <= 1099511627776)')::bigint, d.start_time
    from (
        select l.bcp_name, l.attributes ->> 'defines' as name, l.attributes ->> 'digest' as digest,
            l.response_data as doc, l.start_time
        from bcp_internal.calls(p_since, p_until, v_filters) l
    ) as d
    where d.name is not null and d.digest is not null
    order by d.bcp_name, d.name, d.digest, d.start_time;
end
$func$;

comment on function bcp_internal.tool_definitions is
    'The definitions of tools that lists of the range had, each where it was seen first. A recorder sends each at most '
    'once a day, as a row with operation tools/list and tool_name tools/definition.';

grant execute on function bcp_internal.tool_definitions to bcp_reader;

create or replace function bcp_internal.removed_tools(p_since timestamptz, p_until timestamptz, p_bcp_name text)
returns table (bcp_name text, tool_name text, digest text, removed_at timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.slow_calls.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v_filters constant jsonb := bcp_internal.filters(p_bcp_name, 'tools/list', 'tools/list');
begin
    return query
    with lists as materialized (
        -- Most lists of a bundle are the same, so names are looked for in each of them once.
        select
            l.bcp_name, l.start_time, l.response_data as doc,
            dense_rank() over (order by l.bcp_name, md5(l.response_data::text)) as list,
            -- A page of a list, or one that was cut, does not say what is missing.
            l.attributes ->> 'more' = 'false' and (l.parameters ? 'cursor') is not true
                and jsonb_typeof(l.response_data -> 'tools') = 'array'
                and jsonb_array_length(case jsonb_typeof(l.response_data -> 'tools')
                    when 'array' then l.response_data -> 'tools' else '[]' end)::text = l.attributes ->> 'tool_count'
                as is_whole
        from bcp_internal.calls(p_since, p_until, v_filters) l
    ), names as materialized (
        select distinct d.bcp_name, d.list, t.tool ->> 'name' as name, t.tool ->> 'digest' as digest
        from (select distinct on (l.list) l.list, l.bcp_name, l.doc from lists l order by l.list) d
        cross join lateral jsonb_path_query(d.doc, '$.tools[*] ? (@.name.type() == "string")') as t (tool)
    ), times as materialized (
        select l.bcp_name, l.list, min(l.start_time) as first, max(l.start_time) as last
        from lists l
        group by l.bcp_name, l.list
    ), listed as materialized (
        select
            n.bcp_name, n.name, min(t.first) as first, max(t.last) as last,
            (array_agg(n.digest order by t.last desc))[1] as digest
        from names n
        join times t using (bcp_name, list)
        group by n.bcp_name, n.name
    ), gone as materialized (
        select g.*
        from listed g
        where exists (select from lists l where l.bcp_name = g.bcp_name and l.is_whole and l.start_time > g.last)
        order by g.last desc, g.bcp_name, g.name
        limit 1000
    )
    select g.bcp_name, g.name, g.digest, min(l.start_time) filter (where l.start_time > g.last)
    from gone g
    join lists l on l.bcp_name = g.bcp_name and l.is_whole and l.start_time > g.first
    where not exists (select from names n where n.list = l.list and n.name = g.name)
    group by g.bcp_name, g.name, g.digest, g.last
    -- If some lists had it and others had not, it depends on who asks.
    having min(l.start_time) > g.last;
end
$func$;

comment on function bcp_internal.removed_tools is
    'Tools that lists of a range had and, from removed_at on, no list has any more. Where a list lacked the tool '
    'before another one had it, lists differ by who asks, and nothing is said. Only lists that came whole, in one '
    'answer, say that a tool is missing. digest is that of the last definition.';

grant execute on function bcp_internal.removed_tools to bcp_reader;

create or replace function bcp.tool_changes(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null, p_window interval default '1 day', p_limit integer default 20)
returns table (
    changed_at timestamptz, bcp_name text, tool_name text, change text, description text, previous_description text,
    input_schema jsonb, previous_input_schema jsonb, context_bytes bigint, previous_context_bytes bigint,
    call_count bigint, previous_call_count bigint, success_rate double precision,
    previous_success_rate double precision, p95_duration_ms double precision, previous_p95_duration_ms double precision,
    avg_response_bytes double precision, previous_avg_response_bytes double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- A custom plan, as in bcp.slow_calls.
set plan_cache_mode = force_custom_plan
as $func$
begin
    if p_window is null or p_window <= interval '0' or p_window > interval '31 days' then
        raise exception using
            errcode = 'ZB002', message = 'p_window is not more than 0 and at most 31 days',
            hint = 'Try 1 day.';
    end if;
    return query
    with asked as materialized (
        select * from bcp_internal.checked_range(p_since, p_until)
    ), seen as materialized (
        select
            d.*,
            lag(d.digest) over w as old_digest, lag(d.description) over w as old_description,
            lag(d.input_schema) over w as old_schema, lag(d.context_bytes) over w as old_bytes
        from asked r
        -- A tool that is in use is listed within a week.
        cross join lateral bcp_internal.tool_definitions(r.range_from - interval '7 days', r.range_to, p_bcp_name) d
        where p_tool_name is null or d.tool_name = p_tool_name
        window w as (partition by d.bcp_name, d.tool_name order by d.first_seen, d.digest)
    ), changes as materialized (
        select s.*
        from asked r
        join seen s on s.first_seen >= r.range_from
        union all
        select
            g.bcp_name, g.tool_name, null, null, null, null, g.removed_at, g.digest, d.description, d.input_schema,
            d.context_bytes
        from asked r
        cross join lateral bcp_internal.removed_tools(r.range_from - interval '7 days', r.range_to, p_bcp_name) g
        left join seen d using (bcp_name, tool_name, digest)
        where g.removed_at >= r.range_from and (p_tool_name is null or g.tool_name = p_tool_name)
        order by first_seen desc, bcp_name, tool_name, digest
        limit bcp_internal.checked_limit(p_limit)
    )
    select
        c.first_seen, c.bcp_name, c.tool_name,
        case
            when c.digest is null then 'removed'
            when c.old_digest is null then 'added'
            when c.description is distinct from c.old_description
                and c.input_schema is distinct from c.old_schema then 'both'
            when c.description is distinct from c.old_description then 'description'
            else 'schema'
        end,
        c.description, c.old_description, c.input_schema, c.old_schema, c.context_bytes, c.old_bytes,
        a.calls, b.calls, a.rate, b.rate, a.p95, b.p95, a.bytes, b.bytes
    from changes c
    cross join lateral bcp_internal.figures_of_tool(c.bcp_name, c.tool_name, c.first_seen, c.first_seen + p_window) a
    cross join lateral bcp_internal.figures_of_tool(c.bcp_name, c.tool_name, c.first_seen - p_window, c.first_seen) b
    order by c.first_seen desc, c.bcp_name, c.tool_name, c.digest;
end
$func$;

comment on function bcp.tool_changes is
    'What changed in the tools themselves, and what did it do? One row per new definition of a tool that a list of the '
    'range had, and per tool that lists had and then had no more, latest first, at most p_limit (1 to 10000). change '
    'is added where none was seen in the week before the range, removed where lists that came in one answer lack the '
    'tool, else description, schema or both. Where lists differ by who asks, no tool is said to be removed. '
    'call_count, success_rate (from 0 to 1, null if no call says), p95_duration_ms and avg_response_bytes are of the '
    'p_window (at most 31 days) after the change, those that begin with previous_ of as long before it. context_bytes '
    'is what the definition takes of the model''s context. Descriptions and schemas are masked like any answer. The '
    'proxy and the middleware record definitions, each once a day. Reads these, and the calls of the changed tools. '
    'The range is [p_since, p_until), the last 24 hours by '
    'default. ZB002 if p_window is out of its bounds.';

grant execute on function bcp.tool_changes to bcp_reader;

create or replace function bcp_internal.figures_of_tool(
    p_bcp_name text, p_tool_name text, p_since timestamptz, p_until timestamptz,
    out calls bigint, out rate double precision, out p95 double precision, out bytes double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select
        count(*), count(*) filter (where l.success)::double precision / nullif(count(l.success), 0)::double precision,
        percentile_disc(0.95) within group (order by l.duration_ms), avg(l.response_bytes)::double precision
    from bcp_internal.calls(p_since, p_until, bcp_internal.filters(p_bcp_name, p_tool_name)) l
$func$;

comment on function bcp_internal.figures_of_tool is
    'Calls, success, 95th percentile of the duration in milliseconds and mean size of answers of one tool in a range.';

grant execute on function bcp_internal.figures_of_tool to bcp_reader;
