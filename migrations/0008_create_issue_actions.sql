-- What people did about issues, the full-text index of errors, and the settings of the questions.
create table bcp.issue_actions (
    fingerprint text not null,
    action_id bigint generated always as identity primary key,
    acted_at timestamptz not null,
    action text not null constraint issue_actions_action check (action in ('resolved', 'reopened')),
    release text,
    notes text,
    acted_by text not null
);

comment on table bcp.issue_actions is
    'One row each time that somebody resolved or reopened an issue; the latest counts.';

comment on column bcp.issue_actions.fingerprint is 'Issue: see bcp.error_issues.';

comment on column bcp.issue_actions.action_id is 'Order of the actions.';

comment on column bcp.issue_actions.acted_at is 'When it was done; for a resolved issue, when the fix was there.';

comment on column bcp.issue_actions.action is 'resolved or reopened.';

comment on column bcp.issue_actions.release is
    'Release with the fix: errors of earlier releases do not make the issue regress. Null: any error after acted_at '
    'does.';

comment on column bcp.issue_actions.notes is 'How it was dealt with, masked.';

comment on column bcp.issue_actions.acted_by is 'Role that was logged in.';

create index issue_actions_fingerprint_idx on bcp.issue_actions (fingerprint, action_id desc);

-- The issue has the state, because marking each error would decompress months of chunks and refresh their aggregates.
comment on column bcp.error_logs.resolved is
    'Always false: whether an error is dealt with is the state of its issue, see the function bcp.error_issues.';

comment on column bcp.error_logs.resolution_notes is 'Always null: see bcp.issue_actions.';

-- bcp.search_errors searches this expression, and repeats it. A type is found by its words too: TimeoutError by
-- timeout.
create index error_logs_search_idx on bcp.error_logs using gin (to_tsvector(
    'pg_catalog.english',
    message || ' ' || coalesce(error_type, '') || ' ' || coalesce(error_code, '') || ' ' || coalesce(tool_name, '')
        || ' ' || coalesce(regexp_replace(error_type, '(?<=[a-z0-9])(?=[A-Z])', ' ', 'g'), '')));

insert into bcp.settings (name, value, unit, kind, minimum, maximum, description) values
    ('login_names', 'login, log_in, signin, sign_in, authenticate', 'names', 'text', '0', '2000',
     'A call whose operation or tool has one of these names, in any case, is a log-in: see bcp.authentication_stats.'),
    ('bytes_per_token', '4', 'bytes', 'number', '0.1', '1000',
     'How many bytes of an answer make a token of a model''s context, in estimates: see bcp.context_cost.');
