drop table bcp_internal.anonymize_progress;

drop table bcp_internal.pending_refreshes;

drop table bcp_internal.restored_tables;

drop table bcp_internal.erasure_archives;

drop table bcp_internal.erasure_work;

drop table bcp_internal.erasure_subjects;

drop table bcp.erasures;
