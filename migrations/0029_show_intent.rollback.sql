drop function if exists bcp.find_calls(
    timestamptz, timestamptz, text, text, text, text, text, text, text, text, boolean, text, text, text, integer, uuid);
drop function if exists bcp.session_timeline(text, timestamptz, timestamptz, integer);
