-- Loading the files of before makes it again with the parameters of then.
drop function if exists bcp_internal.usage_minutes(timestamptz, timestamptz, interval, text, jsonb, integer, integer);
