drop table bcp.cleanup_log;

drop table bcp.archives;
