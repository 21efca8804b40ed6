drop materialized view bcp.call_latency_1d;

drop materialized view bcp.call_latency_1h;
