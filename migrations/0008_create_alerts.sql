-- Rules that watch the calls, and what they found.
create table bcp.alert_rules (
    -- A NOTIFY holds 8,000 bytes, an index entry 2,700.
    rule_name text primary key constraint alert_rules_rule_name check (length(rule_name) between 1 and 200),
    metric text not null constraint alert_rules_metric check (
        metric in ('avg_duration_ms', 'success_rate', 'error_rate', 'throughput', 'burn_rate')),
    fires text not null constraint alert_rules_fires check (fires in ('above', 'below')),
    threshold double precision not null constraint alert_rules_threshold check (abs(threshold) < 'infinity'),
    clear_threshold double precision not null
        constraint alert_rules_clear_threshold check (abs(clear_threshold) < 'infinity'),
    lookback interval not null
        constraint alert_rules_lookback check (lookback > interval '0' and lookback <= interval '366 days'),
    short_lookback interval constraint alert_rules_short_lookback check (
        short_lookback > interval '0' and short_lookback < lookback),
    objective double precision constraint alert_rules_objective check (objective > 0 and objective < 1),
    min_calls bigint not null default 1 constraint alert_rules_min_calls check (min_calls > 0),
    for_at_least interval not null default '0' constraint alert_rules_for_at_least check (
        for_at_least >= interval '0' and for_at_least <= interval '366 days'),
    scope text not null default 'tool' constraint alert_rules_scope check (scope in ('all', 'bcp', 'tool')),
    bcp_name text,
    tool_name text,
    operation text,
    severity text not null default 'warning'
        constraint alert_rules_severity check (severity in ('warning', 'critical')),
    enabled boolean not null default true,
    description text not null,
    last_error text,
    constraint alert_rules_clears_on_the_other_side check (
        case fires when 'above' then clear_threshold <= threshold else clear_threshold >= threshold end),
    constraint alert_rules_burn_rate_has_objective check ((metric = 'burn_rate') = (objective is not null))
);

comment on table bcp.alert_rules is
    'Rules that open and close alerts. Change, add and delete rows as you like; a job evaluates them every minute, and '
    'bcp.active_alerts shows the result.';

comment on column bcp.alert_rules.rule_name is 'Name of the rule, up to 200 characters.';

comment on column bcp.alert_rules.metric is
    'Computed from the calls of lookback: avg_duration_ms; success_rate and error_rate, shares from 0 to 1 of the '
    'calls that say whether they succeeded; throughput, calls per minute; or burn_rate, which is error_rate / (1 - '
    'objective).';

comment on column bcp.alert_rules.fires is 'above or below: the side of threshold on which a value is wrong.';

comment on column bcp.alert_rules.threshold is 'An alert opens beyond this value; in the unit of the metric.';

comment on column bcp.alert_rules.clear_threshold is
    'An open alert closes only when the metric is back on the right side of this value, so that it does not flap.';

comment on column bcp.alert_rules.lookback is
    'Length of the time before each evaluation whose calls count, up to 366 days.';

comment on column bcp.alert_rules.short_lookback is
    'If given, the metric has to be beyond the threshold within this shorter time too, so that the alert closes soon '
    'after the fault ends.';

comment on column bcp.alert_rules.objective is 'Share of calls that should succeed, for burn_rate.';

comment on column bcp.alert_rules.min_calls is 'With fewer calls in the metric than this, nothing counts as wrong.';

comment on column bcp.alert_rules.for_at_least is
    'How long the metric has to be beyond the threshold before the alert opens, up to 366 days.';

comment on column bcp.alert_rules.scope is 'all: one alert for all calls; bcp: one per bundle; tool: one per tool.';

comment on column bcp.alert_rules.bcp_name is 'Only calls of this bundle.';

comment on column bcp.alert_rules.tool_name is 'Only calls of this tool.';

comment on column bcp.alert_rules.operation is 'Only calls with this operation.';

comment on column bcp.alert_rules.severity is 'warning or critical.';

comment on column bcp.alert_rules.enabled is 'Whether it is evaluated.';

comment on column bcp.alert_rules.description is 'What it means, and what to do.';

comment on column bcp.alert_rules.last_error is
    'SQLSTATE with which the latest evaluation failed, null if it did not. The alerts of a rule that fails stay as '
    'they were.';

-- Burn rates as in https://sre.google/workbook/alerting-on-slos/, 6: of an error budget of 30 days, 2 percent within an
-- hour, or 5 percent within six.
insert into bcp.alert_rules
    (rule_name, metric, fires, threshold, clear_threshold, lookback, short_lookback, objective, min_calls, scope,
     severity, enabled, description)
values
    ('slow', 'avg_duration_ms', 'above', 5000, 4500, '15 minutes', null, null, 10, 'tool', 'warning', true,
     'The mean duration of a tool is over 5 seconds.'),
    ('low_success', 'success_rate', 'below', 0.95, 0.96, '15 minutes', null, null, 20, 'tool', 'warning', true,
     'Fewer than 95 percent of a tool''s calls succeed.'),
    ('errors', 'error_rate', 'above', 0.05, 0.04, '15 minutes', null, null, 20, 'bcp', 'warning', true,
     'More than 5 percent of a bundle''s calls fail.'),
    ('load', 'throughput', 'above', 1000, 900, '5 minutes', null, null, 1, 'all', 'warning', false,
     'More calls a minute than what you stated as your capacity: set threshold and clear_threshold, then enable it.'),
    ('budget_fast', 'burn_rate', 'above', 14.4, 14.4, '1 hour', '5 minutes', 0.95, 20, 'all', 'critical', true,
     'Failures use up the error budget of a month within two days.'),
    ('budget_slow', 'burn_rate', 'above', 6, 6, '6 hours', '30 minutes', 0.95, 50, 'all', 'warning', true,
     'Failures use up the error budget of a month within five days.');

create table bcp.alerts (
    rule_name text not null,
    alert_id bigint generated always as identity primary key,
    bcp_name text,
    tool_name text,
    metric text not null,
    severity text not null,
    threshold double precision not null,
    value double precision not null,
    worst_value double precision not null,
    calls bigint not null,
    pending_since timestamptz not null,
    opened_at timestamptz,
    closed_at timestamptz,
    evaluated_at timestamptz not null,
    acknowledged_at timestamptz,
    acknowledged_by text,
    notes text
);

comment on table bcp.alerts is
    'One row each time that a rule found something wrong with all calls, a bundle or a tool. Closed alerts are the '
    'history.';

comment on column bcp.alerts.rule_name is 'Rule: see bcp.alert_rules.';

comment on column bcp.alerts.alert_id is 'Id of the alert, which bcp.acknowledge_alert takes.';

comment on column bcp.alerts.bcp_name is 'Bundle that the alert is about, null if the rule is about all.';

comment on column bcp.alerts.tool_name is 'Tool that the alert is about, null if the rule is not about tools.';

comment on column bcp.alerts.metric is 'Metric of the rule.';

comment on column bcp.alerts.severity is 'Severity of the rule.';

comment on column bcp.alerts.threshold is 'Threshold of the rule.';

comment on column bcp.alerts.value is 'The metric at the latest evaluation that had a value.';

comment on column bcp.alerts.worst_value is 'The metric at its worst.';

comment on column bcp.alerts.calls is 'Number of calls from which value was computed.';

comment on column bcp.alerts.pending_since is 'When the metric was first found beyond the threshold.';

comment on column bcp.alerts.opened_at is 'When it opened; null while for_at_least has not passed.';

comment on column bcp.alerts.closed_at is 'When it closed; null while it is open.';

comment on column bcp.alerts.evaluated_at is 'Time of the latest evaluation.';

comment on column bcp.alerts.acknowledged_at is 'When somebody acknowledged it.';

comment on column bcp.alerts.acknowledged_by is 'Role that acknowledged it.';

comment on column bcp.alerts.notes is 'Notes of whoever acknowledged it, masked.';

create unique index alerts_live_idx on bcp.alerts (rule_name, coalesce(bcp_name, ''), coalesce(tool_name, ''))
    where closed_at is null;

create index alerts_opened_at_idx on bcp.alerts (opened_at);
