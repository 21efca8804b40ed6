-- Questions that compare tools: with the period before, with the tools that are listed, and by what they cost.

create or replace function bcp.tool_trends(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null, p_operation text default null,
    p_user_id text default null, p_session_id text default null, p_client_name text default null,
    p_outcome text default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null, p_order text default 'calls')
returns table (
    bcp_name text, tool_name text, call_count bigint, previous_call_count bigint, call_change double precision,
    success_rate double precision, previous_success_rate double precision, avg_duration_ms double precision,
    previous_avg_duration_ms double precision, p50_duration_ms double precision,
    previous_p50_duration_ms double precision, p50_change double precision, p95_duration_ms double precision,
    previous_p95_duration_ms double precision, p95_change double precision, p99_duration_ms double precision,
    previous_p99_duration_ms double precision, p99_change double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with asked as materialized (
        select r.range_from, r.range_to, bcp_internal.period_before(r.range_from, r.range_to) as before,
               bcp_internal.checked_choice(
                   'p_order', coalesce(p_order, ''),
                   '{calls,call_change,success_rate,p50_change,p95_change,p99_change}') as by
        from bcp_internal.checked_range(p_since, p_until) r
    ), present as (
        select s.*
        from asked a
        cross join lateral bcp.tool_usage_stats(
            p_since => a.range_from, p_until => a.range_to, p_interval => null, p_bcp_name => p_bcp_name,
            p_tool_name => p_tool_name, p_operation => p_operation,
            p_user_id => p_user_id, p_session_id => p_session_id, p_client_name => p_client_name,
            p_outcome => p_outcome,
            p_failed => p_failed, p_client_version => p_client_version, p_client_model => p_client_model,
            p_release => p_release) s
    ), past as (
        select s.*
        from asked a
        cross join lateral bcp.tool_usage_stats(
            p_since => a.before, p_until => a.range_from, p_interval => null, p_bcp_name => p_bcp_name,
            p_tool_name => p_tool_name, p_operation => p_operation,
            p_user_id => p_user_id, p_session_id => p_session_id, p_client_name => p_client_name,
            p_outcome => p_outcome,
            p_failed => p_failed, p_client_version => p_client_version, p_client_model => p_client_model,
            p_release => p_release) s
    ), compared as (
        select
            bcp_name, tool_name, coalesce(n.call_count, 0) as calls, coalesce(o.call_count, 0) as calls_before,
            bcp_internal.relative_change(coalesce(n.call_count, 0), coalesce(o.call_count, 0)) as call_change,
            n.success_rate, o.success_rate as success_rate_before, n.avg_duration_ms, o.avg_duration_ms as avg_before,
            n.p50_duration_ms as p50, o.p50_duration_ms as p50_before,
            bcp_internal.relative_change(n.p50_duration_ms, o.p50_duration_ms) as p50_change, n.p95_duration_ms as p95,
            o.p95_duration_ms as p95_before,
            bcp_internal.relative_change(n.p95_duration_ms, o.p95_duration_ms) as p95_change,
            n.p99_duration_ms as p99, o.p99_duration_ms as p99_before,
            bcp_internal.relative_change(n.p99_duration_ms, o.p99_duration_ms) as p99_change
        from present n
        full join past o using (bcp_name, tool_name)
    )
    select
        c.bcp_name, c.tool_name, c.calls, c.calls_before, c.call_change, c.success_rate, c.success_rate_before,
        c.avg_duration_ms, c.avg_before, c.p50, c.p50_before, c.p50_change, c.p95, c.p95_before, c.p95_change, c.p99,
        c.p99_before, c.p99_change
    from compared c
    cross join asked a
    order by
        case a.by
            when 'call_change' then c.call_change
            when 'success_rate' then c.success_rate_before - c.success_rate
            when 'p50_change' then c.p50_change
            when 'p95_change' then c.p95_change
            when 'p99_change' then c.p99_change
        end desc nulls last,
        greatest(c.calls, c.calls_before) desc, c.bcp_name, c.tool_name
$func$;

comment on function bcp.tool_trends is
    'What has changed? One row per tool that was called in the range, or in the period of the same length before it, '
    'most calls first. With p_order call_change, p50_change, p95_change or p99_change the largest increase comes '
    'first, with success_rate the largest fall; tools that cannot be compared come last. Columns of the period before '
    'begin with previous_. Changes are shares of the value before: 0.5 means half as much again, null if there was '
    'none. Percentiles are in milliseconds, within 1 percent of exact. Reads aggregates. The range is [p_since, '
    'p_until), the last 24 hours by default. Filters by user (for whole UTC days), by failure and by an outcome other '
    'than success are answered from aggregates, too; any other makes it read every raw row of both periods.';

grant execute on function bcp.tool_trends to bcp_reader;

create or replace function bcp_internal.tool_stats(
    p_since timestamptz, p_until timestamptz, p_filters jsonb, p_timed boolean)
returns table (
    time_bucket timestamptz, bcp_name text, tool_name text, call_count bigint, success_count bigint, error_count bigint,
    success_rate double precision, avg_duration_ms double precision, p50_duration_ms double precision,
    p95_duration_ms double precision, p99_duration_ms double precision, max_duration_ms double precision,
    request_bytes bigint, response_bytes bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_statement text;
begin
    foreach v_statement in array bcp_internal.tool_statements(p_since, p_until, null, 'UTC', p_filters, p_timed) loop
        return query execute bcp_internal.stats_statement(v_statement);
    end loop;
end
$func$;

comment on function bcp_internal.tool_stats is
    'As bcp.tool_usage_stats, one row per tool, without percentiles unless p_timed: of many tools these take most of '
    'the time.';

grant execute on function bcp_internal.tool_stats to bcp_reader;

create or replace function bcp_internal.compared_tools(
    p_since timestamptz, p_until timestamptz, p_filters jsonb, p_timed boolean, p_timed_before boolean)
returns table (
    bcp_name text, tool_name text, call_count bigint, error_count bigint, success_rate double precision,
    p50_duration_ms double precision, p95_duration_ms double precision, p99_duration_ms double precision,
    response_bytes bigint, previous_call_count bigint, call_change double precision,
    previous_success_rate double precision, previous_p95_duration_ms double precision, p95_change double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select
        bcp_name, tool_name, coalesce(n.call_count, 0), coalesce(n.error_count, 0), n.success_rate, n.p50_duration_ms,
        n.p95_duration_ms, n.p99_duration_ms, coalesce(n.response_bytes, 0), coalesce(o.call_count, 0),
        bcp_internal.relative_change(coalesce(n.call_count, 0), coalesce(o.call_count, 0)), o.success_rate,
        o.p95_duration_ms, bcp_internal.relative_change(n.p95_duration_ms, o.p95_duration_ms)
    from bcp_internal.tool_stats(p_since, p_until, p_filters, p_timed) n
    full join bcp_internal.tool_stats(
        bcp_internal.period_before(p_since, p_until), p_since, p_filters, p_timed_before) o
        using (bcp_name, tool_name)
$func$;

comment on function bcp_internal.compared_tools is
    'Tools of a range and of the period before, as bcp.tool_usage_stats and bcp.tool_trends have them, in any order. '
    'Percentiles are null unless p_timed, those of the period before unless p_timed_before: so whoever shows few of '
    'many tools asks for the percentiles of these alone.';

grant execute on function bcp_internal.compared_tools to bcp_reader;

create or replace function bcp_internal.tool_change_score(
    p_call_count bigint, p_previous_call_count bigint, p_p95 double precision, p_previous_p95 double precision,
    p_success_rate double precision, p_previous_success_rate double precision)
returns double precision
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case when p_call_count >= 20 and p_previous_call_count >= 20 then
        abs(ln(p_call_count::double precision / p_previous_call_count))
        + 2 * abs(coalesce(ln((1 + p_p95) / (1 + p_previous_p95)), 0))
        + 10 * abs(coalesce(p_success_rate - p_previous_success_rate, 0))
    end
$func$;

comment on function bcp_internal.tool_change_score is
    'How much a tool changed against the period before, for an order: ten points of success count as much as calls '
    'that grew 2.7 times, and p95 counts twice as much as calls. Null with fewer than 20 calls in either period, of '
    'which nothing can be said.';

grant execute on function bcp_internal.tool_change_score to bcp_reader;

create or replace function bcp_internal.listed_tools(p_since timestamptz, p_until timestamptz, p_bcp_name text)
returns table (
    bcp_name text, tool_name text, listings bigint, last_listed timestamptz, context_bytes bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- Compiling takes longer than running: at 3 million calls 1.2 of 1.4 s.
set jit = off
as $func$
declare
    v_scans text;
begin
    select string_agg(
        case r.relation
            -- A bundle may send any JSON as its list.
            when 'tool_usage_logs' then format(
                'select l.bcp_name, t.tool ->> ''name'' as tool_name, 1 as listings, l.start_time as last_listed,'
                ' jsonb_path_query_first(t.tool, ''$.bytes ? (@ >= 0 && @ <= 1099511627776)'')::bigint as context_bytes'
                ' from bcp.tool_usage_logs l'
                ' cross join lateral'
                ' jsonb_path_query(l.response_data, ''$.tools[*] ? (@.name.type() == "string")'') as t (tool)'
                ' where %s and l.operation = ''tools/list''', bcp_internal.within('start_time', r.ranges))
            else format(
                'select bcp_name, tool_name, listings, last_listed, context_bytes from bcp.%I where %s',
                r.relation, bcp_internal.within('bucket', r.ranges))
        end, ' union all ')
    into v_scans
    from bcp_internal.pieces('listed_tools', '{1d}', p_since, p_until) r;
    if v_scans is null then
        return;
    end if;
    return query execute format(
        'select s.bcp_name, s.tool_name, sum(s.listings)::bigint, max(s.last_listed),'
        ' (array_agg(s.context_bytes order by s.last_listed desc))[1]'
        ' from (%s) s where $1 is null or s.bcp_name = $1 group by 1, 2', v_scans)
    using p_bcp_name;
end
$func$;

comment on function bcp_internal.listed_tools is
    'Tools in the lists of a range, which are calls with the operation tools/list, and how many bytes of the model''s '
    'context each tool takes according to the latest list.';

grant execute on function bcp_internal.listed_tools to bcp_reader;

create or replace function bcp.unused_tools(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null)
returns table (
    bcp_name text, tool_name text, listing_count bigint, last_listed timestamptz, context_bytes bigint)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with asked as materialized (
        select * from bcp_internal.checked_range(p_since, p_until)
    ), called as materialized (
        -- Checked once: a subquery with the range in it would run for each tool of the lists.
        select c.bcp_name, c.tool_name
        from asked r
        cross join lateral bcp_internal.usage_cells(
            r.range_from, r.range_to, null, 'UTC', bcp_internal.filters(p_bcp_name)) c
    )
    select t.bcp_name, t.tool_name, t.listings, t.last_listed, t.context_bytes
    from asked r
    cross join lateral bcp_internal.listed_tools(r.range_from, r.range_to, p_bcp_name) t
    where not exists (select from called c where c.bcp_name = t.bcp_name and c.tool_name = t.tool_name)
    order by t.context_bytes desc nulls last, t.bcp_name, t.tool_name
$func$;

comment on function bcp.unused_tools is
    'Which tools are listed and never called? One row per tool that a list of the range named and that no call of the '
    'range used, most expensive first. context_bytes is how much of the model''s context its latest listing takes, as '
    'docs/reference/calls.md describes, null if that is not known. The proxy and the middleware record lists, with the '
    'operation tools/list. Reads aggregates of lists and of calls. The range is [p_since, p_until), the last 24 hours '
    'by default.';

grant execute on function bcp.unused_tools to bcp_reader;

create or replace function bcp.unknown_tools(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null)
returns table (
    bcp_name text, tool_name text, call_count bigint, success_count bigint, error_count bigint)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with asked as materialized (
        select * from bcp_internal.checked_range(p_since, p_until)
    ), listed as materialized (
        select t.bcp_name, t.tool_name
        from asked r
        cross join lateral bcp_internal.listed_tools(r.range_from, r.range_to, p_bcp_name) t
    )
    select c.bcp_name, c.tool_name, sum(c.calls)::bigint, sum(c.successes)::bigint, sum(c.errors)::bigint
    from asked r
    cross join lateral bcp_internal.usage_cells(
        r.range_from, r.range_to, null, 'UTC', bcp_internal.filters(p_bcp_name)) c
    where c.bcp_name in (select l.bcp_name from listed l)
      and not exists (select from listed l where l.bcp_name = c.bcp_name and l.tool_name = c.tool_name)
    group by 1, 2
    order by sum(c.calls) desc, 1, 2
$func$;

comment on function bcp.unknown_tools is
    'Which tools are called that no list names? One row per tool, most calls first: names that a model made up, or '
    'tools that were taken away. It looks only at bundles that listed any tool in the range. A tool with successes was '
    'on a page of the list that nobody asked for. Reads aggregates of lists and of calls. The range is [p_since, '
    'p_until), the last 24 hours by default.';

grant execute on function bcp.unknown_tools to bcp_reader;

create or replace function bcp.context_cost(
    p_since timestamptz default null, p_until timestamptz default null, p_by text default 'tool',
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_user_id text default null, p_session_id text default null, p_client_name text default null,
    p_outcome text default null, p_limit integer default 50, p_bytes_per_token double precision default null,
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    bcp_name text, tool_name text, session_id text, call_count bigint, response_bytes bigint,
    avg_response_bytes double precision, share double precision, tokens bigint, given_tokens bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
    v_by constant text := bcp_internal.checked_choice('p_by', coalesce(p_by, ''), '{tool,session}');
    v_bytes_per_token constant double precision := coalesce(
        p_bytes_per_token, bcp_internal.setting('bytes_per_token')::double precision);
    v_filters constant jsonb := bcp_internal.filters(
        p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome, p_failed,
        p_client_version, p_client_model, p_release);
begin
    if v_bytes_per_token not between 0.1 and 1000 then
        raise exception using
            errcode = 'ZB002',
            message = 'p_bytes_per_token is not from 0.1 to 1000',
            hint = 'Without it, the setting bytes_per_token counts.';
    end if;
    return query
    with cells as (
        select c.bcp_name, c.tool_name, null as session_id, c.calls, c.response_bytes, c.given_tokens, c.given_bytes
        from bcp_internal.usage_cells(
            -- Lists are no calls, but they fill the context too.
            v_range.range_from, v_range.range_to, null, 'UTC', v_filters, p_lists => true) c
        where v_by = 'tool'
        union all
        select null, null, c.id, c.calls, c.response_bytes, c.given_tokens, c.given_bytes
        from bcp_internal.activity_cells(
            'session', v_range.range_from, v_range.range_to, null, 'UTC', v_filters) c
        where v_by = 'session'
    )
    select
        c.bcp_name, c.tool_name, c.session_id, c.calls, c.bytes,
        c.bytes::double precision / nullif(c.calls, 0)::double precision,
        c.tokens / nullif(sum(c.tokens) over (), 0::double precision), least(round(c.tokens), 9e18)::bigint,
        least(c.given_tokens, 9e18)::bigint
    from (
        select
            s.bcp_name, s.tool_name, s.session_id, sum(s.calls)::bigint as calls,
            least(coalesce(sum(s.response_bytes), 0), 9e18)::bigint as bytes, sum(s.given_tokens) as given_tokens,
            sum(s.given_tokens)
                + greatest(sum(s.response_bytes)::double precision - sum(s.given_bytes), 0) / v_bytes_per_token
                as tokens
        from cells s
        group by 1, 2, 3
    ) c
    order by c.tokens desc, c.bytes desc, c.calls desc, 1, 2, 3
    limit v_limit;
end
$func$;

comment on function bcp.context_cost is
    'What fills the model''s context? One row per tool, or with p_by => ''session'' one row per session, most tokens '
    'first, at most p_limit (1 to 10000). tokens is the sum of the tokens that senders gave (response_tokens; '
    'given_tokens is their sum) and, for all other calls, of an estimate. share is of the tokens of everything that '
    'passes the filters, from 0 to 1, null if there are none. The estimate is the bytes of the answers divided by '
    'p_bytes_per_token, as measured for the model in use (0.1 to 1000). Its default is the setting bytes_per_token, 4 '
    'as OpenAI''s rule of thumb for English text (https://platform.openai.com/tokenizer); other text, and JSON, may '
    'take twice as many tokens. Lists of tools, which are no calls, count as the tool tools/list, or towards their '
    'session. Reads aggregates; a filter that these do not have makes it read the calls of the range. The range is '
    '[p_since, p_until), the last 24 hours by default.';

grant execute on function bcp.context_cost to bcp_reader;
