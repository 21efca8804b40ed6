-- Sessions that nobody named, and answers that say error while the call claims success.
insert into bcp.settings (name, value, unit, kind, minimum, maximum, description) values
    ('session_gap', '30 minutes', 'interval', 'interval', '1 second', '30 days',
     'Events of one user and client without a session of their own, no further apart than this, are one session.');

alter table bcp.user_sessions
    add column resolved_by text not null default 'given'
        constraint user_sessions_resolved_by check (resolved_by in ('conversation', 'given', 'gap'));

comment on column bcp.user_sessions.resolved_by is
    'What its id is: conversation, a conversation_id; given, a session_id; gap, made up from user, client and time, because the events named neither: see bcp_internal.resolve_sessions.';

alter table bcp.user_sessions add column sent_by text not null default session_user;

comment on column bcp.user_sessions.sent_by is
    'Role whose event began it: only what that role sends says whose session it is, from where, and that it ended.';

-- For bcp_internal.resolve_sessions. Names of clients may be longer than an index takes.
create index user_sessions_client_idx
    on bcp.user_sessions (coalesce(user_id, ''), left(coalesce(client_name, ''), 100), last_activity);

-- Nullable and without default: other columns cannot be added to a hypertable that has a columnstore.
alter table bcp.tool_usage_logs add column suspect_success boolean;

comment on column bcp.tool_usage_logs.suspect_success is
    'True where success is true and yet response_data says error: see bcp_internal.suspect_success; false where it does not, null where success is not true or there is no response_data.';

-- They gained a parameter, and their names would otherwise be two functions each.
drop function if exists bcp.log_tool_usage(
    text, text, text, jsonb, jsonb, boolean, text, timestamptz, timestamptz, double precision, text, text, text, text,
    text, text, text, text, text, text, text, bigint, bigint, inet, text);

drop function if exists bcp.log_error(
    text, text, text, text, text, jsonb, jsonb, text, text, text, text, text, text, text, text, text, timestamptz, text);

drop function if exists bcp.begin_tool_call(text, text, text, jsonb, text, text, timestamptz, text, text, text);

drop function if exists bcp_internal.call_outcome(text, boolean);
