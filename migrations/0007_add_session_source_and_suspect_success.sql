-- Sessions that no sender named, and answers that say error although the call claims success.
insert into bcp.settings (name, value, unit, kind, minimum, maximum, description) values
    ('session_gap', '30 minutes', 'interval', 'interval', '1 second', '30 days',
     'Events of one user and client without a session of their own, no further apart than this, are one session.');

alter table bcp.user_sessions
    add column resolved_by text not null default 'given'
        constraint user_sessions_resolved_by check (resolved_by in ('conversation', 'given', 'gap'));

comment on column bcp.user_sessions.resolved_by is
    'Where its id comes from. conversation: a conversation_id. given: a session_id. gap: the events named neither, and '
    'the store made the id up from user, client and time (bcp_internal.resolve_sessions).';

alter table bcp.user_sessions add column sent_by text not null default session_user;

comment on column bcp.user_sessions.sent_by is
    'Role whose event began it. Only events of that role say whose session it is, from which address, and that it '
    'ended.';

-- For bcp_internal.resolve_sessions. Names of clients may be longer than an index entry can be.
create index user_sessions_client_idx
    on bcp.user_sessions (coalesce(user_id, ''), left(coalesce(client_name, ''), 100), last_activity);

-- Nullable and without default: no other column can be added to a hypertable that has a columnstore.
alter table bcp.tool_usage_logs add column suspect_success boolean;

comment on column bcp.tool_usage_logs.suspect_success is
    'True if success is true but response_data says error (bcp_internal.suspect_success), false if it does not. Null '
    'if success is not true, or there is no response_data.';

-- These functions gained a parameter; without this, each name would stand for two functions.
drop function if exists bcp.log_tool_usage(
    text, text, text, jsonb, jsonb, boolean, text, timestamptz, timestamptz, double precision, text, text, text, text,
    text, text, text, text, text, text, text, bigint, bigint, inet, text);

drop function if exists bcp.log_error(
    text, text, text, text, text, jsonb, jsonb, text, text, text, text, text, text, text, text, text, timestamptz,
    text);

drop function if exists bcp.begin_tool_call(text, text, text, jsonb, text, text, timestamptz, text, text, text);

drop function if exists bcp_internal.call_outcome(text, boolean);
