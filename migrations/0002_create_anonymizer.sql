-- What the anonymiser looks for, as data: a team edits these tables, and triggers in sql/20_anonymize.sql
-- check and compile them.
create table bcp.sensitive_keys (
    key_pattern text not null check (key_pattern ~ '^[a-z0-9]{2,60}$'),
    match_mode text not null check (match_mode in ('contains', 'part', 'word', 'exact')),
    value_type text not null default 'any' check (value_type in ('any', 'string')),
    enabled boolean not null default true,
    note text,
    primary key (key_pattern, match_mode)
);

comment on table bcp.sensitive_keys is
    'Keys whose value becomes [REDACTED]. Compared in lower case and without separators, so creditcard is creditCard, credit_card and Credit-Card.';

comment on column bcp.sensitive_keys.key_pattern is 'Lower-case letters and digits, no separators.';

comment on column bcp.sensitive_keys.match_mode is
    'contains: anywhere in the key. part: inside one word of it, or some of its words joined. word: some of its words joined. exact: the whole key. Words are split at separators and at capitals.';

comment on column bcp.sensitive_keys.value_type is 'any: whatever the value. string: only where the value is a string.';

comment on column bcp.sensitive_keys.enabled is 'False switches the row off.';

comment on column bcp.sensitive_keys.note is 'Why it is here.';

create table bcp.sensitive_key_exceptions (
    key_pattern text not null check (key_pattern ~ '^[a-z0-9]{2,60}$'),
    match_mode text not null check (match_mode in ('contains', 'part', 'word', 'exact')),
    value_type text not null default 'any' check (value_type in ('any', 'number')),
    enabled boolean not null default true,
    note text,
    primary key (key_pattern, match_mode)
);

comment on table bcp.sensitive_key_exceptions is
    'Parts of keys that do not count when bcp.sensitive_keys is matched: max_tokens is no token, but password_max_tokens still has a password.';

comment on column bcp.sensitive_key_exceptions.key_pattern is 'Lower-case letters and digits, no separators.';

comment on column bcp.sensitive_key_exceptions.match_mode is 'As in bcp.sensitive_keys.';

comment on column bcp.sensitive_key_exceptions.value_type is
    'any: whatever the value. number: only where the value is a number.';

comment on column bcp.sensitive_key_exceptions.enabled is 'False switches the row off.';

comment on column bcp.sensitive_key_exceptions.note is 'Why it is here.';

create table bcp.anonymization_rules (
    name text primary key check (name ~ '^[a-z][a-z0-9_]{0,40}$'),
    ordinal integer not null,
    kind text not null check (kind ~ '^[a-z][a-z0-9]{0,20}$'),
    pattern text not null,
    value_pattern text,
    words text[],
    hint text,
    validation text not null default 'none' check (validation in ('none', 'luhn', 'phone', 'iban', 'sensitive_key')),
    action text not null check (action in ('hash', 'redact')),
    replacement text not null default '[REDACTED]',
    enabled boolean not null default true,
    note text,
    check ((validation = 'sensitive_key') = (value_pattern is not null)),
    check (validation <> 'sensitive_key' or action = 'redact')
);

comment on table bcp.anonymization_rules is
    'What in text and in string values becomes a keyed hash or [REDACTED], in the order of ordinal.';

comment on column bcp.anonymization_rules.name is 'Name of the rule.';

comment on column bcp.anonymization_rules.ordinal is 'Rules run from the lowest to the highest.';

comment on column bcp.anonymization_rules.kind is
    'First part of the keyed hash, email#k1#..., and part of what is hashed: equal kinds make equal values equal.';

comment on column bcp.anonymization_rules.pattern is
    'PostgreSQL regular expression. Where action is hash or validation is not none: without capture groups, or with two that together are the whole match, what to keep and what to mask. Where validation is sensitive_key: without groups, a key and what separates it from its value.';

comment on column bcp.anonymization_rules.value_pattern is
    'For validation sensitive_key alone: regular expression, without groups, of the value after the key.';

comment on column bcp.anonymization_rules.words is
    'Lower-case texts, one of which is in whatever the pattern matches, once that is in lower case: the rule is tried only where one is found. No quotes or backslashes. Null where there are none.';

comment on column bcp.anonymization_rules.hint is
    'Regular expression that matches, in lower case, wherever the pattern does: a document is looked at only where a hint, or without it one of the words, is found. No anchors, options, quotes, backslash pairs or back-references. A rule with neither words nor hint is right, but makes every document slow.';

comment on column bcp.anonymization_rules.validation is
    'What a match must also be: luhn (a card number), phone (8 to 15 digits and no date), iban (its check digits), sensitive_key (a key of bcp.sensitive_keys; tried only in text with a colon, = or >).';

comment on column bcp.anonymization_rules.action is 'hash: a keyed hash, so that the same value stays countable. redact: replacement.';

comment on column bcp.anonymization_rules.replacement is 'What a match becomes where action is redact; \1 is its first group.';

comment on column bcp.anonymization_rules.enabled is 'False switches the rule off.';

comment on column bcp.anonymization_rules.note is 'What it is for, and what it costs.';

-- The key itself is not kept: only what HMAC (RFC 2104) makes of it, one block of 64 bytes for each of its two hashes.
create table bcp_internal.anonymization_keys (
    key_id integer generated always as identity primary key,
    inner_block bytea not null check (octet_length(inner_block) = 64),
    outer_block bytea not null check (octet_length(outer_block) = 64),
    created_at timestamptz not null default now(),
    retired_at timestamptz
);

create unique index anonymization_keys_one_active on bcp_internal.anonymization_keys ((true)) where retired_at is null;

comment on table bcp_internal.anonymization_keys is
    'Keys of the keyed hashes, the one in use with no retired_at. No role may read it but its owner: who has a key can find a hashed value by trying.';

comment on column bcp_internal.anonymization_keys.key_id is 'Number in the hash: email#k1#... was made with key 1.';

comment on column bcp_internal.anonymization_keys.inner_block is 'Key xor ipad, RFC 2104.';

comment on column bcp_internal.anonymization_keys.outer_block is 'Key xor opad, RFC 2104.';

comment on column bcp_internal.anonymization_keys.created_at is 'When it was made.';

comment on column bcp_internal.anonymization_keys.retired_at is 'When the next one took its place; null while in use.';

revoke all on bcp_internal.anonymization_keys from public;

create table bcp_internal.anonymizer_state (
    only_row boolean primary key default true check (only_row),
    quick_likes text[] not null,
    digit_gate text not null,
    word_gate text,
    key_gate text not null,
    key_word_gate text not null,
    key_likes text[] not null,
    key_patterns text[] not null,
    key_types text[] not null,
    exception_likes text[] not null,
    exception_patterns text[] not null,
    exception_types text[] not null
);

comment on table bcp_internal.anonymizer_state is
    'Sensitive keys and rules, compiled to a few regular expressions by bcp_internal.compile_anonymizer().';

comment on column bcp_internal.anonymizer_state.only_row is 'There is one row.';

comment on column bcp_internal.anonymizer_state.quick_likes is
    'Words of one character, as patterns for like: where one is in a text, looking further costs more than masking.';

comment on column bcp_internal.anonymizer_state.digit_gate is
    'This or word_gate matches every text, in lower case, in which a rule may match; this one the numbers.';

comment on column bcp_internal.anonymizer_state.word_gate is
    'The same for the words; null where a rule has neither hint nor words, so that no text can be skipped.';

comment on column bcp_internal.anonymizer_state.key_gate is
    'Matches every text, in lower case, in which a sensitive key can be, but those of match_mode word.';

comment on column bcp_internal.anonymizer_state.key_word_gate is 'The same, as it came, for those of match_mode word.';

comment on column bcp_internal.anonymizer_state.key_likes is
    'A pattern for like a row of bcp.sensitive_keys: every key that the row hits matches it.';

comment on column bcp_internal.anonymizer_state.key_patterns is 'Regular expression of each of these rows, for the words of a key.';

comment on column bcp_internal.anonymizer_state.key_types is 'value_type of each of these rows.';

comment on column bcp_internal.anonymizer_state.exception_likes is 'As key_likes, of bcp.sensitive_key_exceptions.';

comment on column bcp_internal.anonymizer_state.exception_patterns is 'As key_patterns, of bcp.sensitive_key_exceptions.';

comment on column bcp_internal.anonymizer_state.exception_types is 'As key_types, of bcp.sensitive_key_exceptions.';

create table bcp_internal.anonymizer_rules (
    ordinal integer primary key,
    name text not null,
    kind text not null,
    pattern text not null,
    value_pattern text,
    likes text[],
    hint text,
    is_digits boolean not null,
    validation text not null,
    action text not null,
    replacement text not null
);

comment on table bcp_internal.anonymizer_rules is
    'The enabled rows of bcp.anonymization_rules as the anonymiser reads them, written by bcp_internal.compile_anonymizer().';

comment on column bcp_internal.anonymizer_rules.ordinal is 'Order of the rules.';

comment on column bcp_internal.anonymizer_rules.name is 'Name of the rule.';

comment on column bcp_internal.anonymizer_rules.kind is 'First part of its keyed hashes.';

comment on column bcp_internal.anonymizer_rules.pattern is 'What it matches.';

comment on column bcp_internal.anonymizer_rules.value_pattern is 'What it masks after a sensitive key.';

comment on column bcp_internal.anonymizer_rules.likes is 'Patterns for like, one of which every text with a match matches in lower case; null where there are none.';

comment on column bcp_internal.anonymizer_rules.hint is 'Regular expression that matches every text with a match in lower case; null where there is none.';

comment on column bcp_internal.anonymizer_rules.is_digits is 'Whether the hint is a branch of digit_gate of bcp_internal.anonymizer_state.';

comment on column bcp_internal.anonymizer_rules.validation is 'What a match must also be.';

comment on column bcp_internal.anonymizer_rules.action is 'hash or redact.';

comment on column bcp_internal.anonymizer_rules.replacement is 'What a match becomes where action is redact.';

insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, note) values
    ('email', 'contains', 'any', 'required'),
    ('phone', 'contains', 'any', 'required'),
    ('creditcard', 'contains', 'any', 'required'),
    ('password', 'contains', 'any', 'required'),
    ('ssn', 'part', 'any', 'required; anywhere it would also hit className and processName'),
    ('socialsecurity', 'contains', 'any', null),
    ('nationalid', 'part', 'any', null),
    ('nationalinsurance', 'contains', 'any', null),
    ('taxid', 'word', 'any', null),
    ('taxpayerid', 'part', 'any', null),
    ('passport', 'part', 'any', null),
    ('driverlicense', 'contains', 'any', null),
    ('driverslicense', 'contains', 'any', null),
    ('drivinglicence', 'contains', 'any', null),
    ('dob', 'word', 'any', 'date of birth'),
    ('birth', 'contains', 'any', 'date, day, year and place of it'),
    ('born', 'exact', 'any', null),
    ('bday', 'part', 'any', null),
    ('dobs', 'word', 'any', null),
    ('geburtsdatum', 'contains', 'any', null),
    ('naissance', 'part', 'any', null),
    ('nacimiento', 'part', 'any', null),
    ('mobilenumber', 'part', 'any', null),
    ('msisdn', 'part', 'any', null),
    ('faxnumber', 'part', 'any', null),
    ('tel', 'word', 'any', null),
    ('telefon', 'contains', 'any', null),
    ('contactnumber', 'part', 'any', null),
    ('mobileno', 'part', 'any', null),
    ('cellnumber', 'part', 'any', null),
    ('fax', 'word', 'any', null),
    ('mobile', 'exact', 'string', null),
    ('whatsapp', 'part', 'any', null),
    ('debitcard', 'contains', 'any', null),
    ('cardnumber', 'part', 'any', null),
    ('cardno', 'word', 'any', null),
    ('ccnumber', 'word', 'any', null),
    ('ccnum', 'word', 'any', null),
    ('cardholder', 'part', 'any', null),
    ('lastfour', 'word', 'any', 'of a card'),
    ('last4', 'word', 'any', 'of a card'),
    ('lastdigits', 'part', 'any', 'of a card'),
    ('cvv', 'word', 'any', null),
    ('cvv2', 'word', 'any', null),
    ('cvc', 'word', 'any', null),
    ('cvn', 'word', 'any', null),
    ('securitycode', 'part', 'any', null),
    ('iban', 'word', 'any', null),
    ('bankaccount', 'part', 'any', null),
    ('accountnumber', 'part', 'any', null),
    ('routingnumber', 'part', 'any', null),
    ('sortcode', 'word', 'any', null),
    ('pin', 'word', 'any', 'a whole word, so shipping, pinned and spin stay'),
    ('pincode', 'word', 'any', null),
    ('otp', 'word', 'any', 'one-time password'),
    ('totp', 'word', 'any', null),
    ('mfacode', 'word', 'any', null),
    ('verificationcode', 'part', 'any', null),
    ('recoverycode', 'part', 'any', null),
    ('recoverycodes', 'part', 'any', null),
    ('seedphrase', 'part', 'any', null),
    ('mnemonicphrase', 'part', 'any', null),
    ('passwd', 'part', 'any', null),
    ('passphrase', 'contains', 'any', null),
    ('passcode', 'contains', 'any', null),
    ('passwort', 'part', 'any', null),
    ('motdepasse', 'contains', 'any', null),
    ('contrasena', 'part', 'any', null),
    ('pwd', 'word', 'any', null),
    ('pass', 'exact', 'string', 'a number is a count of what passed'),
    ('userpass', 'word', 'any', null),
    ('dbpass', 'word', 'any', null),
    ('smtppass', 'word', 'any', null),
    ('secret', 'part', 'any', null),
    ('token', 'part', 'any', null),
    ('jwt', 'word', 'any', null),
    ('bearer', 'part', 'any', null),
    ('authorization', 'part', 'any', null),
    ('auth', 'exact', 'any', null),
    ('authheader', 'word', 'any', null),
    ('authkey', 'part', 'any', null),
    ('authcode', 'part', 'any', null),
    ('credential', 'part', 'any', null),
    ('apikey', 'part', 'any', null),
    ('accesskey', 'part', 'any', null),
    ('accesskeyid', 'part', 'any', null),
    ('privatekey', 'part', 'any', null),
    ('signingkey', 'part', 'any', null),
    ('encryptionkey', 'part', 'any', null),
    ('masterkey', 'part', 'any', null),
    ('sshkey', 'part', 'any', null),
    ('accountkey', 'part', 'any', null),
    ('sharedkey', 'part', 'any', null),
    ('sessionkey', 'part', 'any', null),
    ('cookie', 'part', 'any', null),
    ('phpsessid', 'part', 'any', 'session cookie'),
    ('jsessionid', 'part', 'any', 'session cookie'),
    ('connectsid', 'word', 'any', 'session cookie'),
    ('csrf', 'part', 'any', null),
    ('xsrf', 'part', 'any', null),
    ('connectionstring', 'part', 'any', null),
    ('amzsignature', 'part', 'any', 'of a signed URL'),
    ('googsignature', 'part', 'any', 'of a signed URL');

insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note) values
    ('tokens', 'word', 'number', 'a count'),
    ('maxtoken', 'word', 'any', 'a count'),
    ('maxtokens', 'word', 'any', 'a count'),
    ('maxnewtokens', 'word', 'any', 'a count'),
    ('maxoutputtokens', 'word', 'any', 'a count'),
    ('maxcompletiontokens', 'word', 'any', 'a count'),
    ('mintokens', 'word', 'any', 'a count'),
    ('numtokens', 'word', 'any', 'a count'),
    ('ntokens', 'word', 'any', 'a count'),
    ('prompttokens', 'word', 'any', 'a count'),
    ('completiontokens', 'word', 'any', 'a count'),
    ('inputtokens', 'word', 'any', 'a count'),
    ('outputtokens', 'word', 'any', 'a count'),
    ('totaltokens', 'word', 'any', 'a count'),
    ('cachedtokens', 'word', 'any', 'a count'),
    ('reasoningtokens', 'word', 'any', 'a count'),
    ('thinkingtokens', 'word', 'any', 'a count'),
    ('inputtokensdetails', 'word', 'any', 'counts'),
    ('inputtokendetails', 'word', 'any', 'counts'),
    ('outputtokendetails', 'word', 'any', 'counts'),
    ('tokenids', 'word', 'any', 'of a tokenizer'),
    ('padtoken', 'word', 'any', 'of a tokenizer'),
    ('eostoken', 'word', 'any', 'of a tokenizer'),
    ('bostoken', 'word', 'any', 'of a tokenizer'),
    ('specialtokens', 'word', 'any', 'of a tokenizer'),
    ('tokentype', 'word', 'any', 'bearer'),
    ('emailverified', 'word', 'any', 'a switch'),
    ('phoneverified', 'word', 'any', 'a switch'),
    ('hasemail', 'word', 'any', 'a switch'),
    ('hasphone', 'word', 'any', 'a switch'),
    ('haspassword', 'word', 'any', 'a switch'),
    ('emailcount', 'word', 'number', 'a count'),
    ('emailssent', 'word', 'number', 'a count'),
    ('phonecount', 'word', 'number', 'a count'),
    ('pincount', 'word', 'number', 'a count'),
    ('passwordrequired', 'word', 'any', 'a switch'),
    ('passwordpolicy', 'word', 'any', 'a name'),
    ('outputtokensdetails', 'word', 'any', 'counts'),
    ('prompttokensdetails', 'word', 'any', 'counts'),
    ('completiontokensdetails', 'word', 'any', 'counts'),
    ('tokencount', 'word', 'any', 'a count'),
    ('tokencounts', 'word', 'any', 'counts'),
    ('tokenscount', 'word', 'any', 'a count'),
    ('tokenusage', 'word', 'any', 'counts'),
    ('tokenlimit', 'word', 'any', 'a count'),
    ('tokenbudget', 'word', 'any', 'a count'),
    ('tokensused', 'word', 'any', 'a count'),
    ('tokensremaining', 'word', 'any', 'a count'),
    ('tokenspersecond', 'word', 'any', 'a rate'),
    ('tokenizer', 'word', 'any', 'a name'),
    ('tokenizers', 'word', 'any', 'names'),
    ('tokenization', 'word', 'any', 'a name'),
    ('tokenize', 'word', 'any', 'a switch'),
    ('tokenized', 'word', 'any', 'a switch'),
    ('secretary', 'word', 'any', 'a person''s office'),
    ('microphone', 'word', 'any', 'a device'),
    ('microphones', 'word', 'any', 'devices'),
    ('headphone', 'word', 'any', 'a device'),
    ('headphones', 'word', 'any', 'devices'),
    ('earphones', 'word', 'any', 'devices'),
    ('issn', 'word', 'any', 'of a journal'),
    ('classname', 'part', 'any', 'has ssn in it'),
    ('businessname', 'part', 'any', 'has ssn in it'),
    ('processname', 'part', 'any', 'has ssn in it'),
    ('accessname', 'part', 'any', 'has ssn in it'),
    ('addressname', 'part', 'any', 'has ssn in it'),
    ('businessnumber', 'part', 'any', 'has ssn in it'),
    ('processnumber', 'part', 'any', 'has ssn in it'),
    ('accessnumber', 'part', 'any', 'has ssn in it'),
    ('addressnumber', 'part', 'any', 'has ssn in it'),
    ('cookiesenabled', 'word', 'any', 'a switch'),
    ('cookieenabled', 'word', 'any', 'a switch');

-- The order matters: whole secrets first, then what a key names, then what looks like a person's.
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, value_pattern, words, hint, validation, action, replacement, enabled, note) values
    ('private_key', 10, 'secret',
     '-----BEGIN [A-Z0-9 ]{0,40}?PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]*-----|$)',
     null, '{private key}', null,
     'none', 'redact', '[REDACTED]', true, 'PEM and OpenSSH blocks, also cut short.'),
    ('api_key', 20, 'secret',
     '(?<![A-Za-z0-9])(?:(?:[spr]k[-_](?=[A-Za-z_-]*[0-9])|glpat-|ya29\.|dckr_pat_|hvs\.|GOCSPX-|whsec_|glsa_|github_pat_)[A-Za-z0-9_+/=-]{16,}|(?:gh[opsru]_|shp(?:at|ss|ca|pa)_|do[opr]_v1_|gsk_|xai-|lin_api_)[A-Za-z0-9]{16,}|(?:npm_|hf_|sbp_)[A-Za-z0-9]{30,}|(?:AIza|pypi-|[0-9]{8,10}:AA)[A-Za-z0-9_-]{30,}|(?:xox[abeprs]|xapp)-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]+|eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*)',
     null, null, '(?<![a-z0-9])(?:[spr]k[-_]|sg[.]|akia|asia|gh[opsru]_|github_pat_|glpat-|xox[abeprs]-|xapp-|aiza|ya29[.]|npm_|hf_|pypi-|eyj|whsec_|dckr_pat_|shp(?:at|ss|ca|pa)_|do[opr]_v1_|sbp_|hvs[.]|gsk_|xai-|gocspx-|glsa_|lin_api_)|[0-9]:aa',
     'none', 'redact', '[REDACTED]', true,
     'Keys with a known prefix, and JSON Web Tokens.'),
    ('bearer_token', 30, 'secret',
     '(?i)(\m(?:bearer|basic)\s+)(?:(?=[A-Za-z0-9._~+/-]*[0-9=])[A-Za-z0-9._~+/=-]{8,}|[A-Za-z0-9._~+/=-]{24,})',
     null, '{bearer,basic}', 'bearer|basic\s',
     'none', 'redact', '\1[REDACTED]', true,
     'HTTP credentials. A word without a digit stays: basic economy.'),
    ('header', 25, 'secret',
     '(?i)(\m(?:authorization|x-api-key|x-auth-token)["''\\]*[ \t]*[:=][ \t]*["''\\]*(?![a-z0-9_.-]+[:=][ \t]))(?:(?:digest|oauth|hawk|signature|aws4-hmac-sha256)[ \t][^\r\n"''\\]*|(?:[a-z0-9-]{3,20}[ \t]+)?[^\s"''\\[,;][^\s"''\\,;]*)|(\m(?:set-)?cookie["''\\]*[ \t]*[:=][ \t]*["''\\]*)[^\s="''\\,;[]+=[^\r\n"''\\]*',
     null, '{authoriz,cookie,x-a}', null,
     'none', 'redact', '\1\2[REDACTED]', true,
     'HTTP headers whose value has several words; cookies up to the end of the line.'),
    ('url_credentials', 50, 'secret',
     '(\m[A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#@"''<>\\]+@|[^\s/:?#@"''<>\\]*:(?![0-9]{1,5}[/?#])[^\s@"''<>\\]*@)(?:[^\s/?#@"''<>\\]*@)*',
     null, '{://}', '://\S*@',
     'none', 'redact', '\1[REDACTED]@', true, 'https://user:password@host'),
    ('webhook', 51, 'secret',
     '(\mhooks\.slack\.com/(?:services|workflows)/|\mdiscord(?:app)?\.com/api/webhooks/)[A-Za-z0-9][^\s"''<>\\?#]*',
     null, '{hooks.slack.com/,/api/webhooks/}', null,
     'none', 'redact', '\1[REDACTED]', true, 'Addresses that anybody who has them may post to.'),
    ('signed_url', 52, 'secret',
     '([?&]sig=)[^&\s"''<>\\[][^&\s"''<>\\]*',
     null, '{?sig=,&sig=}', null,
     'none', 'redact', '\1[REDACTED]', true, 'Shared access signatures.'),
    ('command_password', 53, 'secret',
     '(\mcurl\M[^\r\n]*[ \t](?:-u|--user|--proxy-user)[ \t=]*["''\\]*[^\s:"''\\]+:|\msshpass[ \t]+-p[ \t]*["''\\]*|\m(?:mysql|mariadb)(?:dump|admin)?\M[^\r\n|;]*[ \t]-p["''\\]*)[^\s"''\\[][^\s"''\\]*',
     null, '{curl,sshpass,mysql,mariadb}', null,
     'none', 'redact', '\1[REDACTED]', true, 'curl -u user:password, sshpass -p password, mysql -ppassword'),
    ('named_value', 54, 'secret',
     '\m(?:[Nn]ame|[Kk]ey|id)["''\\]*\s*[:=]\s*["''\\]+[^"''\\\r\n]{1,60}["''\\]+\s*,?\s*["''\\]*[Vv]alue["''\\]*\s*[:=]\s*',
     '\\*"[^"\\]*(?:\\*")?|\\*''[^''\\]*(?:\\*'')?|[^\s"''\\,;{}\[\]<>]+',
     null, null,
     'sensitive_key', 'redact', '[REDACTED]', true, '<input name="password" value="..."> and <add key="ApiKey" value="..."/>'),
    ('quoted_password', 55, 'secret',
     '(?i)(\m(?:password|identified by)[ \t]+["''\\]+)[^\s"''\\[][^"''\\\r\n]*|(\mlogin[ \t]+[^\s"''\\]+\s+password[ \t]+)[^\s"''\\[][^\s"''\\]*',
     null, '{password,identified by}', null,
     'none', 'redact', '\1\2[REDACTED]', true, 'SQL: password ''...'', identified by ''...''; .netrc: login name password ...'),
    ('key_value', 60, 'secret',
     '["''\\]*[A-Za-z0-9_$\u0080-\U0010FFFF][A-Za-z0-9_.$\u0080-\U0010FFFF-]*(?: [A-Za-z0-9_.$\u0080-\U0010FFFF-]+){0,3}["''\\]*\]?[ \t]*(?:=>|={1,3}|:=|:)(?:[ \t]*|[ \t\r\n]*(?=["''{[\\]))',
     '\\+"(?:[^"\\]|\\+[^"\\])*(?:\\+")?|\\+''(?:[^''\\]|\\+[^''\\])*(?:\\+'')?|[bBrRuU]{0,2}"(?:[^"\\]|\\.)*"?|[bBrRuU]{0,2}''(?:[^''\\]|\\.)*''?|\{[^{}\[\]]*(?:\}|$)|\[[^{}\[\]]*(?:\]|$)|\{[^{}\[\]]*[{\[].*$|\[[^{}\[\]]*[{\[].*$|[A-Za-z_.]+\([^()\n]*\)?|[|>][-+0-9]*[ \t]*\r?\n(?:[ \t]+[^\r\n]*(?:\r?\n)?)+|[A-Z][a-z]{2,8}\.? [0-9]{1,2}(?:st|nd|rd|th)?,? [0-9]{4}|[0-9]{1,2}(?:st|nd|rd|th|\.)?(?: of)? [A-Z][a-z\u00e4\u00e9\u00fb]{2,8}\.?,? [0-9]{2,4}|[+(]?[0-9][0-9()./*-]*(?: {1,2}[0-9()./*-]*[0-9][0-9()./*-]*){1,6}|[^ \t\r\n"''\\{\[,;&)}\]<>][^ \t\r\n"''\\,;&)}\]<>]*',
     null, null,
     'sensitive_key', 'redact', '[REDACTED]', true,
     'key=value, key: value, "key": "value" in text that is no JSON, or JSON cut short. A list or an object under a sensitive key goes whole; where its end is not plain, the rest of the text goes too.'),
    ('xml_element', 70, 'secret',
     '<[A-Za-z][^<>/]{0,80}>', '<!\[CDATA\[(?:[^]]|\](?!\]>))*(?:\]\]>)?|[^<>]+',
     null, null,
     'sensitive_key', 'redact', '[REDACTED]', true, '<password>value</password>'),
    ('command_option', 80, 'secret',
     '(?i)(--?[a-z-]*(?:password|passwd|passphrase|secret|token|api-?key|access-?key)["''\\,]*\s+["''\\]*)[^\s"''\\[-][^\s"''\\]*',
     null, '{word,passwd,phrase,secret,token,key}', '-[a-z-]*(?:word|passwd|phrase|secret|token|key)[^a-z0-9:=]*\s',
     'none', 'redact', '\1[REDACTED]', true, '--password value'),
    ('spoken_password', 90, 'secret',
     '(?i)(\m(?:password|passcode|passphrase|pin(?: code)?|otp|(?:one-time|verification|security) code)(?: (?:for|to|of) [a-z'' ]{1,30})?\s+(?:is|was)\s*:?\s*["''\\]*)(?!(?:required|invalid|incorrect|wrong|too|not|missing|expired|empty|reset|the|a|an|being|never|case|in|on)\M)[^\s"''\\[][^\s"''\\,;]*',
     null, '{password,passcode,passphrase,pin,otp,code}', '(?:word|code|phrase|pin|otp)\s+(?:is|was|for|to|of)',
     'none', 'redact', '\1[REDACTED]', true,
     'My password is ...'),
    ('birth_date', 100, 'birth',
     '(?i)(\m(?:date of birth|birth ?date|birthday|d\.?o\.?b\.?s?|born)\M\.?(?:[^0-9\n.;,[]{0,40}|[ \t:*|]*\r?\n[ \t*|-]*)(?:\[REDACTED\](?:\s*(?:,|;|&|/|\mand\M)\s*){1,2})*)(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/. ][0-9]{1,2}[-/. ][0-9]{2,4}|[0-9]{8}|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? +[0-9]{1,2}(?:st|nd|rd|th)?,? +[0-9]{2,4}|[0-9]{1,2}(?:st|nd|rd|th)?(?: of)?[ -]+(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?[ -]+[0-9]{2,4})',
     null, '{birth,born,dob,d.o.b,d.ob,do.b}', null,
     'none', 'redact', '\1[REDACTED]', true,
     'A date after a word that says birth; other dates stay.'),
    ('birth_date_before', 110, 'birth',
     '(?i)[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}(?= ?[(]?(?:date of birth|birth ?date|birthday|d\.?o\.?b)\M)',
     null, '{birth,dob,d.o.b,d.ob,do.b}', null,
     'none', 'redact', '[REDACTED]', true, 'A date before such a word.'),
    ('card_last_four', 120, 'card',
     '(?i)(\m(?:card|visa|mastercard|amex|discover|maestro)s?(?: number)? (?:that )?(?:ending|ends|end) (?:in |with )?[*x#.…]*)[0-9]{4}(?![0-9])',
     null, '{end}', 'end(?:ing|s)? (?:in |with )?[^a-wyz0-9]*[0-9]',
     'none', 'redact', '\1[REDACTED]', true, 'credit card ending in 1234'),
    ('card_masked', 122, 'card',
     '(?i)(\m(?:card|visa|mastercard|amex|discover|maestro)s?(?: number| no\.?)?:? ?(?:[*x#•][*x#.•… -]*|[.…]+)|(?:[*x#•]{4}[ -]?){2,3})[0-9]{4}(?![0-9])',
     null, null, '(?:[*x#•…]|[.][.])[ -]?[0-9]{4}',
     'none', 'redact', '\1[REDACTED]', true, 'Visa *1234, **** **** **** 1234'),
    ('card_digits_said', 124, 'card',
     '(?i)(\mlast (?:four|4) digits(?: (?:of|on|for) [a-z'' ]{2,30})?(?: is| are)?[ :(=]{1,3})[0-9]{4}(?![0-9])',
     null, '{last four digits,last 4 digits}', null,
     'none', 'redact', '\1[REDACTED]', true, 'the last four digits of the card are 1234'),
    ('card_code', 130, 'card',
     '(?i)(\m(?:cvv2?|cvc2?|cvn|security code)\M[^0-9\n[]{0,12})[0-9]{3,4}(?![0-9])',
     null, '{cvv,cvc,cvn,security code}', null,
     'none', 'redact', '\1[REDACTED]', true, 'cvv 123'),
    ('email', 200, 'email',
     '[A-Za-z0-9_\u0080-\U0010FFFF](?:[A-Za-z0-9._%+''\u0080-\U0010FFFF-]*[A-Za-z0-9_+\u0080-\U0010FFFF-])?(?:@|%(?:25)*40|\\+(?:u00|x)40|&#64;|&#x40;|&commat;)(?![0-9]x\.(?:png|jpe?g|webp|gif|svg)\M)(?:(?:[A-Za-z0-9\u0080-\U0010FFFF-]+(?:\.|%2[Ee]))+[A-Za-z\u0080-\U0010FFFF](?:[A-Za-z0-9\u0080-\U0010FFFF-]*[A-Za-z\u0080-\U0010FFFF])|[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*\.[A-Za-z])',
     null, '{@,%40,%2540,u0040,x40,&#64;,&commat;}', null,
     'none', 'hash', '[REDACTED]', true, 'Anywhere in a text. react@18.2.0 stays: its last part has no letter.'),
    ('email_strict', 210, 'email',
     '^[^\s@]+@[^\s@]+\.[^\s@]+$',
     null, '{@}', null,
     'none', 'hash', '[REDACTED]', false,
     'The requirements'' own pattern; off, since it adds only false hits: react@18.2.0, deploy@10.0.0.1, https://a.b/@user/c.html.'),
    ('iban', 220, 'iban',
     '(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?(?![A-Za-z0-9])',
     null, null, '(?<![a-z0-9])[a-z]{2}[0-9]{2}[ -]?[a-z0-9]{4}[ -]?[a-z0-9]{4}',
     'iban', 'hash', '[REDACTED]', true, 'International bank account numbers, check digits tested.'),
    ('card', 230, 'card',
     '(?<![0-9])(?<![0-9][.])(?:[2-6][0-9]{12,18}|[2-6][0-9]{3}(?:[ ._/-]{1,3}[0-9]{4}){3,}(?:[ ._/-]{1,3}[0-9]{1,3})?|3[0-9]{3}[ ._/-]{1,3}[0-9]{6}[ ._/-]{1,3}[0-9]{4,5}|[2-6](?:[ ._/-]{1,3}[0-9]){12,18})(?![0-9])',
     null, null, '[2-6][0-9]{3}(?:[ ._/-]{1,3}[0-9]{4}(?:[0-9]{2})?[ ._/-]{1,3}[0-9]{4}|[0-9]{9})|[2-6](?:[ ._/-]{1,3}[0-9]){5}',
     'luhn', 'hash', '[REDACTED]', true,
     '13 to 19 digits, in one piece or in the groups of a card, with an issuer''s first digits, Luhn tested.'),
    ('ssn', 240, 'ssn',
     '(?<![0-9A-Za-z])(?<![0-9A-Za-z][.-])[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} |\.[0-9]{2}\.)[0-9]{4}(?![0-9A-Za-z])(?![.-][0-9A-Za-z])',
     null, null, '[0-9]{3}[- .][0-9]{2}[- .][0-9]{4}',
     'none', 'hash', '[REDACTED]', true, 'With separators; nine digits in one piece are an id.'),
    ('ssn_labelled', 250, 'ssn',
     '(?i)(\m(?:ssn|social security)\M[^0-9\n]{0,20})([0-9]{9})(?![0-9])',
     null, '{ssn,social security}', null,
     'none', 'hash', '[REDACTED]', true, 'Nine digits after a word that says so.'),
    ('ssn_strict', 260, 'ssn',
     '^[0-9]{3}-?[0-9]{2}-?[0-9]{4}$',
     null, null, '[0-9]{3}-?[0-9]{2}-?[0-9]{4}',
     'none', 'hash', '[REDACTED]', false,
     'The requirements'' own pattern; off, since every id of nine digits is one.'),
    ('phone_international', 300, 'phone',
     '(?<![0-9A-Za-z+])(?:[+][ (]?|00(?=[1-9][0-9]{0,2}[ .(-]))[1-9][0-9]{0,2}(?:[ ./()-]{0,3}[0-9]{1,5}){2,6}(?![0-9])',
     null, null, '[+][ (]?[1-9][0-9 ./()-]{3}|(?<![0-9a-z+])00[1-9][0-9]{0,2}[ .(-]',
     'phone', 'hash', '[REDACTED]', true, 'With + and country code, or 00 and separators.'),
    ('phone_national', 310, 'phone',
     '(?<![0-9A-Za-z])(?<![0-9A-Za-z][.:/-])(?:(?:1[ .-]?)?(?:\([0-9]{3}\)[ .-]?[0-9]{3}[ .-]?|[0-9]{3}[ .-][0-9]{3}[ .-])[0-9]{4}|(?:\(0[0-9]{1,4}\)|0[1-9][0-9]{0,3})(?:[ /-]{1,3}[0-9]{2,8}){1,4})(?:(?=(?:x|ext)\.?[0-9])|(?![0-9A-Za-z:])(?![./-][0-9A-Za-z]))',
     null, null, '[0-9]{3}(?:[)][ .-]?[0-9]{3}[ .-]?|[ .-][0-9]{3}[ .-])[0-9]{4}|[(]0[0-9]{1,4}[)]|(?<![0-9])0[1-9](?:[0-9]{0,3}[ /-]{1,3}(?:[0-9]{4}|[0-9]{3}[ /-])|[0-9]{1,3}[ /-]{1,3}[0-9]{2}[ /-]{1,3}[0-9]{2}|[ /-]{1,3}[0-9]{2}[ /-]{1,3}[0-9]{2}(?:[0-9]|[ /-]{1,3}[0-9]))',
     'phone', 'hash', '[REDACTED]', true, 'North American with separators, and those that begin with 0, with separators.'),
    ('phone_labelled', 320, 'phone',
     '(?i)(\m(?:phone|telephone|tel|mobile|cell(?:phone)?|whatsapp|sms|fax)[ .:#=(-]{0,4}(?:(?:number|no|nr|num|is|at|to|on)[ .:#=(-]{1,3}){0,3})([+]?[0-9](?:[ ./()-]{0,2}[0-9]){6,14})(?![0-9])',
     null, '{phone,tel,mobile,cell,whatsapp,sms,fax}', '(?:phone|tel|mobile|cell|whatsapp|sms|fax)[ .:#=(-]{0,4}(?:(?:number|no|nr|num|is|at|to|on)[ .:#=(-]{1,3}){0,3}[+]?[0-9]',
     'none', 'hash', '[REDACTED]', true, 'Seven digits or more after a word that says so.'),
    ('phone_strict', 330, 'phone',
     '^[+]?[0-9\s()-]{10,}$',
     null, null, '[0-9\s()-]{10}',
     'none', 'hash', '[REDACTED]', false,
     'The requirements'' own pattern; off, since every id of ten digits and most times are one.'),
    ('ipv4', 400, 'ip',
     '(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9.])',
     null, null, '[0-9][.][0-9]{1,3}[.][0-9]',
     'none', 'hash', '[REDACTED]', false,
     'IPv4 addresses in text; off, since they are often those of servers.'),
    ('ipv6', 410, 'ip',
     '(?<![0-9A-Za-z:])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,6}(?![0-9A-Za-z:])',
     null, null, '[0-9a-f]:[0-9a-f:]',
     'none', 'hash', '[REDACTED]', false, 'IPv6 addresses in text; off for the same reason.');
