-- Why the agent called, in its own words. Last in table and type: whoever sends rows or reads by position keeps the
-- places of the other fields.
alter table bcp.tool_usage_logs add column intent text;

comment on column bcp.tool_usage_logs.intent is
    'Why the agent called the tool, in its own words, masked, and cut to 2,000 bytes; null where it did not say.';

alter type bcp.tool_call add attribute intent text;

comment on column bcp.tool_call.intent is 'Why the agent called the tool, in its own words.';

-- Both take p_intent, and `create or replace` would leave the functions without it beside the new ones.
drop function if exists bcp.log_tool_usage(
    text, text, text, jsonb, jsonb, boolean, text, timestamptz, timestamptz, double precision, text, text, text, text,
    text, text, text, text, text, text, text, bigint, bigint, inet, text, text, bigint);

drop function if exists bcp.begin_tool_call(
    text, text, text, jsonb, text, text, timestamptz, text, text, text, text);

-- The check of a changed mapping is code, of the version before until this one's is loaded, and knows no intent yet.
alter table bcp.otel_mappings disable trigger user;

update bcp.otel_mappings
set fills = fills || '{"intent": "attributes.mcp.user_intent"}'
where mapping = 'agentcat' and not fills ? 'intent';

alter table bcp.otel_mappings enable trigger user;
