delete from bcp.name_value_keys where name_key = 'inputtype';
delete from bcp.sensitive_key_exceptions
where (key_pattern, match_mode) in (
    ('apikeyid', 'word'), ('apikeyids', 'word'), ('imagepullsecret', 'word'), ('imagepullsecrets', 'word'),
    ('designtoken', 'word'), ('designtokens', 'word'), ('colortoken', 'word'), ('colortokens', 'word'),
    ('cvvresult', 'word'), ('cvcresult', 'word'), ('sold', 'after'));
delete from bcp.sensitive_keys where key_pattern in ('basicauth', 'palavrapasse', 'parole');

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '\m(?:ZIP|Zip)(?: ?[Cc]ode|CODE)?',
        '\m(?:ZIP|Zip|zip)(?: ?[Cc]ode|CODE)?')
where name = 'postal_address';

update bcp.anonymization_rules
set pattern = replace(
        replace(pattern, '[0-9]{4}(?![ -]?[0-9])', '[0-9]{4}(?![0-9])'),
        'last (?:four|4)(?: digits(?: (?:of|on|for) [a-z'' ]{2,30})?| of (?:(?:my|your|his|her|their|the) )?(?:card|ssn|social(?: security)?(?: number)?|account))',
        'last (?:four|4) digits(?: (?:of|on|for) [a-z'' ]{2,30})?'),
    words = '{"last four digits","last 4 digits"}'
where name = 'card_digits_said';

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '(?:card|visa|mastercard|amex|discover|maestro|ssn|social(?: security)?)s?(?: number)?',
        '(?:card|visa|mastercard|amex|discover|maestro)s?(?: number)?')
where name = 'card_last_four';

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '[0-9]{1,2}(?:st|nd|rd|th|er|\.)?(?: of| de)?[ -]+(?:jan|feb|f\u00e9v|fev|mar|m\u00e4r|apr|avr|abr|may|mai|mag|maj|jun|juin|giu|jul|juil|lug|aug|ao\u00fb|ago|sep|set|oct|okt|out|ott|nov|dec|d\u00e9c|dez|dic|ene|gen)[a-z]*\.?,?(?: de)?[ -]+',
        '[0-9]{1,2}(?:st|nd|rd|th)?(?: of)?[ -]+(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?[ -]+')
where name = 'birth_date';

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '#*\r?\n\r?\n?(?:`{3}[a-z]*\r?\n)?(?=\S)',
        '#*\r?\n\r?\n?(?=\S)')
where name = 'label_cell';

update bcp.anonymization_rules
set value_pattern = replace(
    value_pattern, '[+(]?[0-9][0-9()./*-]*(?: {1,2}[0-9()./*-]*[0-9][0-9()./*-]*){1,6}|', '')
where name = 'label_prose';

update bcp.anonymization_rules
set value_pattern = replace(
        replace(
        value_pattern,
        '(?: {1,2}(?:[/-] )?[0-9()./*-]*[0-9][0-9()./*-]*){1,6}',
        '(?: {1,2}[0-9()./*-]*[0-9][0-9()./*-]*){1,6}'),
        '[bBrRuUfFNL@$]{0,2}',
        '[bBrRuUfF@$]{0,2}')
where name = 'key_value';

update bcp.anonymization_rules
set value_exceptions = replace(
        replace(
        replace(
        replace(
        value_exceptions,
        '(?:,\s*\\*["'']?(?:description|title|format|pattern|(?:min|max)length|nullable|(?:read|write)only|deprecated)\\*["'']?\s*:\s*(?:\\*["''][^"''\\]*\\*["'']|[0-9]+|true|false)\s*)*',
        '(?:,\s*\\*["'']?(?:description|title|format)\\*["'']?\s*:\s*\\*["''][^"''\\]*\\*["'']\s*)*'),
        '|missing|include|omit|same-origin|invalid|enabled|',
        '|missing|invalid|enabled|'),
        '\.(?:tsx?|jsx?|mjs|cjs|py|rb|go|rs|java|kts?|cs|cpp|cc|c|h|hpp|php|swift|scala|vue|svelte|sql|sh|ya?ml|json|toml|exs?|dart|lua|html|s?css|tf):\x01[0-9]{1,5}(?::[0-9]*)?[:,-]?\x01'
        '|\x01(?:var|local|module|each|random_password|aws_[a-z_]+|google_[a-z_]+|azurerm_[a-z_]+)(?:\.[a-z_]+)+\x01'
        '|\x01(?:os\.(?:getenv|environ)|',
        '\x01(?:os\.(?:getenv|environ)|'),
        '|[a-z_][a-z_.]+\([a-z_., ]*\)|[a-z_.]+\[[a-z_]{1,12}(?: ?[+-] ?1)?\]|(?:\.{1,2}/|~/)?(?:[a-z0-9_.-]+/)+[a-z0-9_-]+(?:\.[a-z0-9_-]+)?'
        '\.(?:tsx?|jsx?|mjs|py|rb|go|rs|java|kt|cs|cpp|c|h|php|swift|sql|sh|md|txt|ya?ml|json|toml|xml|html|css|pem|key|crt|env|ini|conf)|',
        '|(?:hash|encrypt|decrypt|bcrypt|sha256|get|load|read|prompt|input|decode|encode|generate|create|make|fetch|lookup|resolve)[a-z_.]*\([a-z_., ]*\)|')
where name in ('key_value', 'label_cell', 'label_prose', 'typed_value');
