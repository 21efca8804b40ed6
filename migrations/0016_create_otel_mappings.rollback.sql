drop table bcp.otel_mappings;
