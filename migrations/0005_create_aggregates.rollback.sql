drop materialized view bcp.session_activity_1d;

drop materialized view bcp.user_activity_1d;

drop materialized view bcp.metrics_1d;

drop materialized view bcp.metrics_1h;

drop materialized view bcp.metrics_5m;

drop materialized view bcp.metrics_1m;

drop materialized view bcp.errors_1d;

drop materialized view bcp.errors_1h;

drop materialized view bcp.tool_latency_1mo;

drop materialized view bcp.tool_latency_1d;

drop materialized view bcp.tool_latency_1h;

drop materialized view bcp.tool_usage_1mo;

drop materialized view bcp.tool_usage_1d;

drop materialized view bcp.tool_usage_1h;

drop materialized view bcp.tool_usage_1m;
