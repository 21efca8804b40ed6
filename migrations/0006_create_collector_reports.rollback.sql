drop table bcp.collector_reports;
