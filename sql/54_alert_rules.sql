-- Rules and alerts as a screen shows them: what a rule would have found, what opened and closed, who is not to be told.

create or replace function bcp_internal.changed_rule(p_rule_name text, p_changes jsonb) returns bcp.alert_rules
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_rule bcp.alert_rules;
begin
    if length(p_rule_name) between 1 and 200 is not true or jsonb_typeof(coalesce(p_changes, '{}')) <> 'object' then
        raise exception using
            errcode = 'ZB002', message = 'a rule needs a name of 1 to 200 characters, and an object as p_changes',
            hint = 'For example {"threshold": 2000, "clear_threshold": 1500}.';
    end if;
    select * into v_rule from bcp.alert_rules r where r.rule_name = p_rule_name;
    if not found then
        v_rule := jsonb_populate_record(null::bcp.alert_rules, jsonb_build_object(
            'min_calls', 1, 'for_at_least', '0', 'scope', 'tool', 'severity', 'warning', 'enabled', true,
            'lookback', '15 minutes', 'description', '', 'clear_threshold', p_changes -> 'threshold'));
    end if;
    if exists (
        select from jsonb_object_keys(p_changes) k
        where k in ('rule_name', 'last_error', 'snoozed_until')
           or k not in (select c.key from jsonb_each(to_jsonb(v_rule)) c))
    then
        raise exception using
            errcode = 'ZB002', message = 'p_changes has a key that is no column of a rule, or not yours to set',
            hint = 'docs/reference/schema.md lists the columns of bcp.alert_rules.';
    end if;
    begin
        v_rule := jsonb_populate_record(v_rule, p_changes);
    exception
        when data_exception then
            raise exception using
                errcode = 'ZB002', message = 'p_changes has a value that is not of its column''s type',
                hint = 'Intervals are text such as 15 minutes, thresholds are numbers.';
    end;
    v_rule.rule_name := p_rule_name;
    if v_rule.metric is null or v_rule.fires is null or v_rule.threshold is null or v_rule.clear_threshold is null
        or v_rule.lookback is null or v_rule.scope is null or v_rule.min_calls is null or v_rule.for_at_least is null
    then
        raise exception using
            errcode = 'ZB002', message = 'the rule lacks a value that every rule has',
            hint = 'A new rule needs metric, fires and threshold.';
    end if;
    return v_rule;
end
$func$;

comment on function bcp_internal.changed_rule is
    'A rule with the columns of p_changes changed, or a new rule of them, without storing it. ZB002 if a key or a '
    'value cannot be used.';

grant execute on function bcp_internal.changed_rule to bcp_reader;

create or replace function bcp.put_alert_rule(p_rule_name text, p_changes jsonb) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_rule constant bcp.alert_rules := bcp_internal.changed_rule(p_rule_name, p_changes);
    v_constraint text;
begin
    insert into bcp.alert_rules values (v_rule.*)
    on conflict (rule_name) do update set
        metric = v_rule.metric, fires = v_rule.fires, threshold = v_rule.threshold,
        clear_threshold = v_rule.clear_threshold, lookback = v_rule.lookback, short_lookback = v_rule.short_lookback,
        objective = v_rule.objective, min_calls = v_rule.min_calls, for_at_least = v_rule.for_at_least,
        scope = v_rule.scope, bcp_name = v_rule.bcp_name, tool_name = v_rule.tool_name, operation = v_rule.operation,
        severity = v_rule.severity, enabled = v_rule.enabled, description = v_rule.description;
    return true;
exception
    when check_violation or not_null_violation then
        get stacked diagnostics v_constraint = constraint_name;
        raise exception using
            errcode = 'ZB002',
            message = format('the rule cannot be: %s', coalesce(
                nullif(replace(replace(v_constraint, 'alert_rules_', ''), '_', ' '), ''), 'a value is missing')),
            hint = 'docs/reference/schema.md says what each column of bcp.alert_rules may hold.';
end
$func$;

comment on function bcp.put_alert_rule is
    'Changes the columns of a rule that p_changes has, or makes a rule of them; always true. A new rule needs at least '
    'metric, fires and threshold. bcp.alert_preview says what it would have found. For bcp_admin, who may also change '
    'bcp.alert_rules itself. ZB002 if the rule cannot be.';

grant execute on function bcp.put_alert_rule to bcp_admin;

create or replace function bcp.delete_alert_rule(p_rule_name text) returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with deleted as (
        delete from bcp.alert_rules where rule_name = p_rule_name returning 1
    )
    select exists (select from deleted)
$func$;

comment on function bcp.delete_alert_rule is
    'Deletes a rule, and returns whether there was one. Its open alerts close at the next evaluation. For bcp_admin.';

grant execute on function bcp.delete_alert_rule to bcp_admin;

create or replace function bcp.snooze_alert_rule(p_rule_name text, p_until timestamptz default null) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    update bcp.alert_rules
    set snoozed_until = bcp_internal.checked_time('p_until', p_until)
    where rule_name = p_rule_name;
    return found;
end
$func$;

comment on function bcp.snooze_alert_rule is
    'Has nobody notified of the alerts of a rule before p_until, and returns whether there is such a rule; null ends '
    'that. What is still open then is told then; what opened and closed meanwhile is told to nobody, and stays in '
    'bcp.alerts. For bcp_admin.';

grant execute on function bcp.snooze_alert_rule to bcp_admin;

create or replace function bcp.snooze_alert(p_alert_id bigint, p_until timestamptz default null) returns boolean
language plpgsql volatile
-- Only the owner may write to the table.
security definer
set search_path = pg_catalog, pg_temp
as $func$
begin
    update bcp.alerts
    set snoozed_until = bcp_internal.checked_time('p_until', p_until)
    where alert_id = p_alert_id and closed_at is null;
    return found;
end
$func$;

comment on function bcp.snooze_alert is
    'Has nobody notified of an open alert before p_until, as bcp.snooze_alert_rule does for all of a rule; returns '
    'whether there is such an alert. For bcp_admin.';

grant execute on function bcp.snooze_alert to bcp_admin;

create or replace function bcp.alert_history(
    p_since timestamptz default null, p_until timestamptz default null, p_rule_name text default null,
    p_limit integer default 100)
returns table (
    alert_id bigint, rule_name text, severity text, bcp_name text, tool_name text, metric text, value double precision,
    worst_value double precision, threshold double precision, call_count bigint, opened_at timestamptz,
    closed_at timestamptz, acknowledged_at timestamptz, acknowledged_by text, snoozed_until timestamptz, notes text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
begin
    return query
    select
        a.alert_id, a.rule_name, a.severity, a.bcp_name, a.tool_name, a.metric, a.value, a.worst_value, a.threshold,
        a.calls, a.opened_at, a.closed_at, a.acknowledged_at, a.acknowledged_by, a.snoozed_until, a.notes
    from bcp.alerts a
    where (a.opened_at < v_range.range_to or p_until is null)
      and (a.closed_at is null or a.closed_at >= v_range.range_from)
      and (p_rule_name is null or a.rule_name = p_rule_name)
    order by a.opened_at desc, a.alert_id desc
    limit v_limit;
end
$func$;

comment on function bcp.alert_history is
    'What was wrong, and when? One row per alert that was open at any time of the range, latest first, at most p_limit '
    '(1 to 10000). closed_at is null while it is open. metric, value and threshold are those of bcp.alert_rules. The '
    'range is [p_since, p_until), the last 24 hours by default.';

grant execute on function bcp.alert_history to bcp_reader;

create or replace function bcp.notification_history(
    p_since timestamptz default null, p_until timestamptz default null, p_channel_name text default null,
    p_delivery_id uuid default null, p_limit integer default 100)
returns table (
    logged_at timestamptz, channel_name text, delivery_id uuid, about text, rule_name text, attempt integer,
    status text, error text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
begin
    return query
    select l.logged_at, l.channel_name, l.delivery_id, l.about, l.rule_name, l.attempt, l.status, l.error
    from bcp.notification_log l
    where l.logged_at >= v_range.range_from and (l.logged_at < v_range.range_to or p_until is null)
      and (p_channel_name is null or l.channel_name = p_channel_name)
      and (p_delivery_id is null or l.delivery_id = p_delivery_id)
    order by l.logged_at desc, l.delivery_id, l.attempt desc
    limit v_limit;
end
$func$;

comment on function bcp.notification_history is
    'Who was told, and did it arrive? One row per attempt to deliver a message to a channel, latest first, at most '
    'p_limit (1 to 10000). about is alerts, digest or test; status is delivered, retry if another attempt follows, '
    'failed, or expired if it waited for 14 days. error says in a few words what went wrong, null if nothing did. The '
    'range is [p_since, p_until), the last 24 hours by default; attempts are kept for 90 days.';

grant execute on function bcp.notification_history to bcp_reader;
