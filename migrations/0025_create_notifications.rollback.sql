delete from bcp.settings where name in ('notification_hosts', 'notification_max_attempts');

drop table bcp.notification_log;

drop table bcp_internal.notifier;

drop table bcp_internal.notification_outbox;

drop table bcp_internal.notification_deliveries;

drop table bcp_internal.notification_channels;
