-- Takes from public what PostgreSQL gives to it by default: every new function may be called by everybody.
-- sql/02_privileges.sql says who may do what.

revoke all on all functions in schema bcp, bcp_internal from public;

revoke all on all procedures in schema bcp, bcp_internal from public;

revoke all on all tables in schema bcp, bcp_internal from public;
