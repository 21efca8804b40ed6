-- bcp.alert_preview says of which time its calls are, and `create or replace` cannot add columns.
drop function if exists bcp.alert_preview(text, jsonb, timestamptz, timestamptz);
drop function if exists bcp_internal.preview_runs(bcp.alert_rules, timestamptz, timestamptz, interval);
