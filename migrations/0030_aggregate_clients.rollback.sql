drop materialized view bcp.failed_usage_1mo;

drop materialized view bcp.client_tool_usage_1mo;

drop materialized view bcp.client_tool_usage_1d;

drop materialized view bcp.client_usage_1d;

drop function if exists bcp_internal.sums_of_calls(text, boolean);
