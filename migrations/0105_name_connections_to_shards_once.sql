-- These take the name of the connection now, in place of whom the shard is asked as.
drop function if exists bcp_internal.connect_shard(text, text);
drop function if exists bcp_internal.send_to_shard(text, text, text);
drop function if exists bcp_internal.cancel_on_shard(text, text);
drop function if exists bcp_internal.leave_shard(text, text);
drop function if exists bcp_internal.await_shard(text, text, text[]);
-- bcp_internal.on_shards does that itself.
drop function if exists bcp_internal.take_answer(text, text, text);
-- It has another column now.
drop function if exists bcp_internal.sketch_rows(timestamptz, timestamptz, interval, text, jsonb);
