-- It has other parameters and columns now.
drop function if exists bcp_internal.usage_minutes(timestamptz, timestamptz, interval, text, jsonb);
