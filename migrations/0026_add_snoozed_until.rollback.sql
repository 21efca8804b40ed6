alter table bcp.alerts drop column snoozed_until;

alter table bcp.alert_rules drop column snoozed_until;
