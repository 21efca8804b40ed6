drop table bcp.user_sessions;

drop table bcp.users;

drop table bcp.performance_metrics;

drop table bcp.error_logs;

drop table bcp.tool_usage_logs;

drop type bcp.tool_call;

drop type bcp.error_level_enum;
