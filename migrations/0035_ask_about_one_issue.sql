-- bcp.error_issues takes p_fingerprint, to be asked about one issue, and `create or replace` would leave the function
-- without it beside the new one.
drop function if exists bcp.error_issues(
    timestamptz, timestamptz, text, bcp.error_level_enum, text, text, integer, text);

drop function if exists bcp_internal.error_cells(
    timestamptz, timestamptz, bcp.error_level_enum, text, text, boolean, text);
