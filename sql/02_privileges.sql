-- Least privilege: bcp_writer may call the ingest functions and nothing else, bcp_reader may read and ask, and
-- bcp_admin may also change settings and rules. Nobody but the owner reads the keys of the anonymiser. Only the owner
-- may refresh aggregates by hand, erase, or mask again, because a procedure that commits cannot run as another role.
--
-- This file grants schemas and tables. Each function and view has its grant right below it, and sql/90_privileges.sql
-- takes from public what PostgreSQL gives to it by default.

-- What an earlier version granted goes first, or it would stay.
revoke all on all functions in schema bcp, bcp_internal from bcp_reader, bcp_writer, bcp_admin;

revoke all on all procedures in schema bcp, bcp_internal from bcp_reader, bcp_writer, bcp_admin;

revoke all on all tables in schema bcp, bcp_internal from bcp_reader, bcp_writer, bcp_admin;

grant bcp_reader, bcp_writer to bcp_admin;

grant usage on schema bcp to bcp_reader, bcp_writer, bcp_admin;

-- The functions of an answer run as the role that asks, so that row counts and plans are that role's own.
grant usage on schema bcp_internal to bcp_reader;

grant select on all tables in schema bcp to bcp_reader;

grant update (value) on bcp.settings to bcp_admin;

grant update (enabled) on bcp.anonymization_packs to bcp_admin;

grant insert, update, delete on
    bcp.alert_rules, bcp.data_retention_policies, bcp.sensitive_keys, bcp.sensitive_key_exceptions, bcp.name_value_keys,
    bcp.anonymization_rules, bcp.otel_mappings
to bcp_admin;
