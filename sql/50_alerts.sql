-- Alerts. A job evaluates them from the aggregates, and opens and closes them with NOTIFY bcp_alerts.

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
        -- Only the calls that the value is made from: of the others nobody knows whether they succeeded, or how long
        -- they took.
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
            v_now - p_lookback, v_now, null, 'UTC',
            bcp_internal.filters(p_rule.bcp_name, p_rule.tool_name, p_rule.operation)) u
        group by 1, 2
    ) c;
end
$func$;

comment on function bcp_internal.alert_values is
    'Metric of a rule up to now, one row per bundle or tool as the scope of the rule says, and from how many calls it '
    'is computed. No row for what had no calls.';

create or replace function bcp_internal.tell_alert(p_alert bcp.alerts) returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select true from pg_notify('bcp_alerts', jsonb_build_object(
        'event', case when p_alert.closed_at is not null then 'closed' else 'opened' end, 'alert_id', p_alert.alert_id,
        'rule_name', p_alert.rule_name, 'severity', p_alert.severity, 'metric', p_alert.metric,
        'bcp_name', p_alert.bcp_name, 'tool_name', p_alert.tool_name, 'value', p_alert.value,
        'threshold', p_alert.threshold, 'at', p_alert.evaluated_at)::text)
$func$;

comment on function bcp_internal.tell_alert is 'Sends NOTIFY bcp_alerts that an alert opened or closed; always true.';

create or replace function bcp_internal.evaluate_rule(p_rule bcp.alert_rules) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_sign constant integer := case p_rule.fires when 'above' then 1 else -1 end;
    v_changed bcp.alerts[];
begin
    -- If a rule is about more than one tool or bundle, their names are null. coalesce makes nulls equal, so that a hash
    -- join can compare them.
    with judged as materialized (
        select
            l.bcp_name, l.tool_name, l.calls, l.value,
            -- Both windows of a burn rate have to be beyond the threshold for it to be wrong, and either can end that.
            v_sign * l.value > v_sign * p_rule.threshold
                and (p_rule.short_lookback is null
                    or coalesce(v_sign * s.value > v_sign * p_rule.threshold, false)) as is_wrong,
            v_sign * l.value <= v_sign * p_rule.clear_threshold
                or p_rule.short_lookback is not null
                    and coalesce(v_sign * s.value <= v_sign * p_rule.clear_threshold, true) as is_well
        from bcp_internal.alert_values(p_rule, p_rule.lookback) l
        left join (
            select v.*
            from bcp_internal.alert_values(p_rule, p_rule.short_lookback) v
            where p_rule.short_lookback is not null
        ) s
            on coalesce(s.bcp_name, '') = coalesce(l.bcp_name, '')
            and coalesce(s.tool_name, '') = coalesce(l.tool_name, '')
        where l.calls >= p_rule.min_calls and l.value is not null
    ), live as materialized (
        select a.alert_id, a.opened_at, a.bcp_name, a.tool_name, j.calls, j.value,
            coalesce(j.is_wrong, false) as is_wrong,
               -- An alert without calls cannot be judged any more, so it is over.
               coalesce(j.is_well, true) as is_well
        from bcp.alerts a
        left join judged j
            on coalesce(j.bcp_name, '') = coalesce(a.bcp_name, '')
            and coalesce(j.tool_name, '') = coalesce(a.tool_name, '')
        where a.closed_at is null
          and a.rule_name = p_rule.rule_name
    ), forgotten as (
        delete from bcp.alerts a using live l
        where a.alert_id = l.alert_id and l.opened_at is null and not l.is_wrong
    ), updated as (
        update bcp.alerts a set
            value = coalesce(l.value, a.value),
            -- Not the value that closes it: a burn rate ends by its short window, while the long one may still be high.
            worst_value = case
                when l.is_well then a.worst_value
                when p_rule.fires = 'above' then greatest(a.worst_value, l.value)
                else least(a.worst_value, l.value)
            end,
            calls = coalesce(l.calls, a.calls),
            evaluated_at = v_now,
            opened_at = coalesce(a.opened_at, case when v_now >= a.pending_since + p_rule.for_at_least then v_now end),
            closed_at = case when l.is_well then v_now end
        from live l
        where a.alert_id = l.alert_id and (l.opened_at is not null or l.is_wrong)
        returning a as alert, l.opened_at is not null as was_open
    ), inserted as (
        insert into bcp.alerts as n (
            rule_name, bcp_name, tool_name, metric, severity, threshold, value, worst_value, calls, pending_since,
            opened_at,
            evaluated_at)
        select
            p_rule.rule_name, j.bcp_name, j.tool_name, p_rule.metric, p_rule.severity, p_rule.threshold, j.value,
            j.value,
            j.calls, v_now, case when p_rule.for_at_least = interval '0' then v_now end, v_now
        from judged j
        where j.is_wrong
          and not exists (
              select
              from live l
              where coalesce(l.bcp_name, '') = coalesce(j.bcp_name, '')
                and coalesce(l.tool_name, '') = coalesce(j.tool_name, ''))
        returning n as alert, false as was_open
    )
    select array_agg(c.alert) into v_changed
    from (select u.* from updated u union all select i.* from inserted i) c
    where (c.alert).opened_at is not null and ((c.alert).closed_at is not null or not c.was_open);
    return bcp_internal.tell_alerts(v_changed);
end
$func$;

comment on function bcp_internal.evaluate_rule is
    'Opens and closes the alerts of a rule, sends NOTIFY bcp_alerts for each, and returns how many. A value beyond '
    'threshold is wrong, one on the right side of clear_threshold is well, and one in between changes nothing.';

create or replace function bcp_internal.evaluate_alerts() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- With jit the statements take eight times as long: 919 ms instead of 113 at 3 million calls.
set jit = off
-- Enough to group the calls of a window in memory instead of sorting them on disk.
set work_mem = '64MB'
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_rule bcp.alert_rules;
    v_error text;
    v_changed bcp.alerts[];
    v_changes bigint;
begin
    -- One evaluation at a time, because two would open the same alert.
    perform bcp_internal.lock_table('bcp.alerts', 'evaluation or acknowledgement of alerts');
    -- An alert whose rule is gone or disabled is over; if it had not opened yet, it is deleted.
    delete from bcp.alerts a
    where a.opened_at is null
      and not exists (select from bcp.alert_rules r where r.rule_name = a.rule_name and r.enabled);
    with closed as (
        update bcp.alerts a set closed_at = v_now, evaluated_at = v_now
        where a.closed_at is null
          and not exists (select from bcp.alert_rules r where r.rule_name = a.rule_name and r.enabled)
        returning a as alert
    )
    select array_agg(c.alert) into v_changed from closed c;
    v_changes := bcp_internal.tell_alerts(v_changed);
    for v_rule in select r.* from bcp.alert_rules r where r.enabled order by r.rule_name loop
        begin
            v_error := null;
            v_changes := v_changes + bcp_internal.evaluate_rule(v_rule);
        exception
            when others then
                -- A rule that fails must not stop the others. Only the SQLSTATE is kept, because the message could hold
                -- values.
                v_error := sqlstate;
        end;
        update bcp.alert_rules r
        set last_error = v_error
        where r.rule_name = v_rule.rule_name and r.last_error is distinct from v_error;
    end loop;
    update bcp.alert_rules r set last_error = null where not r.enabled and r.last_error is not null;
    return v_changes;
end
$func$;

comment on function bcp_internal.evaluate_alerts is
    'Opens and closes alerts as bcp.alert_rules say, sends each to listeners of bcp_alerts as a JSON object, and '
    'returns how many. A rule that fails changes none of its alerts, and its SQLSTATE becomes last_error. 55P03 if the '
    'alerts are locked for 30 s.';

create or replace procedure bcp_internal.evaluate_alerts_job(p_job_id integer, p_config jsonb)
language plpgsql
set search_path = pg_catalog, pg_temp
as $proc$
begin
    perform bcp_internal.evaluate_alerts();
end
$proc$;

comment on procedure bcp_internal.evaluate_alerts_job is 'Runs bcp_internal.evaluate_alerts every minute.';

create or replace function bcp.active_alerts(p_bcp_name text default null, p_tool_name text default null)
returns table (
    alert_id bigint, rule_name text, severity text, bcp_name text, tool_name text, metric text, value double precision,
    worst_value double precision, threshold double precision, call_count bigint, opened_at timestamptz,
    evaluated_at timestamptz, acknowledged_at timestamptz, acknowledged_by text, notes text, description text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select
        a.alert_id, a.rule_name, a.severity, a.bcp_name, a.tool_name, a.metric, a.value, a.worst_value, a.threshold,
        a.calls,
        a.opened_at, a.evaluated_at, a.acknowledged_at, a.acknowledged_by, a.notes, r.description
    from bcp.alerts a
    left join bcp.alert_rules r using (rule_name)
    where a.opened_at is not null
      and a.closed_at is null
      and (p_bcp_name is null or a.bcp_name = p_bcp_name)
      and (p_tool_name is null or a.tool_name = p_tool_name)
    order by a.severity, a.opened_at desc, a.alert_id
$func$;

comment on function bcp.active_alerts is
    'What is wrong now? One row per open alert, critical ones first, then latest first. metric, value and threshold '
    'are those of bcp.alert_rules; evaluated_at says how old the answer is. A job evaluates every minute and sends '
    'NOTIFY bcp_alerts for each change. Closed alerts are in bcp.alerts.';

grant execute on function bcp.active_alerts to bcp_reader;

create or replace function bcp.acknowledge_alert(p_alert_id bigint, p_notes text default null) returns timestamptz
language plpgsql volatile
-- Only the owner may write text that the anonymiser has not seen.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
begin
    update bcp.alerts
    set acknowledged_at = v_now, acknowledged_by = session_user,
        notes = bcp_internal.anonymize_text(nullif(p_notes, ''))
    where alert_id = p_alert_id and opened_at is not null and closed_at is null;
    if not found then
        raise exception using
            errcode = 'ZB002', message = 'there is no open alert with this p_alert_id',
            hint = 'select alert_id, rule_name from bcp.active_alerts() lists them.';
    end if;
    return v_now;
end
$func$;

comment on function bcp.acknowledge_alert is
    'Records that somebody takes care of an open alert, and returns the time of that: now. The alert stays open until '
    'its metric is well. p_notes are masked. For bcp_admin. ZB002 if there is no such alert.';

grant execute on function bcp.acknowledge_alert to bcp_admin;
