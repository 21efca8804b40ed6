-- bcp.find_calls takes p_intent, and `create or replace` would leave the function without it beside the new one.
drop function if exists bcp.find_calls(
    timestamptz, timestamptz, text, text, text, text, text, text, text, text, boolean, text, text, text, integer, uuid);
