-- What people did about issues.
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
