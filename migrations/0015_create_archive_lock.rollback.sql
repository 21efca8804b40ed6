drop table bcp_internal.archive_lock;
