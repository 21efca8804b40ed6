-- Alerts: evaluated by a job from the aggregates, opened and closed with NOTIFY bcp_alerts.

create or replace function bcp_internal.alert_values(p_rule bcp.alert_rules, p_lookback interval)
returns table (bcp_name text, tool_name text, calls bigint, value double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
begin
    return query
    select
        c.bcp, c.tool,
        -- Those that the value is of: of the rest nobody knows how they went, or how long they took.
        case p_rule.metric
            when 'avg_duration_ms' then c.timed
            when 'throughput' then c.calls
            else c.successes + c.errors
        end::bigint,
        case p_rule.metric
            when 'avg_duration_ms' then c.sum_ms / nullif(c.timed, 0)
            when 'success_rate' then c.successes / nullif(c.successes + c.errors, 0)
            when 'error_rate' then c.errors / nullif(c.successes + c.errors, 0)
            when 'burn_rate' then c.errors / nullif(c.successes + c.errors, 0) / (1 - p_rule.objective)
            when 'throughput' then c.calls * 60 / extract(epoch from p_lookback)::double precision
        end
    from (
        select
            case when p_rule.scope <> 'all' then u.bcp_name end as bcp,
            case when p_rule.scope = 'tool' then u.tool_name end as tool, sum(u.calls)::double precision as calls,
            sum(u.successes)::double precision as successes, sum(u.errors)::double precision as errors,
            sum(u.timed_calls)::double precision as timed, sum(u.sum_duration_ms) as sum_ms
        from bcp_internal.usage_cells(
            v_now - p_lookback, v_now, null, 'UTC', bcp_internal.filters(p_rule.bcp_name, p_rule.tool_name, p_rule.operation)) u
        group by 1, 2
    ) c;
end
$func$;

comment on function bcp_internal.alert_values(bcp.alert_rules, interval) is
    'The metric of a rule up to now, by what the rule is about, and of how many calls it is; of what had no calls there is no row.';

create or replace function bcp_internal.judge_alerts()
returns table (
    rule bcp.alert_rules, bcp_name text, tool_name text, calls bigint, value double precision, is_wrong boolean,
    is_well boolean, error text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    for rule in select r.* from bcp.alert_rules r where r.enabled loop
        begin
            error := null;
            return query
                select
                    rule, l.bcp_name, l.tool_name, l.calls, l.value,
                    -- Of a burn rate both windows have to be over the threshold, and either may say that it is over.
                    l.sign * l.value > l.sign * rule.threshold
                        and (rule.short_lookback is null or coalesce(l.sign * s.value > l.sign * rule.threshold, false)),
                    l.sign * l.value <= l.sign * rule.clear_threshold
                        or rule.short_lookback is not null and coalesce(l.sign * s.value <= l.sign * rule.clear_threshold, true),
                    error
                from (
                    select v.*, case rule.fires when 'above' then 1 else -1 end as sign
                    from bcp_internal.alert_values(rule, rule.lookback) v
                    where v.calls >= rule.min_calls and v.value is not null
                ) l
                left join (
                    select v.* from bcp_internal.alert_values(rule, rule.short_lookback) v where rule.short_lookback is not null
                ) s
                    on s.bcp_name is not distinct from l.bcp_name
                    and s.tool_name is not distinct from l.tool_name;
        exception
            when others then
                -- A rule that cannot be evaluated must not stop the others. The message could hold values.
                error := sqlstate;
                return next;
        end;
    end loop;
end
$func$;

comment on function bcp_internal.judge_alerts() is
    'What every rule finds: is_wrong beyond its threshold, is_well on the right side of its clear_threshold, in between neither. Of a rule whose evaluation failed there is a row with the SQLSTATE as error, and what else there is of it means nothing.';

create or replace function bcp_internal.evaluate_alerts() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- With it the statements take eight times as long: 919 ms against 113, at 3 million calls.
set jit = off
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_changes bigint;
begin
    -- One evaluation at a time: two would open the same alert.
    lock table bcp.alerts in share row exclusive mode;
    with found as materialized (
        select j.*, max(j.error) over (partition by (j.rule).rule_name) as rule_error from bcp_internal.judge_alerts() j
    ), judged as (
        select * from found where rule_error is null
    ), noted as (
        update bcp.alert_rules r
        set last_error = s.error
        from bcp.alert_rules n
        cross join lateral (select max(f.error) from found f where (f.rule).rule_name = n.rule_name) as s (error)
        where r.rule_name = n.rule_name and r.last_error is distinct from s.error
    ), live as materialized (
        select a.alert_id, a.opened_at, j.rule, j.calls, j.value, coalesce(j.is_wrong, false) as is_wrong,
               -- What cannot be judged any more (no calls, no rule) is over.
               coalesce(j.is_well, true) as is_well
        from bcp.alerts a
        left join judged j
            on (j.rule).rule_name = a.rule_name
            and j.bcp_name is not distinct from a.bcp_name
            and j.tool_name is not distinct from a.tool_name
        where a.closed_at is null
          -- Whether it is over nobody knows.
          and not exists (select from found f where f.rule_error is not null and (f.rule).rule_name = a.rule_name)
    ), forgotten as (
        delete from bcp.alerts a using live l
        where a.alert_id = l.alert_id and l.opened_at is null and not l.is_wrong
    ), updated as (
        update bcp.alerts a set
            value = coalesce(l.value, a.value),
            worst_value = case (l.rule).fires
                when 'above' then greatest(a.worst_value, l.value) when 'below' then least(a.worst_value, l.value)
                else a.worst_value
            end,
            calls = coalesce(l.calls, a.calls),
            evaluated_at = v_now,
            opened_at = coalesce(a.opened_at, case when v_now >= a.pending_since + (l.rule).for_at_least then v_now end),
            closed_at = case when l.is_well then v_now end
        from live l
        where a.alert_id = l.alert_id and (l.opened_at is not null or l.is_wrong)
        returning a.*
    ), inserted as (
        insert into bcp.alerts (
            rule_name, bcp_name, tool_name, metric, severity, threshold, value, worst_value, calls, pending_since, opened_at,
            evaluated_at)
        select
            (j.rule).rule_name, j.bcp_name, j.tool_name, (j.rule).metric, (j.rule).severity, (j.rule).threshold, j.value,
            j.value, j.calls, v_now, case when (j.rule).for_at_least = interval '0' then v_now end, v_now
        from judged j
        where j.is_wrong
          and not exists (
              select
              from bcp.alerts a
              where a.closed_at is null
                and a.rule_name = (j.rule).rule_name
                and a.bcp_name is not distinct from j.bcp_name
                and a.tool_name is not distinct from j.tool_name)
        returning *
    ), changed as (
        select u.*, case when u.closed_at is not null then 'closed' else 'opened' end as event
        from (select * from updated union all select * from inserted) u
        left join live l using (alert_id)
        where u.opened_at is not null and (u.closed_at is not null or l.opened_at is null)
    )
    select count(pg_notify('bcp_alerts', jsonb_build_object(
        'event', c.event, 'alert_id', c.alert_id, 'rule_name', c.rule_name, 'severity', c.severity, 'metric', c.metric,
        'bcp_name', c.bcp_name, 'tool_name', c.tool_name, 'value', c.value, 'threshold', c.threshold, 'at', v_now)::text))
    into v_changes
    from changed c;
    return v_changes;
end
$func$;

comment on function bcp_internal.evaluate_alerts() is
    'Opens and closes alerts as bcp.alert_rules say, tells each to who listens to bcp_alerts as a JSON object, and returns how many.';

create or replace procedure bcp_internal.evaluate_alerts_job(p_job_id integer, p_config jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $proc$
begin
    perform bcp_internal.evaluate_alerts();
end
$proc$;

comment on procedure bcp_internal.evaluate_alerts_job(integer, jsonb) is 'Runs bcp_internal.evaluate_alerts every minute.';

create or replace function bcp.active_alerts(p_bcp_name text default null, p_tool_name text default null)
returns table (
    alert_id bigint, rule_name text, severity text, bcp_name text, tool_name text, metric text, value double precision,
    worst_value double precision, threshold double precision, call_count bigint, opened_at timestamptz,
    evaluated_at timestamptz, acknowledged_at timestamptz, acknowledged_by text, notes text, description text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select
        a.alert_id, a.rule_name, a.severity, a.bcp_name, a.tool_name, a.metric, a.value, a.worst_value, a.threshold, a.calls,
        a.opened_at, a.evaluated_at, a.acknowledged_at, a.acknowledged_by, a.notes, r.description
    from bcp.alerts a
    left join bcp.alert_rules r using (rule_name)
    where a.opened_at is not null
      and a.closed_at is null
      and (p_bcp_name is null or a.bcp_name = p_bcp_name)
      and (p_tool_name is null or a.tool_name = p_tool_name)
    order by a.severity, a.opened_at desc, a.alert_id
$func$;

comment on function bcp.active_alerts(text, text) is
    'What is wrong now? One row an open alert, critical ones first, then the latest. metric, value and threshold are as in bcp.alert_rules; evaluated_at says how old the answer is: a job evaluates every minute and tells changes to who listens to bcp_alerts. Closed alerts are in bcp.alerts.';

create or replace function bcp.acknowledge_alert(p_alert_id bigint, p_notes text default null) returns timestamptz
language plpgsql volatile
-- Nobody but the owner may write what the anonymiser has not seen.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
begin
    update bcp.alerts
    set acknowledged_at = v_now, acknowledged_by = session_user, notes = bcp_internal.anonymize_text(nullif(p_notes, ''))
    where alert_id = p_alert_id and opened_at is not null and closed_at is null;
    if not found then
        raise exception using
            errcode = 'ZB002', message = 'there is no open alert with this p_alert_id',
            hint = 'select alert_id, rule_name from bcp.active_alerts() lists them.';
    end if;
    return v_now;
end
$func$;

comment on function bcp.acknowledge_alert(bigint, text) is
    'Says that somebody takes an open alert on, and returns when that was: now. It stays open until its metric is well. For bcp_admin. ZB002 where there is no such alert.';
