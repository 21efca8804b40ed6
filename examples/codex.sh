#!/bin/sh
# Starts Codex so that it reports its tool calls. To have that always, write into ~/.codex/config.toml
#
#     [otel.exporter.otlp-http]
#     endpoint = "http://127.0.0.1:8787/v1/logs"
#     protocol = "binary"
#
# and export the variable with the token in your shell's profile.
#
# export BCP_TOKEN=...      as bcp-analytics up --serve says; or, to send and nothing else,
#                           bcp-analytics token create laptop --role ingest
# sh codex.sh
: "${BCP_TOKEN:?is not set}"

# Headers of config.toml are sent as they stand there, without looking into the environment; and other users of the
# machine can read what is on the command line. LOGS: the token must not go where Codex sends its metrics.
export OTEL_EXPORTER_OTLP_LOGS_HEADERS="Authorization=Bearer%20$BCP_TOKEN"
endpoint="${BCP_URL:-http://127.0.0.1:8787}/v1/logs"

exec codex -c "otel.exporter={otlp-http={endpoint=\"$endpoint\",protocol=\"binary\"}}" "$@"
