drop materialized view if exists bcp.tool_stats_local2_1d;

drop materialized view if exists bcp.tool_stats_local3_1d;

delete from bcp.settings where name in ('time_zone_2', 'time_zone_3');

-- Rolling back leaves what create or replace made.
drop function if exists bcp_internal.keep_days_of(text, text);
