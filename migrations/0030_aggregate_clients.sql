-- Aggregates for questions that compare clients, models and releases, or ask for one client's tools, and months of
-- calls that failed. A row holds the calls of one cell whose durations lie in one part of the latency sketch: their
-- sums as bcp.tool_usage_1d has them, and the counts n0 to n31 of bcp.tool_latency_1d. So its rows do not become more
-- with the calls. Clients, versions, models and releases together with tools would make a row of nearly each call,
-- hence two aggregates. The first refresh fills them, day by day; until then raw rows answer.
do $block$
declare
    v_view record;
    v_column record;
    v_n integer;
    -- Calls of one cell: from rows, from a day, and from hours that keep lat_idx.
    v_of_rows constant text :=
        'count(*) as calls, count(*) filter (where success) as successes,'
        ' count(*) filter (where not success) as errors, count(duration_ms) as timed_calls,'
        ' sum(duration_ms) as sum_duration_ms, min(duration_ms) as min_duration_ms,'
        ' max(duration_ms) as max_duration_ms, sum(request_bytes)::double precision as request_bytes,'
        ' sum(response_bytes)::double precision as response_bytes,'
        ' sum(response_tokens)::double precision as given_tokens,'
        ' sum(response_bytes) filter (where response_tokens is not null)::double precision as given_bytes';
    v_of_days constant text :=
        'sum(calls)::bigint as calls, sum(successes)::bigint as successes, sum(errors)::bigint as errors,'
        ' sum(timed_calls)::bigint as timed_calls, sum(sum_duration_ms) as sum_duration_ms,'
        ' min(min_duration_ms) as min_duration_ms, max(max_duration_ms) as max_duration_ms,'
        ' sum(request_bytes) as request_bytes, sum(response_bytes) as response_bytes,'
        ' sum(given_tokens) as given_tokens, sum(given_bytes) as given_bytes';
    v_of_hours constant text :=
        'sum(calls)::bigint as calls, coalesce(sum(calls) filter (where success), 0)::bigint as successes,'
        ' coalesce(sum(calls) filter (where not success), 0)::bigint as errors,'
        ' sum(timed_calls)::bigint as timed_calls,'
        ' sum(sum_duration_us)::double precision / 1000000 * 1000 as sum_duration_ms,'
        ' least(min(min_duration_us), min(sum_duration_us) filter (where calls = 1))::double precision / 1000000 * 1000'
        ' as min_duration_ms,'
        ' greatest(max(max_duration_us), max(sum_duration_us) filter (where calls = 1))::double precision / 1000000'
        ' * 1000 as max_duration_ms,'
        ' sum(request_bytes)::double precision as request_bytes,'
        ' sum(response_bytes)::double precision as response_bytes,'
        ' sum(given_tokens)::double precision as given_tokens, sum(given_bytes)::double precision as given_bytes';
begin
    for v_view in
        select * from (values
            ('client_usage_1d', 'tool_usage_logs', '1 day', '1 day',
             'client_name, client_model, client_version, release, operation', v_of_rows,
             'count(*) filter (where lat_idx & 31::smallint = %1$s)::integer',
             'Calls per day by client, model and release, with their latency sketch.'),
            ('client_tool_usage_1d', 'tool_usage_logs', '1 day', '1 day',
             'client_name, bcp_name, tool_name, operation', v_of_rows,
             'count(*) filter (where lat_idx & 31::smallint = %1$s)::integer',
             'Calls per day by client and tool, with their latency sketch.'),
            ('client_tool_usage_1mo', 'client_tool_usage_1d', '1 month', '3650 days',
             'client_name, bcp_name, tool_name, operation', v_of_days, 'sum(n%1$s)::double precision',
             'Calls per month by client and tool, with their latency sketch.'),
            ('failed_usage_1mo', 'failed_usage_1h', '1 month', '3650 days',
             'bcp_name, tool_name, operation, success, outcome', v_of_hours,
             'coalesce(sum(calls) filter (where lat_idx & 31::smallint = %1$s), 0)::double precision',
             'Calls per month by tool and outcome, of those that did not succeed, with their latency sketch.')
        ) as v (name, source, width, chunk_interval, keys, sums, count, says)
    loop
        execute pg_catalog.format(
            'create materialized view bcp.%I'
            ' with (timescaledb.continuous, timescaledb.materialized_only = true,'
            ' timescaledb.create_group_indexes = false, timescaledb.chunk_interval = %L) as'
            ' select public.time_bucket(interval %L, %I) as bucket, %s, %s as lat_base, %s, %s'
            ' from bcp.%I group by 1, %s, lat_base with no data',
            v_view.name, v_view.chunk_interval, v_view.width,
            case v_view.source when 'tool_usage_logs' then 'start_time' else 'bucket' end, v_view.keys,
            case v_view.source when 'client_tool_usage_1d' then 'lat_base' else 'lat_idx & (-32)::smallint' end,
            v_view.sums,
            (select pg_catalog.string_agg(
                 pg_catalog.format(v_view.count || ' as n%1$s', n), ', ' order by n)
             from pg_catalog.generate_series(0, 31) as n),
            v_view.source, v_view.keys);
        if v_view.width = '1 day' then
            execute pg_catalog.format(
                'alter materialized view bcp.%I set (timescaledb.enable_columnstore = true, timescaledb.segmentby = %L,'
                ' timescaledb.orderby = %L, timescaledb.compress_chunk_interval = %L)',
                v_view.name, '', 'bucket, ' || v_view.keys || ', lat_base', '30 days');
        end if;
        execute pg_catalog.format('comment on view bcp.%I is %L', v_view.name, v_view.says);
        for v_column in
            select c.* from (values
                ('bucket', 'Start of the bucket, UTC.'),
                ('client_name', 'Client; null if it was not given.'),
                ('client_model', 'Model that called; null if it was not given.'),
                ('client_version', 'Version of the client; null if it was not given.'),
                ('release', 'Release of the bundle; null if it was not given.'),
                ('bcp_name', 'Bundle of tools.'),
                ('tool_name', 'Tool.'),
                ('operation', 'Operation.'),
                ('success', 'Whether the calls succeeded: see bcp.tool_usage_logs.success.'),
                ('outcome', 'How they ended: see bcp.tool_usage_logs.outcome.'),
                ('lat_base',
                 'The lat_idx that column n0 counts: see bcp.tool_usage_logs.lat_idx; null for calls without a'
                 ' duration.'),
                ('calls', 'Calls that began in the bucket, lists of tools too.'),
                ('successes', 'Of those, the ones that succeeded.'),
                ('errors', 'Of those, the ones that failed; the rest did not say.'),
                ('timed_calls', 'Calls whose duration is known.'),
                ('sum_duration_ms', 'Sum of their durations in milliseconds.'),
                ('min_duration_ms', 'Shortest of them in milliseconds.'),
                ('max_duration_ms', 'Longest of them in milliseconds.'),
                ('request_bytes', 'Bytes of arguments.'),
                ('response_bytes', 'Bytes of answers.'),
                ('given_tokens', 'Tokens of answers, of those calls for which the sender gave them.'),
                ('given_bytes', 'Bytes of the same answers.')) as c (name, says)
            join pg_catalog.pg_attribute a
                on a.attrelid = pg_catalog.format('bcp.%I', v_view.name)::regclass and a.attname = c.name
        loop
            execute pg_catalog.format('comment on column bcp.%I.%I is %L', v_view.name, v_column.name, v_column.says);
        end loop;
        for v_n in 0..31 loop
            execute pg_catalog.format(
                'comment on column bcp.%I.n%s is %L', v_view.name, v_n,
                pg_catalog.format('Calls whose duration has lat_idx = lat_base + %s.', v_n));
        end loop;
    end loop;
end
$block$;

-- It takes the relation now, and `create or replace` would leave the function without it beside the new one.
drop function if exists bcp_internal.sums_of_calls();
