drop function if exists bcp_internal.lake();
drop function if exists bcp_internal.use_lake(text);

drop schema bcp_lake cascade;

drop table bcp_internal.archive_lake;
