-- What a rule would have found, had it been there.

create or replace function bcp_internal.preview_values(
    p_rule bcp.alert_rules, p_lookback interval, p_since timestamptz, p_until timestamptz, p_step interval)
returns table (bcp_name text, tool_name text, evaluated_at timestamptz, calls bigint, value double precision)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- A call counts from the first evaluation after it, and lookback later no more: so the value changes only at these
    -- two times, and is a running sum over them.
    with cells as materialized (
        select
            case when p_rule.scope <> 'all' then u.bcp_name end as bcp,
            case when p_rule.scope = 'tool' then u.tool_name end as tool, u.time_bucket + p_step as at,
            sum(u.calls)::numeric as calls, sum(u.successes)::numeric as successes, sum(u.errors)::numeric as errors,
            sum(u.timed_calls)::numeric as timed, sum(u.sum_duration_ms)::numeric as sum_ms
        from bcp_internal.usage_cells(
            p_since - p_lookback, p_until, p_step, 'UTC',
            bcp_internal.filters(p_rule.bcp_name, p_rule.tool_name, p_rule.operation)) u
        group by 1, 2, 3
    ), steps as (
        select s.bcp, s.tool, s.at, sum(s.calls) as calls, sum(s.successes) as successes, sum(s.errors) as errors,
               sum(s.timed) as timed, sum(s.sum_ms) as sum_ms
        from (
            select * from cells
            union all
            select c.bcp, c.tool, c.at + p_lookback, -c.calls, -c.successes, -c.errors, -c.timed, -c.sum_ms
            from cells c
        ) s
        group by 1, 2, 3
    ), sums as (
        select
            s.bcp, s.tool, s.at, sum(s.calls) over w as calls, sum(s.successes) over w as successes,
            sum(s.errors) over w as errors, sum(s.timed) over w as timed, sum(s.sum_ms) over w as sum_ms
        from steps s
        window w as (partition by s.bcp, s.tool order by s.at)
    )
    select
        s.bcp, s.tool, s.at,
        case p_rule.metric
            when 'avg_duration_ms' then s.timed
            when 'throughput' then s.calls
            else s.successes + s.errors
        end::bigint,
        case p_rule.metric
            when 'avg_duration_ms' then s.sum_ms / nullif(s.timed, 0)
            when 'success_rate' then s.successes / nullif(s.successes + s.errors, 0)
            when 'error_rate' then s.errors / nullif(s.successes + s.errors, 0)
            when 'burn_rate' then s.errors / nullif(s.successes + s.errors, 0) / (1 - p_rule.objective)::numeric
            when 'throughput' then
                case when s.calls > 0 then s.calls * 60 / extract(epoch from p_lookback)::numeric end
        end::double precision
    from sums s
    where s.at <= p_until
$func$;

comment on function bcp_internal.preview_values is
    'Metric of a rule as bcp_internal.alert_values has it, at each time of a range at which it changes. Value is null '
    'where there were no calls.';

grant execute on function bcp_internal.preview_values to bcp_reader;

create or replace function bcp_internal.preview_runs(
    p_rule bcp.alert_rules, p_since timestamptz, p_until timestamptz, p_step interval)
returns table (
    bcp_name text, tool_name text, state text, began timestamptz, ended timestamptz, worst_value double precision,
    calls bigint, calls_at timestamptz)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with points as (
        select v.*, false as is_short
        from bcp_internal.preview_values(p_rule, p_rule.lookback, p_since, p_until, p_step) v
        union all
        select v.*, true
        from bcp_internal.preview_values(p_rule, p_rule.short_lookback, p_since, p_until, p_step) v
        where p_rule.short_lookback is not null
    ), times as (
        select
            coalesce(p.bcp_name, '') as bcp, coalesce(p.tool_name, '') as tool, p.evaluated_at as at,
            max(p.calls) filter (where not p.is_short) as calls, max(p.value) filter (where not p.is_short) as value,
            max(p.value) filter (where p.is_short) as short_value,
            bool_or(not p.is_short) as has_long, bool_or(p.is_short) as has_short
        from points p
        group by 1, 2, 3
    ), numbered as (
        select
            t.*, count(*) filter (where t.has_long) over w as long_n,
            count(*) filter (where t.has_short) over w as short_n
        from times t
        window w as (partition by t.bcp, t.tool order by t.at)
    ), known as (
        -- Each window keeps its value until it changes.
        select
            n.bcp, n.tool, n.at, first_value(n.calls) over l as calls, first_value(n.value) over l as value,
            first_value(n.short_value) over s as short_value, sign.of
        from numbered n
        cross join (select case p_rule.fires when 'above' then 1 else -1 end) sign (of)
        window l as (partition by n.bcp, n.tool, n.long_n order by n.at),
               s as (partition by n.bcp, n.tool, n.short_n order by n.at)
    ), judged as (
        -- As in bcp_internal.evaluate_rule.
        select
            k.*,
            case
                when (k.calls >= p_rule.min_calls and k.value is not null) is not true then 'well'
                when k.of * k.value > k.of * p_rule.threshold
                    and (p_rule.short_lookback is null
                        or coalesce(k.of * k.short_value > k.of * p_rule.threshold, false)) then 'wrong'
                when k.of * k.value <= k.of * p_rule.clear_threshold
                    or p_rule.short_lookback is not null
                        and coalesce(k.of * k.short_value <= k.of * p_rule.clear_threshold, true) then 'well'
                else 'between'
            end as state
        from known k
        where k.at <= p_until
    ), marked as (
        select
            j.*,
            case when j.state is distinct from lag(j.state) over (partition by j.bcp, j.tool order by j.at)
                then 1 else 0 end as begins
        from judged j
    ), runs as (
        select m.*, sum(m.begins) over (partition by m.bcp, m.tool order by m.at) as run
        from marked m
    ), gathered as (
        select
            r.bcp, r.tool, r.state, min(r.at) as began, max(r.of * r.value) * min(r.of) as worst, max(r.calls) as calls,
            (array_agg(r.at order by r.calls desc nulls last, r.at))[1] as calls_at
        from runs r
        group by r.bcp, r.tool, r.run, r.state
    )
    select
        nullif(g.bcp, ''), nullif(g.tool, ''), g.state, g.began,
        lead(g.began) over (partition by g.bcp, g.tool order by g.began), g.worst, g.calls,
        g.calls_at
    from gathered g
    order by g.bcp, g.tool, g.began
$func$;

comment on function bcp_internal.preview_runs is
    'How long the metric of a rule was wrong, well or between the two thresholds, one row per stretch of time, by '
    'bundle, tool and time. ended is null for the last one. calls_at is when calls was counted.';

grant execute on function bcp_internal.preview_runs to bcp_reader;

create or replace function bcp.alert_preview(
    p_rule_name text, p_changes jsonb default null, p_since timestamptz default null,
    p_until timestamptz default null)
returns table (
    bcp_name text, tool_name text, opened_at timestamptz, closed_at timestamptz, worst_value double precision,
    call_count bigint, counted_from timestamptz, counted_until timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_rule constant bcp.alert_rules := bcp_internal.changed_rule(p_rule_name, p_changes);
    -- Buckets of five minutes are enough where the times that it looks back are made of them.
    v_step constant interval := case
        when mod(extract(epoch from v_rule.lookback), 300) = 0
            and mod(extract(epoch from coalesce(v_rule.short_lookback, v_rule.lookback)), 300) = 0
            then interval '5 minutes' else interval '1 minute' end;
    v_until constant timestamptz := date_bin(v_step, coalesce(p_until, bcp_internal.now()), timestamptz '2000-01-01Z');
    v_since constant timestamptz := date_bin(
        v_step, coalesce(p_since, v_until - interval '7 days'), timestamptz '2000-01-01Z');
    v_sign constant integer := case v_rule.fires when 'above' then 1 else -1 end;
    v_run record;
begin
    perform bcp_internal.checked_range(v_since, v_until);
    if v_since < v_until - interval '31 days' or v_rule.lookback > interval '31 days' then
        raise exception using
            errcode = 'ZB002', message = 'the range, or the lookback of the rule, is longer than 31 days',
            hint = 'Without p_since, it is the last 7 days.';
    end if;
    for v_run in select r.* from bcp_internal.preview_runs(v_rule, v_since, v_until, v_step) r loop
        if (v_run.bcp_name, v_run.tool_name) is distinct from (bcp_name, tool_name) or v_run.state = 'well' then
            if opened_at is not null then
                closed_at := case
                    when (v_run.bcp_name, v_run.tool_name) is not distinct from (bcp_name, tool_name) then v_run.began
                end;
                if closed_at is null or closed_at > v_since then
                    opened_at := greatest(opened_at, v_since);
                    return next;
                end if;
            end if;
            opened_at := null;
        end if;
        bcp_name := v_run.bcp_name;
        tool_name := v_run.tool_name;
        if opened_at is null and v_run.state = 'wrong'
            and coalesce(
                v_run.ended > v_run.began + v_rule.for_at_least, v_until >= v_run.began + v_rule.for_at_least)
        then
            opened_at := v_run.began + v_rule.for_at_least;
            worst_value := v_run.worst_value;
            call_count := v_run.calls;
            counted_until := v_run.calls_at;
        elsif opened_at is not null then
            worst_value := v_sign * greatest(v_sign * worst_value, v_sign * v_run.worst_value);
            if v_run.calls > call_count then
                call_count := v_run.calls;
                counted_until := v_run.calls_at;
            end if;
        end if;
        -- Nothing before the first lookback was read.
        counted_from := greatest(counted_until, v_since) - v_rule.lookback;
    end loop;
    if opened_at is not null then
        closed_at := null;
        opened_at := greatest(opened_at, v_since);
        return next;
    end if;
end
$func$;

comment on function bcp.alert_preview is
    'When would this rule have fired? One row per alert that it would have opened in the range, by bundle, tool and '
    'time. closed_at is null where it would still be open at the end. worst_value is the metric at its worst. '
    'call_count is the most calls that it was computed from: those that began in [counted_from, counted_until), and '
    'ended well or not; with the metric avg_duration_ms those that have a duration, with throughput all. p_changes has '
    'columns of bcp.alert_rules that differ from the stored rule, or a rule that is not stored. It is evaluated in '
    'steps of five minutes, or of one minute where lookback or short_lookback is no multiple of five. Reads '
    'aggregates. The range is [p_since, p_until), the last 7 days by default and 31 days at most. ZB002 if the rule '
    'cannot be.';

grant execute on function bcp.alert_preview to bcp_reader;
