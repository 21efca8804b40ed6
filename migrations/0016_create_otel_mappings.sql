-- What of OpenTelemetry is a tool call. These are rows and not code, because the conventions are still moving and each
-- sender has its own.
create table bcp.otel_mappings (
    mapping text primary key constraint otel_mappings_mapping check (mapping ~ '^[a-z][a-z0-9_]{0,60}$'),
    signal text not null constraint otel_mappings_signal check (signal in ('span', 'log')),
    ordinal integer not null,
    matches jsonb not null,
    action text not null constraint otel_mappings_action check (action in ('call', 'ignore')),
    vantage text constraint otel_mappings_vantage check (vantage in ('server', 'client')),
    fills jsonb not null default '{}',
    reason text,
    enabled boolean not null default true,
    note text,
    constraint otel_mappings_ignored_with_reason check ((action = 'ignore') = (reason is not null))
);

comment on table bcp.otel_mappings is
    'Which spans and log records of OpenTelemetry are tool calls, and which of their attributes fill which field. Of '
    'the rows that match a record, the one with the lowest ordinal decides; a record that none matches is ignored. '
    'Change, add and delete rows as you like: the server reads them again every minute.';

comment on column bcp.otel_mappings.mapping is
    'Name of the row. The attribute otel_mapping of a stored call has it.';

comment on column bcp.otel_mappings.signal is 'span or log: the kind of record that the row is for.';

comment on column bcp.otel_mappings.ordinal is 'Rows are tried from the lowest to the highest, equal ones by name.';

comment on column bcp.otel_mappings.matches is
    'What a record has to have: an object from a field of the record to a condition, all of which must hold. A field '
    'is attributes.KEY, resource.KEY, scope.name, scope.version or scope.KEY; of a span also name, kind (internal, '
    'server, client, producer, consumer) and status (unset, ok, error); of a log record also event (its event name, '
    'the attribute event.name, and the body where that is text: any of them may hold) and severity. A condition is a '
    'value, a list of values of which one must be there, null for no value, or an object with one of present (true), '
    'prefix, or from (a text before which the value does not sort, as of dates).';

comment on column bcp.otel_mappings.action is 'call: the record is a tool call; ignore: it is none, as reason says.';

comment on column bcp.otel_mappings.vantage is
    'Whose view of a call the record is. One of the client counts only where the token of the sender has the vantage '
    'client, and one of the server only where it has not, so that a call that both report is counted once. Null: it '
    'counts always.';

comment on column bcp.otel_mappings.fills is
    'Where the fields of a call come from: an object from a field of bcp.log_tool_usage to a source, or to a list of '
    'sources of which the first that has a value counts. A source is a field of the record, named like those of '
    'matches, of a log record also body, time and observed_time; or an object with one of literal (the value itself), '
    'under (an object of all attributes that begin so) and from (a field of the record), the latter with member (a '
    'member of the JSON in it) or after (what follows this prefix of it). The field is_error is true where the tool '
    'itself said that it failed.';

comment on column bcp.otel_mappings.reason is
    'Of ignored records why they are, for the log and the counts of the server.';

comment on column bcp.otel_mappings.enabled is 'Whether the row counts.';

comment on column bcp.otel_mappings.note is 'Who sends such records, and where that is described.';

-- Fields that several conventions share.
create function bcp_internal.add_otel_mapping(
    p_ordinal integer, p_mapping text, p_signal text, p_matches jsonb, p_fills jsonb, p_note text,
    p_vantage text default null)
returns void
language sql
set search_path = pg_catalog, pg_temp
as $func$
    insert into bcp.otel_mappings (ordinal, mapping, signal, matches, action, vantage, fills, note)
    select
        p_ordinal, p_mapping, p_signal, p_matches, 'call', p_vantage,
        jsonb_build_object(
            'bcp_name', '["resource.service.name", "scope.name"]'::jsonb,
            'user_id', '["attributes.user.id", "attributes.enduser.id"]'::jsonb,
            'release', '"resource.service.version"'::jsonb,
            'error_type', '"attributes.error.type"'::jsonb,
            'session_id', '"attributes.session.id"'::jsonb,
            'conversation_id', '"attributes.gen_ai.conversation.id"'::jsonb,
            'client_model', '["attributes.gen_ai.request.model", "attributes.gen_ai.response.model"]'::jsonb
        ) || p_fills,
        p_note
$func$;

-- Spans that repeat what another span says.
insert into bcp.otel_mappings (ordinal, mapping, signal, matches, action, reason, note) values
    (10, 'mcp_sdk_sends', 'span', '{"kind": "client", "name": {"prefix": "MCP send "}}', 'ignore',
     'the MCP SDK''s span of a message that it sends',
     'MCP Python SDK 2: the span of the client or the server is the call.'),
    (20, 'fastmcp_inner', 'span', '{"scope.name": "fastmcp", "kind": "internal"}', 'ignore',
     'FastMCP''s span of a part of a call',
     'FastMCP 4: mounted servers and providers, inside the span of the request.'),
    (30, 'claude_code_spans', 'span', '{"name": {"prefix": "claude_code."}}', 'ignore',
     'Claude Code reports its calls as log records', 'Claude Code: its traces, a beta, repeat the log records.');

-- The Model Context Protocol, by OpenTelemetry's conventions: opentelemetry.io/docs/specs/semconv/gen-ai/mcp.
do $block$
declare
    v_mcp constant jsonb := $json${
        "tool_name": ["attributes.gen_ai.tool.name", {"from": "name", "after": "tools/call "}],
        "operation": {"literal": "tools/call"},
        "parameters": "attributes.gen_ai.tool.call.arguments",
        "response_data": "attributes.gen_ai.tool.call.result",
        "request_id": ["attributes.gen_ai.tool.call.id", "attributes.jsonrpc.request.id"],
        "session_id": "attributes.mcp.session.id"}$json$;
    v_server constant jsonb := v_mcp || $json${
        "bcp_name": ["resource.service.name", "attributes.fastmcp.server.name", "scope.name"],
        "ip_address": "attributes.client.address",
        "user_agent": "attributes.user_agent.original"}$json$;
    v_client constant jsonb := v_mcp || $json${
        "bcp_name": ["attributes.mcp.server.name", "resource.service.name", "scope.name"],
        "client_name": "resource.service.name",
        "client_version": "resource.service.version",
        "release": []}$json$;
    v_list constant jsonb := $json${
        "tool_name": {"literal": "tools/list"}, "operation": {"literal": "tools/list"},
        "parameters": [], "response_data": []}$json$;
begin
    perform bcp_internal.add_otel_mapping(
        100, 'fastmcp_sessionless_server', 'span',
        '{"scope.name": "fastmcp", "kind": "server", "attributes.mcp.method.name": "tools/call",
          "attributes.mcp.protocol.version": {"from": "2026-07-28"}}',
        v_server - 'session_id', 'FastMCP 4: from protocol version 2026-07-28 on, mcp.session.id is new in each call.',
        'server');
    perform bcp_internal.add_otel_mapping(
        110, 'mcp_server', 'span', '{"kind": "server", "attributes.mcp.method.name": "tools/call"}', v_server,
        'MCP conventions: FastMCP, the MCP SDK, and others.', 'server');
    perform bcp_internal.add_otel_mapping(
        120, 'mcp_client', 'span', '{"kind": "client", "attributes.mcp.method.name": "tools/call"}', v_client,
        'MCP conventions: FastMCP''s client and others.', 'client');
    perform bcp_internal.add_otel_mapping(
        130, 'fastmcp_sessionless_server_list', 'span',
        '{"scope.name": "fastmcp", "kind": "server", "attributes.mcp.method.name": "tools/list",
          "attributes.mcp.protocol.version": {"from": "2026-07-28"}}',
        v_server - 'session_id' || v_list, 'FastMCP 4.', 'server');
    perform bcp_internal.add_otel_mapping(
        140, 'mcp_server_list', 'span', '{"kind": "server", "attributes.mcp.method.name": "tools/list"}',
        v_server || v_list, 'MCP conventions: a list of tools, which is no call.', 'server');
    perform bcp_internal.add_otel_mapping(
        150, 'mcp_client_list', 'span', '{"kind": "client", "attributes.mcp.method.name": "tools/list"}',
        v_client || v_list, 'MCP conventions: a list of tools, which is no call.', 'client');
end
$block$;

-- Agents and their frameworks.
select bcp_internal.add_otel_mapping(
    200, 'sentry_mcp_client', 'span', '{"kind": "client", "attributes.mcp.tool.name": {"present": true}}',
    '{"tool_name": "attributes.mcp.tool.name", "operation": {"literal": "tools/call"},
      "bcp_name": ["attributes.mcp.server.name", "resource.service.name", "scope.name"],
      "is_error": "attributes.mcp.tool.result.is_error", "session_id": "attributes.mcp.session.id"}',
    'As sentry_mcp, of a client.', 'client');
select bcp_internal.add_otel_mapping(
    210, 'sentry_mcp', 'span', '{"attributes.mcp.tool.name": {"present": true}}',
    '{"tool_name": "attributes.mcp.tool.name", "operation": {"literal": "tools/call"},
      "bcp_name": ["attributes.mcp.server.name", "resource.service.name", "scope.name"],
      "parameters": ["attributes.gen_ai.tool.call.arguments", "attributes.mcp.tool.input",
                     "attributes.mcp.tool.arguments", {"under": "attributes.mcp.request.argument."}],
      "response_data": ["attributes.gen_ai.tool.call.result", "attributes.mcp.tool.output",
                        "attributes.mcp.tool.result.content"],
      "is_error": "attributes.mcp.tool.result.is_error", "request_id": "attributes.mcp.request.id",
      "session_id": "attributes.mcp.session.id", "client_name": "attributes.mcp.client.name",
      "client_version": "attributes.mcp.client.version", "ip_address": "attributes.client.address"}',
    'Sentry''s SDK for MCP servers, and many servers'' own spans.');
select bcp_internal.add_otel_mapping(
    220, 'rpc_tools_call_client', 'span', '{"kind": "client", "attributes.rpc.method": "tools/call"}',
    '{"tool_name": ["attributes.gen_ai.tool.name", {"from": "name", "after": "tools/call "}],
      "operation": {"literal": "tools/call"}}',
    'As rpc_tools_call, of a client.', 'client');
select bcp_internal.add_otel_mapping(
    230, 'rpc_tools_call', 'span', '{"attributes.rpc.method": "tools/call"}',
    '{"tool_name": ["attributes.gen_ai.tool.name", "attributes.tool.name", {"from": "name", "after": "mcp.tools/call "},
                    {"from": "name", "after": "tools/call "}, "name"],
      "operation": {"literal": "tools/call"},
      "request_id": ["attributes.jsonrpc.request.id", "attributes.rpc.jsonrpc.request_id"],
      "session_id": "attributes.mcp.session.id", "is_error": "attributes.mcp.tool.result.is_error"}',
    'MCP servers that follow the conventions of RPC.');
select bcp_internal.add_otel_mapping(
    240, 'agentcat', 'span',
    '{"scope.name": ["agentcat", "mcpcat"], "attributes.mcp.event_type": ["mcp:tools/call", "tools/call"]}',
    '{"tool_name": "attributes.mcp.resource_name", "operation": {"literal": "tools/call"},
      "session_id": "attributes.mcp.session_id", "user_id": "attributes.mcp.actor_id",
      "client_name": "attributes.mcp.client_name", "client_version": "attributes.mcp.client_version"}',
    'AgentCat, before that MCPcat: exporter otlp.');
select bcp_internal.add_otel_mapping(
    250, 'agentcat_list', 'span',
    '{"scope.name": ["agentcat", "mcpcat"], "attributes.mcp.event_type": ["mcp:tools/list", "tools/list"]}',
    '{"tool_name": {"literal": "tools/list"}, "operation": {"literal": "tools/list"},
      "session_id": "attributes.mcp.session_id", "user_id": "attributes.mcp.actor_id",
      "client_name": "attributes.mcp.client_name", "client_version": "attributes.mcp.client_version"}',
    'AgentCat: a list of tools, which is no call.');
select bcp_internal.add_otel_mapping(
    260, 'gateway_tool_invoke', 'span', '{"name": "tool.invoke", "attributes.tool.name": {"present": true}}',
    '{"tool_name": "attributes.tool.name",
      "bcp_name": ["attributes.gateway.name", "resource.service.name", "scope.name"],
      "success": "attributes.success", "error_message": "attributes.error.message"}',
    'Gateways such as ContextForge.');
select bcp_internal.add_otel_mapping(
    300, 'gen_ai_execute_tool', 'span', '{"attributes.gen_ai.operation.name": "execute_tool"}',
    '{"tool_name": ["attributes.gen_ai.tool.name", {"from": "name", "after": "execute_tool "}],
      "bcp_name": ["attributes.mcp.server.name", "resource.service.name", "scope.name"],
      "parameters": ["attributes.gen_ai.tool.call.arguments", "attributes.tool_arguments"],
      "response_data": ["attributes.gen_ai.tool.call.result", "attributes.tool_response"],
      "request_id": "attributes.gen_ai.tool.call.id",
      "client_name": "attributes.gen_ai.agent.name"}',
    'GenAI conventions: Pydantic AI, Google ADK, Strands, openai-agents by OpenTelemetry, and others.');
select bcp_internal.add_otel_mapping(
    310, 'openinference_tool', 'span', '{"attributes.openinference.span.kind": ["TOOL", "tool"]}',
    '{"tool_name": ["attributes.tool.name", "name"],
      "parameters": "attributes.input.value",
      "response_data": "attributes.output.value",
      "request_id": ["attributes.tool.id", "attributes.tool_call.id"]}',
    'OpenInference: Arize Phoenix and its instrumentations. tool.parameters is the schema of the tool.');
select bcp_internal.add_otel_mapping(
    320, 'traceloop_tool', 'span', '{"attributes.traceloop.span.kind": "tool"}',
    '{"tool_name": ["attributes.gen_ai.tool.name", "attributes.traceloop.entity.name", "name"],
      "parameters": ["attributes.gen_ai.tool.call.arguments", "attributes.traceloop.entity.input"],
      "response_data": ["attributes.gen_ai.tool.call.result", "attributes.traceloop.entity.output"],
      "session_id": "attributes.traceloop.association.properties.session_id",
      "user_id": ["attributes.traceloop.association.properties.user_id", "attributes.user.id"]}',
    'OpenLLMetry (Traceloop).');
select bcp_internal.add_otel_mapping(
    330, 'vercel_ai_tool_call', 'span', '{"attributes.ai.toolCall.name": {"present": true}}',
    '{"tool_name": "attributes.ai.toolCall.name", "parameters": "attributes.ai.toolCall.args",
      "response_data": "attributes.ai.toolCall.result", "request_id": "attributes.ai.toolCall.id",
      "user_id": ["attributes.ai.telemetry.metadata.userId", "attributes.user.id"],
      "session_id": ["attributes.ai.telemetry.metadata.sessionId", "attributes.session.id"],
      "client_name": "attributes.ai.telemetry.functionId"}',
    'Vercel AI SDK: the span ai.toolCall.');

-- Coding agents, which report calls as log records.
select bcp_internal.add_otel_mapping(
    p_ordinal => 100 + n, p_mapping => 'claude_code_tool_result' || suffix, p_signal => 'log', p_matches => matches,
    p_fills => $json${
        "tool_name": [{"from": "attributes.tool_parameters", "member": "mcp_tool_name"}, "attributes.mcp_tool.name",
                      "attributes.tool_name", "attributes.name"],
        "bcp_name": [{"from": "attributes.tool_parameters", "member": "mcp_server_name"}, "attributes.mcp_server.name",
                     "resource.service.name", {"literal": "claude-code"}],
        "parameters": ["attributes.tool_input", "attributes.tool_parameters"],
        "success": "attributes.success", "duration_ms": "attributes.duration_ms",
        "error_type": ["attributes.error_type", "attributes.error.type"],
        "error_message": "attributes.error", "request_bytes": "attributes.tool_input_size_bytes",
        "response_bytes": "attributes.tool_result_size_bytes", "request_id": "attributes.tool_use_id",
        "end_time": ["time", "observed_time", "attributes.event.timestamp"],
        "user_id": ["attributes.user.account_uuid", "attributes.user.id"],
        "client_name": {"literal": "claude-code"}, "client_model": "attributes.model", "release": [],
        "client_version": ["attributes.app.version", "resource.service.version"]}$json$,
    p_note => 'Claude Code: code.claude.com/docs, Monitoring. Names of MCP servers and tools: OTEL_LOG_TOOL_DETAILS=1.')
from (values
    (0, '', '{"event": "claude_code.tool_result"}'::jsonb),
    (10, '_short', '{"event": "tool_result", "scope.name": {"prefix": "com.anthropic.claude_code"}}')
) as r (n, suffix, matches);
select bcp_internal.add_otel_mapping(
    120, 'codex_tool_result', 'log', '{"event": "codex.tool_result"}',
    '{"tool_name": "attributes.tool_name",
      "bcp_name": ["attributes.mcp_server", "resource.service.name", {"literal": "codex"}],
      "parameters": "attributes.arguments", "response_data": "attributes.output",
      "success": "attributes.success", "duration_ms": "attributes.duration_ms", "request_id": "attributes.call_id",
      "end_time": ["time", "observed_time", "attributes.event.timestamp"],
      "conversation_id": "attributes.conversation.id", "user_id": "attributes.user.account_id",
      "client_name": {"literal": "codex"}, "client_model": "attributes.model", "release": [],
      "client_version": ["attributes.app.version", "resource.service.version"]}',
    'OpenAI Codex: [otel] in config.toml. The time of its records is 0.');
select bcp_internal.add_otel_mapping(
    130, 'gemini_cli_tool_call', 'log', '{"event": ["gemini_cli.tool_call", "qwen-code.tool_call"]}',
    '{"tool_name": "attributes.function_name",
      "bcp_name": ["attributes.mcp_server_name", "resource.service.name", {"literal": "gemini-cli"}],
      "parameters": "attributes.function_args", "success": "attributes.success",
      "duration_ms": "attributes.duration_ms", "error_type": "attributes.error_type",
      "error_message": "attributes.error", "end_time": ["time", "observed_time", "attributes.event.timestamp"],
      "client_name": "resource.service.name", "client_model": "attributes.model", "release": [],
      "client_version": "resource.service.version"}',
    'Gemini CLI and Qwen Code.');

drop function bcp_internal.add_otel_mapping(integer, text, text, jsonb, jsonb, text, text);
