-- Loading the files of before makes it again as it was.
drop function if exists bcp.find_calls(
    timestamptz, timestamptz, text, text, text, text, text, text, text, text, boolean, text, text, text, integer, uuid,
    text);
drop function if exists bcp_internal.token_log_ins(timestamptz, timestamptz);
drop function if exists bcp_internal.network_of(text);
drop function if exists bcp_internal.compared_tools(timestamptz, timestamptz, jsonb, boolean, boolean);
drop function if exists bcp_internal.tool_stats(timestamptz, timestamptz, jsonb, boolean);
drop function if exists bcp_internal.stats_statement(text);
drop function if exists bcp_internal.note_otlp_ignored(jsonb);
