-- Loading the files of before makes it again with the columns of then.
drop function if exists bcp_internal.usage_minutes(timestamptz, timestamptz, interval, text, jsonb);
drop function if exists bcp_internal.states_of_shards();
drop function if exists bcp_internal.cancel_on_shard(text, text);
