-- Schemas and settings, on which every later file builds.
create schema if not exists bcp;

create schema if not exists bcp_internal;

comment on schema bcp is 'Analytics of tool calls: what applications call and analysts read.';

comment on schema bcp_internal is 'Internal parts of bcp_analytics: nothing outside it should depend on them.';

revoke all on schema bcp from public;

revoke all on schema bcp_internal from public;

create table bcp.settings (
    name text primary key,
    value text not null,
    unit text,
    kind text not null constraint settings_kind check (kind in ('integer', 'number', 'interval', 'switch', 'text')),
    minimum text,
    maximum text,
    description text not null
);

comment on table bcp.settings is
    'One row per setting. Change the value; bcp.apply_policies() carries out changes about storage.';

comment on column bcp.settings.name is 'Name of the setting.';

comment on column bcp.settings.value is 'Its value, as text.';

comment on column bcp.settings.unit is 'Unit of the value, null where it has none.';

comment on column bcp.settings.kind is 'What the value must be: integer, number, interval, switch (on or off) or text.';

comment on column bcp.settings.minimum is 'Smallest value, or shortest length of text; null for a switch.';

comment on column bcp.settings.maximum is 'Greatest value, or longest length of text; null for a switch.';

comment on column bcp.settings.description is 'What it does and what changing it costs.';

insert into bcp.settings (name, value, unit, kind, minimum, maximum, description) values
    ('chunk_interval', '1 day', 'interval', 'interval', '1 hour', '366 days',
     'Length of new chunks of the event hypertables.'),
    ('dedup_window', '7 days', 'interval', 'interval', '1 minute', '366 days',
     'How long a batch id or event id that comes again counts as a duplicate.'),
    ('max_event_age', '3650 days', 'interval', 'interval', '1 hour', '36500 days',
     'An event that happened longer ago is rejected.'),
    ('max_event_lead', '1 day', 'interval', 'interval', '0 seconds', '366 days',
     'An event that claims to happen later than now by more than this is rejected.'),
    ('direct_columnstore_rows', '1000', 'rows', 'integer', '0', '10000000',
     'A batch with so many calls per bundle and day goes into the columnstore at once, where index_parameters is off '
     'and TimescaleDB is 2.28.1 or later; 0: never.'),
    ('session_gap', '30 minutes', 'interval', 'interval', '1 second', '30 days',
     'Events of one user and client without a session of their own, no further apart than this, are one session.'),
    ('max_names_per_hour', '20000', 'names', 'integer', '1', '1000000000',
     'A role that sends more different tools, issues or series of metrics within an hour is refused: see bcp.floods.'),
    ('max_ids_per_hour', '1000000', 'ids', 'integer', '1', '1000000000',
     'A role that sends more new users, new sessions or collectors within an hour is refused: see bcp.floods.'),
    ('max_event_bytes', '4194304', 'bytes', 'integer', '64', '268435455',
     'The documents and texts of a larger event are cut to the length in which they are stored; if it is still larger, '
     'it is rejected.'),
    ('max_document_bytes', '65536', 'bytes', 'integer', '64', '67108864',
     'A larger JSON field is cut, after redaction, and marked as cut.'),
    ('max_text_bytes', '65536', 'bytes', 'integer', '64', '67108864',
     'A longer message or stack trace is cut, after redaction, and marked as cut.'),
    ('max_json_depth', '100', 'levels', 'integer', '1', '200',
     'Of a field with deeper nesting only the size is kept.'),
    ('ip_prefix_v4', '24', 'bits', 'integer', '0', '32',
     'IPv4 addresses are cut to this many bits; 32 keeps them whole.'),
    ('ip_prefix_v6', '48', 'bits', 'integer', '0', '128',
     'IPv6 addresses are cut to this many bits; 128 keeps them whole.'),
    ('index_parameters', 'on', 'on or off', 'switch', null, null,
     'GIN index on tool_usage_logs.parameters. Off makes ingest faster; JSON searches then scan the time range they '
     'are given.'),
    ('login_names', 'login, log_in, signin, sign_in, authenticate', 'names', 'text', '0', '2000',
     'A call whose operation or tool has one of these names, in any case, is a log-in: see bcp.authentication_stats.'),
    ('bytes_per_token', '4', 'bytes', 'number', '0.1', '1000',
     'Bytes of an answer per token of a model''s context, for estimates: see bcp.context_cost.');
