delete from bcp.settings where name in ('login_names', 'bytes_per_token');

drop index bcp.error_logs_search_idx;

comment on column bcp.error_logs.resolution_notes is 'How it was dealt with.';

comment on column bcp.error_logs.resolved is 'Whether somebody has dealt with it.';

drop table bcp.issue_actions;
