drop table bcp.data_retention_policies;

drop table bcp.floods;

drop table bcp_internal.names_seen;

drop table bcp_internal.event_keys;

drop table bcp_internal.batch_keys;

drop table bcp.error_issues;

drop table bcp.open_tool_calls;

drop table bcp.rejected_events;

drop table bcp.ingest_batches;
