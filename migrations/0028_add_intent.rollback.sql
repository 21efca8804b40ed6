update bcp.otel_mappings set fills = fills - 'intent' where fills -> 'intent' = '"attributes.mcp.user_intent"';

drop function if exists bcp.begin_tool_call(
    text, text, text, jsonb, text, text, timestamptz, text, text, text, text, text);

drop function if exists bcp.log_tool_usage(
    text, text, text, jsonb, jsonb, boolean, text, timestamptz, timestamptz, double precision, text, text, text, text,
    text, text, text, text, text, text, text, bigint, bigint, inet, text, text, bigint, text);

alter type bcp.tool_call drop attribute intent;

alter table bcp.tool_usage_logs drop column intent;
