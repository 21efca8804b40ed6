drop materialized view bcp.call_stats_1h;

drop materialized view bcp.tool_stats_1d;

drop materialized view bcp.tool_stats_1h;
