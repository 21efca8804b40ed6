-- Tokens with which senders and readers come in by HTTP.
create table bcp_internal.api_tokens (
    token_id uuid primary key,
    token_name text not null constraint api_tokens_token_name check (length(token_name) between 1 and 200),
    role text not null constraint api_tokens_role check (role in ('ingest', 'reader', 'admin')),
    vantage text constraint api_tokens_vantage check (vantage in ('server', 'client')),
    digest bytea not null unique constraint api_tokens_digest check (octet_length(digest) = 32),
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    constraint api_tokens_vantage_of_ingest check ((role = 'ingest') = (vantage is not null))
);

create unique index api_tokens_names on bcp_internal.api_tokens (token_name) where revoked_at is null;

comment on table bcp_internal.api_tokens is
    'One row per token for HTTP. The token itself is not stored: its 32 random bytes cannot be guessed, so one SHA-256 '
    'is enough.';

comment on column bcp_internal.api_tokens.token_id is 'Id of the token, which is no secret.';

comment on column bcp_internal.api_tokens.token_name is
    'Who or what has it, up to 200 characters; of the tokens that are not revoked, one has the name.';

comment on column bcp_internal.api_tokens.role is
    'ingest: may send events, and read nothing. reader: may ask questions. admin: all of this, the live stream, and '
    'changes such as resolving an issue.';

comment on column bcp_internal.api_tokens.vantage is
    'Of ingest: server, if the calls that it sends are seen where tools run, or client, if where they are called. '
    'A call is often seen from both sides, and is counted once.';

comment on column bcp_internal.api_tokens.digest is 'SHA-256 of the token as text.';

comment on column bcp_internal.api_tokens.created_at is 'When it was made.';

comment on column bcp_internal.api_tokens.expires_at is 'When it stops being accepted; null means never.';

comment on column bcp_internal.api_tokens.revoked_at is 'When it was revoked; null if it was not.';

comment on column bcp_internal.api_tokens.last_used_at is 'When it was last used, within a minute; null if never.';

insert into bcp.anonymization_rules (
    name, ordinal, kind, pattern, words, validation, action, replacement, enabled, note
) values (
    'api_token_of_this_store',
    24,
    'secret',
    '\mbcpa_[0-9a-f]{16,}',
    '{bcpa_}',
    'none',
    'redact',
    '[REDACTED]',
    true,
    'Tokens that bcp.create_api_token makes.');
