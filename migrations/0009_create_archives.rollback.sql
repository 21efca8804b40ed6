drop table bcp.cleanup_log;

drop table bcp_internal.archive_lock;

drop table bcp.archives;
