-- Aggregates for questions that read every call until now: which tool follows which, and which tools are listed. They
-- are filled by the first refresh; until then raw rows answer.

-- One row per session and day, with its calls in order. From these the pairs are made, and the first and the last call
-- say what follows what from one day to another.
create materialized view bcp.session_steps_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day'
) as
select
    public.time_bucket(interval '1 day', start_time) as bucket,
    session_id,
    count(*) as calls,
    (array_agg(bcp_name order by start_time, event_id))[1] as first_bcp_name,
    (array_agg(tool_name order by start_time, event_id))[1] as first_tool_name,
    min(start_time) as first_start,
    (array_agg(bcp_name order by start_time desc, event_id desc))[1] as last_bcp_name,
    (array_agg(tool_name order by start_time desc, event_id desc))[1] as last_tool_name,
    (array_agg(coalesce(end_time, start_time) order by start_time desc, event_id desc))[1] as last_end,
    -- JSON and no arrays, because what erases a person reads text and JSON.
    jsonb_agg(
        jsonb_build_array(
            bcp_name, tool_name, extract(epoch from start_time), extract(epoch from coalesce(end_time, start_time)))
        order by start_time, event_id) as steps
from bcp.tool_usage_logs
-- A list of tools is no call.
where session_id is not null and operation <> 'tools/list'
group by 1, 2
with no data;

create materialized view bcp.tool_pairs_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day'
) as
select
    public.time_bucket(interval '1 day', s.bucket) as bucket,
    p.step ->> 0 as bcp_name,
    p.step ->> 1 as tool_name,
    p.next ->> 0 as next_bcp_name,
    p.next ->> 1 as next_tool_name,
    count(*) as pairs,
    sum(((p.next -> 2)::numeric - (p.step -> 3)::numeric)::double precision * 1000) as sum_gap_ms
from bcp.session_steps_1d s
cross join lateral rows from (jsonb_array_elements(s.steps), jsonb_array_elements(s.steps - 0)) as p (step, next)
group by 1, 2, 3, 4, 5
with no data;

create materialized view bcp.tool_pairs_1mo
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 month', bucket) as bucket,
    bcp_name,
    tool_name,
    next_bcp_name,
    next_tool_name,
    sum(pairs)::bigint as pairs,
    sum(sum_gap_ms) as sum_gap_ms
from bcp.tool_pairs_1d
group by 1, 2, 3, 4, 5
with no data;

create materialized view bcp.listed_tools_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 day', l.start_time) as bucket,
    l.bcp_name,
    t.tool ->> 'name' as tool_name,
    count(*) as listings,
    max(l.start_time) as last_listed,
    -- A bundle may send any JSON as its list.
    (array_agg(jsonb_path_query_first(t.tool, '$.bytes ? (@ >= 0 && @ <= 1099511627776)')::bigint
               order by l.start_time desc, l.event_id desc))[1] as context_bytes
from bcp.tool_usage_logs l
cross join lateral jsonb_path_query(l.response_data, '$.tools[*] ? (@.name.type() == "string")') as t (tool)
where l.operation = 'tools/list'
group by 1, 2, 3
with no data;

-- Only a chunk that is over moves to the columnstore, which merges such chunks, because planning costs each question
-- time per chunk.
alter materialized view bcp.session_steps_1d set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, session_id',
    timescaledb.compress_chunk_interval = '30 days'
);

alter materialized view bcp.tool_pairs_1d set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, bcp_name, tool_name, next_bcp_name, next_tool_name',
    timescaledb.compress_chunk_interval = '30 days'
);

do $block$
declare
    v_view record;
    v_column record;
begin
    for v_view in
        select * from (values
            ('session_steps_1d', 'Calls per day and session, in their order.'),
            ('tool_pairs_1d', 'Which tool followed which per day, within a session.'),
            ('tool_pairs_1mo', 'Which tool followed which per month, within a session and a day.'),
            ('listed_tools_1d', 'Tools per day that lists of tools named.')) as v (name, says)
    loop
        execute pg_catalog.format('comment on view bcp.%I is %L', v_view.name, v_view.says);
        for v_column in
            select a.attname as name, c.says
            from pg_catalog.pg_attribute a
            left join (values
                ('bucket', 'Start of the bucket, UTC.'),
                ('session_id', 'Session.'),
                ('calls', 'Calls of the session that began in the bucket, without lists of tools.'),
                ('first_bcp_name', 'Bundle of the first call.'),
                ('first_tool_name', 'Tool of the first call.'),
                ('first_start', 'When the first call began.'),
                ('last_bcp_name', 'Bundle of the last call.'),
                ('last_tool_name', 'Tool of the last call.'),
                ('last_end', 'When the last call ended; when it began, if its end is not known.'),
                ('steps', 'The calls by their start: bundle, tool, and when each began and ended, in seconds.'),
                ('bcp_name', 'Bundle of tools.'),
                ('tool_name', 'Tool.'),
                ('next_bcp_name', 'Bundle of the next call of the session; null after its last one of the day.'),
                ('next_tool_name', 'Tool of that call.'),
                ('pairs', 'Calls of the tool that the next one followed.'),
                ('sum_gap_ms', 'Sum of the times from the end of the one call to the start of the next, in ms.'),
                ('listings', 'Times that a list named the tool.'),
                ('last_listed', 'Time of the latest such list.'),
                ('context_bytes', 'Bytes of the model''s context that the tool takes, as the latest list says.')
            ) as c (name, says) on c.name = a.attname
            where a.attrelid = pg_catalog.format('bcp.%I', v_view.name)::regclass and a.attnum > 0
        loop
            execute pg_catalog.format('comment on column bcp.%I.%I is %L', v_view.name, v_column.name, v_column.says);
        end loop;
    end loop;
end
$block$;
