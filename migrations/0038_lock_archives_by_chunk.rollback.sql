drop function if exists bcp_internal.lock_archive(text, timestamptz, timestamptz);
drop function if exists bcp_internal.unlock_archive(text, timestamptz, timestamptz);
drop function if exists bcp_internal.archive_lock_key(text);
drop function if exists bcp_internal.archive_lock_name(text, timestamptz, timestamptz);

drop table bcp_internal.archive_chunk_locks;
