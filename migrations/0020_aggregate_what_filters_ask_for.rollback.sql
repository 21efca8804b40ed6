drop materialized view bcp.user_usage_1d;

drop materialized view bcp.failed_usage_1h;

drop materialized view bcp.total_usage_1h;

drop materialized view bcp.total_usage_1m;
