-- Loading the files of before makes those of then again.
drop function if exists bcp_internal.connect_shard(text, text, text);
drop function if exists bcp_internal.send_to_shard(text, text, text, text);
drop function if exists bcp_internal.cancel_on_shard(text, text);
drop function if exists bcp_internal.leave_shard(text, text);
drop function if exists bcp_internal.await_shard(text, text[]);
drop function if exists bcp_internal.sketch_rows(timestamptz, timestamptz, interval, text, jsonb);
