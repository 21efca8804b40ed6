-- The roles stay: they belong to the cluster, and other databases may use them.
drop schema bcp_internal cascade;

drop schema bcp cascade;
