-- Without a notifier the outbox would grow for ever. What nobody fetches expires, and this state says so.
alter table bcp_internal.notification_deliveries
    drop constraint notification_deliveries_state,
    add constraint notification_deliveries_state check (state in ('pending', 'delivered', 'failed', 'expired'));

alter table bcp.notification_log
    drop constraint notification_log_status,
    add constraint notification_log_status check (status in ('delivered', 'retry', 'failed', 'expired'));

comment on column bcp.notification_log.status is
    'delivered; retry, if it did not succeed and another attempt follows; failed, if none follows; or expired, if it '
    'waited for so long that it is news no more.';

comment on column bcp.notification_log.attempt is
    'Which attempt it was: 1 is the first. 0 if it expired before there was one.';

-- One returns a column more, the other takes a parameter more, and `create or replace` can change neither.
drop function if exists bcp_internal.notification_troubles();
drop function if exists bcp_internal.claim_notifications(integer, interval, uuid);
