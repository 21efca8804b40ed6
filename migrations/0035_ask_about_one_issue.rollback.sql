drop function if exists bcp.error_issues(
    timestamptz, timestamptz, text, bcp.error_level_enum, text, text, integer, text, text);

drop function if exists bcp_internal.error_cells(
    timestamptz, timestamptz, bcp.error_level_enum, text, text, boolean, text, text);
