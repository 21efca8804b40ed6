-- The name of a sender comes with every batch, and masking one short text costs as much as masking twenty calls. So it
-- is kept that a name has nothing to mask.

alter table bcp_internal.anonymizer_state add column version uuid not null default gen_random_uuid();

comment on column bcp_internal.anonymizer_state.version is
    'Another one each time the rules are compiled: a verdict of the anonymiser counts for one version.';

create table bcp_internal.clean_sources (
    name_hash bytea not null,
    version uuid not null
);

-- Not unique: a batch that waits for another batch's commit would wait for all that it does.
create index clean_sources_name_hash_idx on bcp_internal.clean_sources (name_hash);

comment on table bcp_internal.clean_sources is
    'Names of senders in which the rules of a version find nothing to mask. At most some thousand rows.';

comment on column bcp_internal.clean_sources.name_hash is 'SHA-256 of the name.';

comment on column bcp_internal.clean_sources.version is
    'bcp_internal.anonymizer_state.version of the rules that found nothing; those of another version may find '
    'something.';
