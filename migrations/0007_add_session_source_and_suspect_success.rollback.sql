alter table bcp.tool_usage_logs drop column suspect_success;

drop index bcp.user_sessions_client_idx;

alter table bcp.user_sessions drop column resolved_by;

delete from bcp.settings where name = 'session_gap';
