#!/bin/sh
# Starts Claude Code so that it reports its tool calls. To have that always, put the variables into "env" of
# ~/.claude/settings.json, or export them in your shell's profile.
#
# export BCP_TOKEN=...      as bcp-analytics up --serve says; or, to send and nothing else,
#                           bcp-analytics token create laptop --role ingest
# sh claude_code.sh
: "${BCP_TOKEN:?is not set}"

export CLAUDE_CODE_ENABLE_TELEMETRY=1
# Tool calls are log records. Of numbers alone no call can be made.
export OTEL_LOGS_EXPORTER=otlp
export OTEL_METRICS_EXPORTER=none
# gRPC is not taken. The path /v1/logs is added to the endpoint.
export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
export OTEL_EXPORTER_OTLP_ENDPOINT="${BCP_URL:-http://127.0.0.1:8787}"
export OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer $BCP_TOKEN"
# Names of MCP servers and their tools, and what tools were called with. Personal data in it is masked.
export OTEL_LOG_TOOL_DETAILS=1

exec claude "$@"
