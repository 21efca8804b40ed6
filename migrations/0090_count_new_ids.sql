-- New users and sessions are different by themselves, so that a batch need only say how many it had.

alter table bcp_internal.names_seen
    alter column name drop not null,
    add column ids bigint not null default 1;

comment on column bcp_internal.names_seen.name is
    'Hash of the name; null where a batch had new users or sessions, which are only counted.';

comment on column bcp_internal.names_seen.ids is 'How many new users or sessions; 1 for a name.';
