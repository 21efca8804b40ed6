drop materialized view bcp.listed_tools_1d;

drop materialized view bcp.tool_pairs_1mo;

drop materialized view bcp.tool_pairs_1d;

drop materialized view bcp.session_steps_1d;
