-- Calls by SQL, as from any program that speaks to PostgreSQL, and questions.
--
-- psql "$BCP_ANALYTICS_DSN" -f psql.sql          the connection string is what bcp-analytics up says

\set ON_ERROR_STOP on
\set QUIET on
\pset pager off

\echo One call
select * from bcp.log_tool_usage(
    'files', 'read_file', p_parameters => '{"path": "/etc/hosts"}', p_duration_ms => 12.5, p_success => true);

\echo A batch; the call without a tool is rejected, alone
select * from bcp.ingest_tool_usage(gen_random_uuid(), '[
    {"bcp_name": "files", "tool_name": "write_file", "duration_ms": 840, "success": false, "error_type": "DiskFull",
     "parameters": {"owner": "ada@example.com", "password": "hunter2"}},
    {"bcp_name": "files", "duration_ms": 12}
]');

\echo What became of it: personal data is masked
select tool_name, outcome, parameters from bcp.tool_usage_logs
where bcp_name = 'files' and start_time > now() - interval '1 minute'
order by created_at, tool_name;

select tool_name, call_count, error_count, p95_duration_ms
from bcp.tool_usage_stats(now() - interval '1 hour', now() + interval '1 second', null, p_bcp_name => 'files');
