-- A database with shards is a head, also after a load of this folder.
select bcp_internal.make_head() where exists (select from bcp.shards);
