-- Finds the calls that were stored just now, whatever their start: see sql/49_live.sql. All calls of a batch have one
-- created_at, and the index keeps it once.
create index tool_usage_logs_created_at_idx on bcp.tool_usage_logs (created_at);
