drop table bcp.shards;
