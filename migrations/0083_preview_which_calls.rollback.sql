-- Loading the files of before makes them again as they were.
drop function if exists bcp.alert_preview(text, jsonb, timestamptz, timestamptz);
drop function if exists bcp_internal.preview_runs(bcp.alert_rules, timestamptz, timestamptz, interval);
