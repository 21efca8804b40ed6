-- What stays though it follows a sensitive key: calls, elements of lists, references, places in files, schemas. And a
-- few values that were cut short. A rule that a team has changed keeps its pattern: what is replaced is not in it then.

-- pass2 = compile(tree), token = tokens[i], src/token.ts:42:13, PASS: tests/a.test.js, password = var.db_password,
-- credentials: include, {"type": "string", "minLength": 8}.
update bcp.anonymization_rules
set value_exceptions = replace(replace(replace(replace(
        value_exceptions,
        '|(?:hash|encrypt|decrypt|bcrypt|sha256|get|load|read|prompt|input|decode|encode|generate|create|make|fetch|lookup|resolve)[a-z_.]*\([a-z_., ]*\)|',
        '|[a-z_][a-z_.]+\([a-z_., ]*\)|[a-z_.]+\[[a-z_]{1,12}(?: ?[+-] ?1)?\]|(?:\.{1,2}/|~/)?(?:[a-z0-9_.-]+/)+[a-z0-9_-]+(?:\.[a-z0-9_-]+)?'
        '\.(?:tsx?|jsx?|mjs|py|rb|go|rs|java|kt|cs|cpp|c|h|php|swift|sql|sh|md|txt|ya?ml|json|toml|xml|html|css|pem|key|crt|env|ini|conf)|'),
        '\x01(?:os\.(?:getenv|environ)|',
        '\.(?:tsx?|jsx?|mjs|cjs|py|rb|go|rs|java|kts?|cs|cpp|cc|c|h|hpp|php|swift|scala|vue|svelte|sql|sh|ya?ml|json|toml|exs?|dart|lua|html|s?css|tf):\x01[0-9]{1,5}(?::[0-9]*)?[:,-]?\x01'
        '|\x01(?:var|local|module|each|random_password|aws_[a-z_]+|google_[a-z_]+|azurerm_[a-z_]+)(?:\.[a-z_]+)+\x01'
        '|\x01(?:os\.(?:getenv|environ)|'),
        '|missing|invalid|enabled|', '|missing|include|omit|same-origin|invalid|enabled|'),
        '(?:,\s*\\*["'']?(?:description|title|format)\\*["'']?\s*:\s*\\*["''][^"''\\]*\\*["'']\s*)*',
        '(?:,\s*\\*["'']?(?:description|title|format|pattern|(?:min|max)length|nullable|(?:read|write)only|deprecated)\\*["'']?\s*:\s*(?:\\*["''][^"''\\]*\\*["'']|[0-9]+|true|false)\s*)*')
where name in ('key_value', 'label_cell', 'label_prose', 'typed_value');

-- Tel.: 030 / 901820, PASSWORD = N'x'.
update bcp.anonymization_rules
set value_pattern = replace(replace(
        value_pattern,
        '[bBrRuUfF@$]{0,2}', '[bBrRuUfFNL@$]{0,2}'),
        '(?: {1,2}[0-9()./*-]*[0-9][0-9()./*-]*){1,6}', '(?: {1,2}(?:[/-] )?[0-9()./*-]*[0-9][0-9()./*-]*){1,6}')
where name = 'key_value';

-- my phone number is (415) 555-0132
update bcp.anonymization_rules
set value_pattern = '[+(]?[0-9][0-9()./*-]*(?: {1,2}[0-9()./*-]*[0-9][0-9()./*-]*){1,6}|' || value_pattern
where name = 'label_prose' and value_pattern like '[^%';

-- ### API token, and the value in a block of code.
update bcp.anonymization_rules
set pattern = replace(pattern, '#*\r?\n\r?\n?(?=\S)', '#*\r?\n\r?\n?(?:`{3}[a-z]*\r?\n)?(?=\S)')
where name = 'label_cell';

-- nacido el 3 de marzo de 1979
update bcp.anonymization_rules
set pattern = replace(
    pattern,
    '[0-9]{1,2}(?:st|nd|rd|th)?(?: of)?[ -]+(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?[ -]+',
    '[0-9]{1,2}(?:st|nd|rd|th|er|\.)?(?: of| de)?[ -]+(?:jan|feb|f\u00e9v|fev|mar|m\u00e4r|apr|avr|abr|may|mai|mag|maj|jun|juin|giu|jul|juil|lug|aug|ao\u00fb|ago|sep|set|oct|okt|out|ott|nov|dec|d\u00e9c|dez|dic|ene|gen)[a-z]*\.?,?(?: de)?[ -]+')
where name = 'birth_date';

-- SSN ending in 9999, last four of my social: 9999
update bcp.anonymization_rules
set pattern = replace(pattern, '(?:card|visa|mastercard|amex|discover|maestro)s?(?: number)?', '(?:card|visa|mastercard|amex|discover|maestro|ssn|social(?: security)?)s?(?: number)?')
where name = 'card_last_four';
update bcp.anonymization_rules
set pattern = replace(
        -- Not the first of a whole number.
        replace(pattern, '[0-9]{4}(?![0-9])', '[0-9]{4}(?![ -]?[0-9])'), 'last (?:four|4) digits(?: (?:of|on|for) [a-z'' ]{2,30})?',
        'last (?:four|4)(?: digits(?: (?:of|on|for) [a-z'' ]{2,30})?| of (?:(?:my|your|his|her|their|the) )?(?:card|ssn|social(?: security)?(?: number)?|account))'),
    words = '{last four,last 4}'
where name = 'card_digits_said';

-- zip code 10115 in a sentence; ZIP 62704 of an address goes.
update bcp.anonymization_rules
set pattern = replace(pattern, '\m(?:ZIP|Zip|zip)(?: ?[Cc]ode|CODE)?', '\m(?:ZIP|Zip)(?: ?[Cc]ode|CODE)?')
where name = 'postal_address';

insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, value_pattern, action, kind, note)
values
    ('basicauth', 'word', 'any', null, 'redact', 'secret', 'a user and a password'),
    ('palavrapasse', 'contains', 'any', null, 'redact', 'secret', 'a password in Portuguese'),
    -- English has the word, too.
    ('parole', 'word', 'string', '[0-9]', 'redact', 'secret', 'a password in Latvian and in slang')
on conflict do nothing;

insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note)
values
    ('apikeyid', 'word', 'any', 'which key it is'),
    ('apikeyids', 'word', 'any', 'which keys they are'),
    ('imagepullsecret', 'word', 'any', 'names of secrets of Kubernetes'),
    ('imagepullsecrets', 'word', 'any', 'names of secrets of Kubernetes'),
    ('designtoken', 'word', 'any', 'a colour or a size'),
    ('designtokens', 'word', 'any', 'colours and sizes'),
    ('colortoken', 'word', 'any', 'a colour'),
    ('colortokens', 'word', 'any', 'colours'),
    ('cvvresult', 'word', 'any', 'whether a code was right'),
    ('cvcresult', 'word', 'any', 'whether a code was right'),
    ('sold', 'after', 'number', 'how many')
on conflict do nothing;

insert into bcp.name_value_keys (name_key, beside, value_keys, note, is_path)
select 'inputtype', beside, value_keys, 'fields of forms', is_path
from bcp.name_value_keys where name_key = 'type'
on conflict do nothing;
