delete from bcp.anonymization_rules where name in ('told_password', 'typed_value');
delete from bcp.sensitive_keys where key_pattern in ('slaptazodis', 'geslo', 'sifreniz', 'keyphrase');
delete from bcp.sensitive_key_exceptions
where (key_pattern, match_mode) in (
    ('passwordless', 'contains'), ('secretkeyref', 'word'), ('emailoptin', 'word'), ('secretsanta', 'word'),
    ('provided', 'after'));
delete from bcp.name_value_keys where name_key = 'ref';

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '["''\\]*)(?![a-z0-9_.-]+[:=][ \t]'
    '|(?:none|null|required|optional|enabled|disabled|true|false|yes|no|missing|invalid|denied|granted|failed|ok)(?:[\s"''\\,;.)}]|$)'
    '|[a-z][a-z0-9-]{2,20}[ \t]+[$<{*[])',
        '["''\\]*)(?![a-z0-9_.-]+[:=][ \t])')
where name = 'header';

update bcp.anonymization_rules
set pattern = replace(
        replace(
        replace(
        pattern,
        '(?:[\u00bb\u279c\u21d2]|={1,3}>?|:=|:|::',
        '(?:=>|={1,3}|:=|:|::'),
        '[^<>]*>)*[*_~]*(?:[ \t]*(?:[*_`]*',
        '[^<>]*>)*[*_]*(?:[ \t]*(?:[*_`]*'),
        '["''`*~\\]*[A-Za-z0-9_$',
        '["''`*\\]*[A-Za-z0-9_$'),
    value_pattern = replace(
        value_pattern,
        '[bBrRuUfF@$]{0,2}''(?:[^''\\]|\\.)*''?|`[^`]*`?)(?:[ \t]*,[ \t]*(?:"[^"\\]*"|''[^''\\]*''))*|\{[^{}\[\]]*(?:\}|$)',
        '[bBrRuUfF@$]{0,2}''(?:[^''\\]|\\.)*''?|`[^`]*`?)|\{[^{}\[\]]*(?:\}|$)')
where name = 'key_value';

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '|(?:</[A-Za-z]+>)?:[ \t]+(?:<(?:b|i|em|',
        '|:[ \t]+(?:<(?:b|i|em|')
where name = 'label_cell';

update bcp.anonymization_rules
set value_exceptions = replace(
    value_exceptions,
    '|\x01(?:(?:[rhep]s[0-9]{3}|k8s|s3|oauth2)-[a-z]+|[0-9]+-?(?:char|digit|letter|word|byte|bit|sec|min|hour|day|month|year|time|symbol)[a-z]*)\x01',
    '')
where name = 'label_prose';

update bcp.anonymization_rules
set pattern = replace(replace(
    pattern,
    '\s+(?:is|was)(?: now)?(?: (?:re)?(?:set|changed) to)?\s*:?\s*["', '\s+(?:is|was)\s*:?\s*["'),
    '|never|case|in|on|set|changed|updated|stored|saved|sent|kept|hashed|encrypted|rotated|generated|managed|protected|shared'
    '|used|needed|optional|mandatory|correct|valid|visible|hidden|only|also|no|long|short|weak|strong'
    '|[0-9]+-?(?:char|digit|letter|word|byte|bit|sec|min|hour|day|month|year|time|symbol)[a-z]*)\M)',
    '|never|case|in|on)\M)')
where name = 'spoken_password';

update bcp.anonymization_rules
set value_exceptions = replace(
        replace(
        value_exceptions,
        '|missing|invalid|enabled|disabled|unknown|inherit|final|expected|actual|[a-z]+keyref|basic|bearer|digest|oauth2?|jwt|saml|ldap|mtls|apikey|yes|no|on|off|',
        '|missing|invalid|yes|no|on|off|'),
        '|\.{2,}|\?|:[a-z_]+|\$[0-9]{1,3}|vault:[a-z0-9_-]+/[^\x01]*|(?:hash|encrypt|decrypt|bcrypt|sha256|get|load|read|prompt|input|decode|encode|generate|create|make|fetch|lookup|resolve)[a-z_.]*\([a-z_., ]*\)|-[ \t]+[a-z_]+_(?:password|secret|token|key))["''`)]*\x01|\x01(?:bearer|basic|digest|token)\x01 +[$<{*\[]|\x01&[a-z_][a-z0-9_.-]*=[^\x01]*\x01',
        '|\.{2,}|\?|:[a-z_]+)["''`)]*\x01')
where name in ('key_value', 'label_cell', 'label_prose');

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '(?:[05-9]|sha512)[ \t]+(?=[^\s]{5})(?=[^\s]{0,80}[0-9$])',
        '(?:[05-9]|sha512)[ \t]+(?=[^\s]{5})')
where name = 'device_password';

update bcp.anonymization_rules
set value_exceptions = replace(
    value_exceptions,
    '|\x01\s*(?:(?:enter|your|new|old|confirm|current) )*(?:password|passwort|token|secret|e-?mail(?: address)?|phone(?: number)?|api key|key)\s*[:*]?\s*\x01',
    '')
where name = 'xml_element';

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '(\mwa\.me/|\m(?:ph|mob|phone|t[e\u00e9]l[e\u00e9](?:phone|fon[oe]?)|handy|m\u00f3vil|celular|cellulare|tel|',
        '(\m(?:phone|telephone|tel|'),
    hint = replace(
        hint,
        '(?:wa[.]me/|phone|t[e\u00e9]l(?:[e\u00e9]fon[oe]?)?|\mph\M|\mmob\M|handy|m\u00f3vil|celular|cellulare|mobile|cell|whatsapp|sms|fax)[',
        '(?:phone|tel|mobile|cell|whatsapp|sms|fax)['),
    words = array(select w from unnest(words) as w where w <> all ('{ph:,ph.,ph=,mob:,mob.,mob=,tél,handy,móvil,celular,wa.me/}'))
where name = 'phone_labelled';
