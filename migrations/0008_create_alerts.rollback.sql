drop table bcp.alerts;

drop table bcp.alert_rules;
