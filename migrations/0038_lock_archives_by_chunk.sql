-- Runs of bcp-analytics archive hold the chunk that they work on, so that several runs share what is due.
create table bcp_internal.archive_chunk_locks (
    name text primary key,
    key bigint not null
);

comment on table bcp_internal.archive_chunk_locks is
    'Keys of locks that somebody held who may not archive: a new random key stands here for each. All other locks have '
    'a key that is made of their name and of bcp_internal.archive_lock.';

-- They had no parameters: the whole store had one lock.
drop function if exists bcp_internal.lock_archive();
drop function if exists bcp_internal.unlock_archive();
