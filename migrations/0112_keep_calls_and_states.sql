-- What follows a sensitive key and is no value: calls and elements of code, fields of models, tags of YAML, states of
-- mail, and sentences that explain. A rule that a team has changed keeps what it has.
update bcp.anonymization_rules
set value_exceptions = value_exceptions
    || '|\x01(?:std::)?env::var(?:_os)?\(\x01|\x01\$_(?:post|get|request|server|env|session|cookie)\[\x01|\x01\$[a-z_]+-\x01>[a-z_]+\('
    '|\x01(?:confirm|new|old|current|repeat|other|expected|input|provided|stored|hashed)_(?:password|passwd|token|secret|pin)[:;,)]*\x01'
    '|\x01(?:[a-z_]+\.)*(?:mapped_)?(?:column|field|charfield|textfield|passwordfield)\([^"''\x01]*\x01'
    '|\x01field\x01 required|\x01\(leave\x01 blank|\x01never\x01 expires|\x01prompts?\x01 for |\x01\([a-z_]+\x01, ?[a-z_]+\)'
    '|\x01!(?:sub|join|secret|env)\x01 |\me-?mail[*_"''`]*: ?\x01(?:sent|pending|failed|delivered|queued|bounced|verified|confirmed|unverified|skipped|draft)\x01'
where name in ('key_value', 'label_cell', 'label_prose', 'typed_value')
  and value_exceptions is not null and value_exceptions not like '%env::var%';
