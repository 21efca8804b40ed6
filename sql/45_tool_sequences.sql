-- Which tool follows which in a session.

create or replace function bcp_internal.sequence_cells(
    p_since timestamptz, p_until timestamptz, p_filters jsonb)
returns table (
    bcp_name text, tool_name text, next_bcp_name text, next_tool_name text, pairs bigint, gap_ms double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- A custom plan, as in bcp.failed_calls.
set plan_cache_mode = force_custom_plan
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
as $func$
declare
    v_counted text;
    v_raw text;
    v_days text;
begin
    select
        string_agg(
            -- Not grouped by itself: the pairs of a day are so many that grouping them twice costs more than it saves.
            format(
                'select bcp_name, tool_name, next_bcp_name, next_tool_name, pairs, sum_gap_ms as gap_ms'
                ' from bcp.%I where %s union all ',
                r.relation, bcp_internal.within('bucket', r.ranges)), '')
            filter (where r.relation <> 'tool_usage_logs'),
        string_agg(
            format(
                'select %s as part, session_id, bcp_name, tool_name, start_time, end_time, event_id'
                ' from bcp.tool_usage_logs where %s and session_id is not null%s',
                r.part, bcp_internal.within('start_time', r.ranges),
                bcp_internal.call_filter(p_filters)), ' union all ')
            filter (where r.relation = 'tool_usage_logs'),
        coalesce(
            bcp_internal.within('bucket', range_agg(r.ranges) filter (where r.relation <> 'tool_usage_logs')), 'false')
    into v_counted, v_raw, v_days
    from bcp_internal.pieces(
        -- Aggregates have no other column than tools and sessions.
        'tool_pairs', case when p_filters = '{}' then '{1mo,1d}' else '{}' end::text[], p_since, p_until)
        with ordinality as r (relation, ranges, part);
    if coalesce(v_counted, v_raw) is null then
        return;
    end if;
    -- Days and stretches of raw rows are counted each by itself. What follows from one to another is added for the few
    -- sessions that are in more than one of them: there the last call of the one has a next.
    return query execute format(
        $query$
            with raw as materialized (
                select
                    part, session_id, bcp_name, tool_name, start_time, coalesce(end_time, start_time) as ended,
                    lead(bcp_name) over w as next_bcp, lead(tool_name) over w as next_tool,
                    lead(start_time) over w as next_start, row_number() over w = 1 as is_first
                from (%1$s) l
                -- Sorting is what takes the time. Hashes are compared first, and ids not by the rules of a language.
                window w as (
                    partition by part, hashtextextended(session_id, 0), session_id collate "C"
                    order by start_time, event_id)
            ), parted as materialized (
                -- Sorting hashes takes half as long as grouping ids, and offset 0 keeps the planner from grouping them
                -- unsorted. Two sessions of one hash do no harm, because what follows is looked for within a session.
                select hash
                from (
                    select hashtextextended(session_id, 0) as hash from bcp.session_steps_1d where %2$s
                    union all
                    select hashtextextended(session_id, 0) from raw where is_first
                    order by 1
                    offset 0
                ) x
                group by hash
                having count(*) > 1
            ), ends as (
                select session_id, first_bcp_name, first_tool_name, first_start, last_bcp_name, last_tool_name, last_end
                from bcp.session_steps_1d
                where %2$s and hashtextextended(session_id, 0) in (select hash from parted)
                union all
                select
                    session_id, max(bcp_name) filter (where is_first), max(tool_name) filter (where is_first),
                    min(start_time), max(bcp_name) filter (where next_start is null),
                    max(tool_name) filter (where next_start is null), max(ended) filter (where next_start is null)
                from raw
                where hashtextextended(session_id, 0) in (select hash from parted)
                group by part, session_id
            ), links as (
                select
                    last_bcp_name, last_tool_name, lead(first_bcp_name) over w as next_bcp,
                    lead(first_tool_name) over w as next_tool,
                    extract(epoch from lead(first_start) over w - last_end)::double precision * 1000 as gap_ms
                from ends
                window w as (partition by session_id order by first_start)
            )
            select bcp_name, tool_name, next_bcp_name, next_tool_name, sum(pairs)::bigint, sum(gap_ms)
            from (
                %3$s
                select bcp_name, tool_name, next_bcp as next_bcp_name, next_tool as next_tool_name, 1 as pairs,
                       extract(epoch from next_start - ended)::double precision * 1000 as gap_ms
                from raw
                union all
                select l.last_bcp_name, l.last_tool_name, x.bcp_name, x.tool_name, x.pairs, x.gap_ms
                from links l
                cross join lateral (values (l.next_bcp, l.next_tool, 1, l.gap_ms), (null, null, -1, null))
                    as x (bcp_name, tool_name, pairs, gap_ms)
                where l.next_tool is not null
            ) c
            group by 1, 2, 3, 4
            having sum(pairs) > 0
        $query$,
        coalesce(v_raw, 'select 0 as part, null as session_id, null as bcp_name, null as tool_name,'
            ' null::timestamptz as start_time, null::timestamptz as end_time, null::uuid as event_id where false'),
        v_days, v_counted);
end
$func$;

comment on function bcp_internal.sequence_cells is
    'Pairs of calls that follow each other in a session of a range, and the sum of the times between them. The next '
    'tool is null after the last call of a session. Days and months come from aggregates; with any filter all rows '
    'come from the raw table.';

grant execute on function bcp_internal.sequence_cells to bcp_reader;

create or replace function bcp.tool_sequences(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null, p_user_id text default null, p_session_id text default null,
    p_client_name text default null, p_limit integer default 50,
    p_client_version text default null, p_client_model text default null, p_release text default null)
returns table (
    bcp_name text, tool_name text, next_bcp_name text, next_tool_name text, pair_count bigint, share double precision,
    avg_gap_ms double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with cells as materialized (
        select c.*
        from bcp_internal.checked_range(p_since, p_until) r
        cross join lateral bcp_internal.sequence_cells(
            r.range_from, r.range_to,
            bcp_internal.filters(
                p_user_id => p_user_id, p_session_id => p_session_id, p_client_name => p_client_name,
                p_client_version => p_client_version, p_client_model => p_client_model, p_release => p_release)) c
        where (p_bcp_name is null or c.bcp_name = p_bcp_name)
          and (p_tool_name is null or c.tool_name = p_tool_name)
    ), tools as materialized (
        select bcp_name, tool_name, sum(pairs)::double precision as calls from cells group by 1, 2
    ), top as (
        select *
        from cells
        order by pairs desc, bcp_name, tool_name, next_bcp_name, next_tool_name
        limit bcp_internal.checked_limit(p_limit)
    )
    select
        c.bcp_name, c.tool_name, c.next_bcp_name, c.next_tool_name, c.pairs, c.pairs / t.calls,
        case when c.next_tool_name is not null then c.gap_ms / c.pairs end
    from top c
    join tools t using (bcp_name, tool_name)
    order by c.pairs desc, c.bcp_name, c.tool_name, c.next_bcp_name, c.next_tool_name
$func$;

comment on function bcp.tool_sequences is
    'Which tool follows which in a session? One row per pair of tools, most frequent first, at most p_limit (1 to '
    '10000); p_bcp_name and p_tool_name are the first of the two. The next tool is null if the call was the last of '
    'its session in the range. share is of the calls of the first tool, from 0 to 1. avg_gap_ms is the time from the '
    'end of the first call to the start of the next, negative if they overlap. Lists of tools are left out. Reads '
    'aggregates by day and month; with a user, a session, a client, a model or a release it reads the calls of the '
    'range. Of days whose calls retention has dropped, what followed from one day to the next is not known. The range '
    'is [p_since, p_until), the last 24 hours by default.';

grant execute on function bcp.tool_sequences to bcp_reader;
