-- Until when nobody is told of an alert, or of any alert of a rule.
alter table bcp.alert_rules add column snoozed_until timestamptz;

comment on column bcp.alert_rules.snoozed_until is
    'Until when its alerts open and close without notifications; null if they do not. bcp.snooze_alert_rule sets it.';

alter table bcp.alerts add column snoozed_until timestamptz;

comment on column bcp.alerts.snoozed_until is
    'Until when nobody is notified of it; null if it was not snoozed. bcp.snooze_alert sets it.';
