drop index bcp.tool_usage_logs_created_at_idx;
