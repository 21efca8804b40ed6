-- What the anonymiser looks for, as data. A team edits these tables, and the triggers in sql/27_anonymize_compile.sql
-- check and compile them.
create table bcp.anonymization_packs (
    name text primary key check (name ~ '^[a-z][a-z0-9_]{0,40}$'),
    enabled boolean not null default false,
    finds text not null
);

comment on table bcp.anonymization_packs is
    'Groups of keys and rules that are off until a team asks for them: select '
    'bcp.enable_anonymization_pack(''names'').';

comment on column bcp.anonymization_packs.name is 'Name of the pack, as in the column pack of keys and rules.';

comment on column bcp.anonymization_packs.enabled is 'Whether the keys and rules of the pack are in force.';

comment on column bcp.anonymization_packs.finds is 'What the pack finds, in a sentence.';

create table bcp.sensitive_keys (
    -- Lower-case letters of any script, and digits.
    key_pattern text not null check (key_pattern ~ '^[a-z0-9\u00e0-\U0010FFFF]{1,60}$'),
    match_mode text not null check (match_mode in ('contains', 'word', 'last', 'exact')),
    value_type text not null default 'any' check (value_type in ('any', 'string')),
    value_pattern text,
    action text not null default 'redact' check (action in ('redact', 'hash')),
    kind text not null default 'secret' check (kind ~ '^[a-z][a-z0-9]{0,20}$'),
    pack text references bcp.anonymization_packs (name),
    enabled boolean not null default true,
    note text,
    primary key (key_pattern, match_mode)
);

comment on table bcp.sensitive_keys is
    'Keys whose value becomes [REDACTED] or a keyed hash. They are compared in lower case and without separators, so '
    'creditcard matches creditCard, credit_card and Credit-Card.';

comment on column bcp.sensitive_keys.key_pattern is 'Lower-case letters and digits, no separators.';

comment on column bcp.sensitive_keys.match_mode is
    'word: up to five words of the key, joined. contains: the same, or inside one word. last: the last words. exact: '
    'the whole key. Words are split at separators and at capitals; a plural and digits at the end do not count.';

comment on column bcp.sensitive_keys.value_type is
    'any: a value of any type. string: only where the value is a string.';

comment on column bcp.sensitive_keys.value_pattern is
    'Regular expression that a value must match as a string; null where any value counts.';

comment on column bcp.sensitive_keys.action is
    'redact: the value becomes [REDACTED]. hash: a string or number becomes a keyed hash, so that it stays countable; '
    'anything else is redacted.';

comment on column bcp.sensitive_keys.kind is 'First part of the keyed hash, where action is hash.';

comment on column bcp.sensitive_keys.pack is 'Pack that the row belongs to; null where it is always in force.';

comment on column bcp.sensitive_keys.enabled is 'False switches the row off.';

comment on column bcp.sensitive_keys.note is 'Why it is here.';

create table bcp.sensitive_key_exceptions (
    key_pattern text not null check (key_pattern ~ '^[a-z0-9\u00e0-\U0010FFFF]{1,60}$'),
    match_mode text not null check (match_mode in ('contains', 'word', 'exact', 'before', 'after')),
    value_type text not null default 'any' check (value_type in ('any', 'number')),
    enabled boolean not null default true,
    note text,
    primary key (key_pattern, match_mode)
);

comment on table bcp.sensitive_key_exceptions is
    'Parts of keys that do not count when a key is compared with bcp.sensitive_keys: max_tokens is no token, but '
    'password_max_tokens still has a password.';

comment on column bcp.sensitive_key_exceptions.key_pattern is 'Lower-case letters and digits, no separators.';

comment on column bcp.sensitive_key_exceptions.match_mode is
    'word, contains, exact: the same as in bcp.sensitive_keys. before, after: a word that, next to a sensitive word, '
    'makes it the name of something else, as has_ and _strength do in has_password and password_strength.';

comment on column bcp.sensitive_key_exceptions.value_type is
    'any: a value of any type. number: only where the value is a number.';

comment on column bcp.sensitive_key_exceptions.enabled is 'False switches the row off.';

comment on column bcp.sensitive_key_exceptions.note is 'Why it is here.';

create table bcp.anonymization_rules (
    name text primary key check (name ~ '^[a-z][a-z0-9_]{0,40}$'),
    ordinal integer not null,
    kind text not null check (kind ~ '^[a-z][a-z0-9]{0,20}$'),
    pattern text not null,
    value_pattern text,
    value_exceptions text,
    words text[],
    hint text,
    validation text not null default 'none' check (
        validation in ('none', 'luhn', 'phone', 'iban', 'identifier', 'sensitive_key', 'table', 'insert', 'tag')),
    action text not null check (action in ('hash', 'redact')),
    replacement text not null default '[REDACTED]',
    pack text references bcp.anonymization_packs (name),
    enabled boolean not null default true,
    note text,
    check ((validation = 'sensitive_key') = (value_pattern is not null)),
    check (validation <> 'sensitive_key' or action = 'redact')
);

comment on table bcp.anonymization_rules is
    'What becomes a keyed hash or [REDACTED] in text and in string values, in the order of ordinal.';

comment on column bcp.anonymization_rules.name is 'Name of the rule.';

comment on column bcp.anonymization_rules.ordinal is 'Rules run from the lowest to the highest.';

comment on column bcp.anonymization_rules.kind is
    'First part of the keyed hash, as in email#k1#..., and part of what is hashed: with the same kind, equal values '
    'have equal hashes.';

comment on column bcp.anonymization_rules.pattern is
    'PostgreSQL regular expression. Where action is hash or validation is not none, it has no capture groups, or two '
    'that together are the whole match: what to keep and what to mask. Where validation is sensitive_key, it has no '
    'groups, and matches a key and what separates it from its value.';

comment on column bcp.anonymization_rules.value_pattern is
    'Only for validation sensitive_key: regular expression, without groups, of the value after the key.';

comment on column bcp.anonymization_rules.value_exceptions is
    'Only for validation sensitive_key: regular expression of what stays, looked for in the key, what separates it and '
    'its value, in lower case.';

comment on column bcp.anonymization_rules.words is
    'Lower-case texts, one of which is in every match once that is in lower case: the rule is tried only where one is '
    'found. No quotes or backslashes. Null where there are none.';

comment on column bcp.anonymization_rules.hint is
    'Regular expression that matches, in lower case, wherever the pattern does: a document is looked at only where a '
    'hint, or without it one of the words, is found. No anchors, options, quotes, backslash pairs or back-references. '
    'A rule with neither words nor hint is right, but makes every document slow.';

comment on column bcp.anonymization_rules.validation is
    'What a match must also be: luhn (a card number), phone (8 to 15 digits and no date), iban (right check digits), '
    'identifier (the check digits or the range of what kind says), sensitive_key (a key of bcp.sensitive_keys). The '
    'others look at a whole structure: table (lines of cells), insert (a statement of SQL), tag (of HTML).';

comment on column bcp.anonymization_rules.action is
    'hash: a keyed hash, so that the same value stays countable. redact: replacement.';

comment on column bcp.anonymization_rules.replacement is
    'What a match becomes where action is redact; \1 is its first group.';

comment on column bcp.anonymization_rules.pack is 'Pack that the rule belongs to; null where it is always in force.';

comment on column bcp.anonymization_rules.enabled is 'False switches the rule off.';

comment on column bcp.anonymization_rules.note is 'What it is for, and what it costs.';

-- The key itself is not kept, only what HMAC (RFC 2104) makes of it: one block of 64 bytes for each of its two hashes.
create table bcp_internal.anonymization_keys (
    key_id integer generated always as identity primary key,
    inner_block bytea not null check (octet_length(inner_block) = 64),
    outer_block bytea not null check (octet_length(outer_block) = 64),
    created_at timestamptz not null default now(),
    retired_at timestamptz
);

create unique index anonymization_keys_one_active on bcp_internal.anonymization_keys ((true)) where retired_at is null;

comment on table bcp_internal.anonymization_keys is
    'Keys of the keyed hashes; the one in use has no retired_at. Only the owner may read them: who has a key can find '
    'a hashed value by trying.';

comment on column bcp_internal.anonymization_keys.key_id is 'Number in the hash: email#k1#... was made with key 1.';

comment on column bcp_internal.anonymization_keys.inner_block is 'Key xor ipad, RFC 2104.';

comment on column bcp_internal.anonymization_keys.outer_block is 'Key xor opad, RFC 2104.';

comment on column bcp_internal.anonymization_keys.created_at is 'When it was made.';

comment on column bcp_internal.anonymization_keys.retired_at is 'When the next one took its place; null while in use.';

revoke all on bcp_internal.anonymization_keys from public;

create table bcp.name_value_keys (
    name_key text not null check (name_key ~ '^[a-z0-9]{1,60}$'),
    beside text check (beside ~ '^[a-z0-9]{1,60}$'),
    value_keys text[] not null,
    note text,
    primary key (name_key)
);

comment on table bcp.name_value_keys is
    'Names and values that are members of one object, as in {"name": "password", "value": "x"}: the value of name_key '
    'is looked up as a key, and where it is a sensitive one, the values of value_keys are masked. Compared in lower '
    'case and without separators.';

comment on column bcp.name_value_keys.name_key is
    'Member that holds the name. Where it holds a list of names, as columns does, the members of value_keys are lists '
    'of rows.';

comment on column bcp.name_value_keys.beside is
    'Another member that the object must have, such as op for the path of a JSON Patch; null where there is none.';

comment on column bcp.name_value_keys.value_keys is 'Members that hold the value.';

comment on column bcp.name_value_keys.note is 'Where this form comes from.';

create table bcp_internal.anonymizer_state (
    only_row boolean primary key default true check (only_row),
    quick_likes text[] not null,
    digit_gate text not null,
    word_gates text[],
    key_map jsonb not null,
    part_map jsonb not null,
    exception_map jsonb not null,
    before_map jsonb not null,
    after_map jsonb not null,
    key_starts jsonb not null,
    key_parts text not null,
    hashed text not null,
    name_keys text[] not null,
    value_keys text[] not null
);

comment on table bcp_internal.anonymizer_state is
    'Sensitive keys and rules, compiled to a few regular expressions by bcp_internal.compile_anonymizer().';

comment on column bcp_internal.anonymizer_state.only_row is 'Always true, so that there is only one row.';

comment on column bcp_internal.anonymizer_state.quick_likes is
    'Words of one character, as patterns for LIKE: in a text that has one, looking further costs more than masking.';

comment on column bcp_internal.anonymizer_state.digit_gate is
    'Regular expression. This or one of word_gates matches every text, in lower case, in which a rule may match; this '
    'one is for numbers.';

comment on column bcp_internal.anonymizer_state.word_gates is
    'Regular expressions for words. They are in pieces, because an expression costs by its length squared. Null where '
    'a rule has neither hint nor words, so that no text can be skipped.';

comment on column bcp_internal.anonymizer_state.key_map is
    'bcp.sensitive_keys by pattern: {"pin": [{"mode": "word", "type": "any", "action": "redact", "kind": "secret", '
    '"value": null}]}.';

comment on column bcp_internal.anonymizer_state.part_map is
    'One member per pattern of key_map with match_mode contains.';

comment on column bcp_internal.anonymizer_state.exception_map is
    'bcp.sensitive_key_exceptions by pattern, without the words before and after: {"tokens": [{"mode": "word", "type": '
    '"number"}]}.';

comment on column bcp_internal.anonymizer_state.before_map is
    'Exceptions of match_mode before: the type of the value by word.';

comment on column bcp_internal.anonymizer_state.after_map is
    'Exceptions of match_mode after: the type of the value by word.';

comment on column bcp_internal.anonymizer_state.key_starts is
    'How the patterns of key_map begin, {"api": 1}: their first three characters, so that most words need no more than '
    'that.';

comment on column bcp_internal.anonymizer_state.key_parts is
    'Regular expression of the part of a key''s word that a pattern of match_mode contains finds.';

comment on column bcp_internal.anonymizer_state.hashed is
    'Regular expression of a keyed hash of ours, which a key may be.';

comment on column bcp_internal.anonymizer_state.name_keys is 'All of name_key in bcp.name_value_keys.';

comment on column bcp_internal.anonymizer_state.value_keys is 'All of value_keys in bcp.name_value_keys.';

create table bcp_internal.anonymizer_rules (
    ordinal integer primary key,
    name text not null,
    kind text not null,
    pattern text not null,
    value_pattern text,
    value_exceptions text,
    likes text[],
    hint text,
    hint_ordinal integer,
    is_digits boolean not null,
    has_groups boolean not null,
    validation text not null,
    action text not null,
    replacement text not null
);

comment on table bcp_internal.anonymizer_rules is
    'The enabled rows of bcp.anonymization_rules as the anonymiser reads them, written by '
    'bcp_internal.compile_anonymizer().';

comment on column bcp_internal.anonymizer_rules.ordinal is 'Order of the rules.';

comment on column bcp_internal.anonymizer_rules.name is 'Name of the rule.';

comment on column bcp_internal.anonymizer_rules.kind is 'First part of its keyed hashes.';

comment on column bcp_internal.anonymizer_rules.pattern is 'What it matches.';

comment on column bcp_internal.anonymizer_rules.value_pattern is 'What it masks after a sensitive key.';

comment on column bcp_internal.anonymizer_rules.value_exceptions is 'What stays after a sensitive key.';

comment on column bcp_internal.anonymizer_rules.likes is
    'Patterns for LIKE: every text with a match, in lower case, matches one of them. Null where there are none.';

comment on column bcp_internal.anonymizer_rules.hint is
    'Regular expression that matches every text with a match in lower case; null where there is none.';

comment on column bcp_internal.anonymizer_rules.hint_ordinal is 'The first of the rules that have the same hint.';

comment on column bcp_internal.anonymizer_rules.is_digits is
    'Whether the hint is a branch of digit_gate of bcp_internal.anonymizer_state.';

comment on column bcp_internal.anonymizer_rules.has_groups is
    'Whether the pattern has two groups: what to keep and what to mask.';

comment on column bcp_internal.anonymizer_rules.validation is 'What a match must also be.';

comment on column bcp_internal.anonymizer_rules.action is 'hash or redact.';

comment on column bcp_internal.anonymizer_rules.replacement is 'What a match becomes where action is redact.';
