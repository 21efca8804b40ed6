drop table bcp_internal.clean_sources;
alter table bcp_internal.anonymizer_state drop column version;
