drop function if exists bcp_internal.notification_troubles();
drop function if exists bcp_internal.claim_notifications(integer, interval, uuid, text[]);

delete from bcp.notification_log where status = 'expired';

update bcp_internal.notification_deliveries set state = 'failed' where state = 'expired';

alter table bcp.notification_log
    drop constraint notification_log_status,
    add constraint notification_log_status check (status in ('delivered', 'retry', 'failed'));

alter table bcp_internal.notification_deliveries
    drop constraint notification_deliveries_state,
    add constraint notification_deliveries_state check (state in ('pending', 'delivered', 'failed'));

comment on column bcp.notification_log.attempt is 'Which attempt it was: 1 is the first.';

comment on column bcp.notification_log.status is
    'delivered; retry, if it did not succeed and another attempt follows; or failed, if none follows.';
