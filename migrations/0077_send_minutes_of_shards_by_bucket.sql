-- It has other columns now.
drop function if exists bcp_internal.usage_minutes(timestamptz, timestamptz, interval, text, jsonb);
