-- Both return the intent of a call, and `create or replace` cannot change what a function returns.
drop function if exists bcp.find_calls(
    timestamptz, timestamptz, text, text, text, text, text, text, text, text, boolean, text, text, text, integer, uuid);
drop function if exists bcp.session_timeline(text, timestamptz, timestamptz, integer);
