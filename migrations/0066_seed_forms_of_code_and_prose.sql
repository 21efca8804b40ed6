-- Forms that another hostile reading of the anonymiser found. A rule that a team has changed keeps its pattern: what is
-- replaced is not in it then.

-- What says how something is authorised is no secret: authorization: none. And a placeholder after a scheme stays with
-- its scheme: Authorization: Bearer ${TOKEN}.
update bcp.anonymization_rules
set pattern = replace(
    pattern, '["''\\]*)(?![a-z0-9_.-]+[:=][ \t])',
    '["''\\]*)(?![a-z0-9_.-]+[:=][ \t]'
    '|(?:none|null|required|optional|enabled|disabled|true|false|yes|no|missing|invalid|denied|granted|failed|ok)(?:[\s"''\\,;.)}]|$)'
    '|[a-z][a-z0-9-]{2,20}[ \t]+[$<{*[])')
where name = 'header';

-- ~~Password:~~ x, Password ==> x, auth=("jane", "x").
update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern, '(?:=>|={1,3}|:=|:|::', '(?:[\u00bb\u279c\u21d2]|={1,3}>?|:=|:|::'),
        '[^<>]*>)*[*_]*(?:[ \t]*(?:[*_`]*', '[^<>]*>)*[*_~]*(?:[ \t]*(?:[*_`]*'),
        '["''`*\\]*[A-Za-z0-9_$', '["''`*~\\]*[A-Za-z0-9_$'),
    value_pattern = replace(
        value_pattern,
        '[bBrRuUfF@$]{0,2}''(?:[^''\\]|\\.)*''?|`[^`]*`?)|\{[^{}\[\]]*(?:\}|$)',
        '[bBrRuUfF@$]{0,2}''(?:[^''\\]|\\.)*''?|`[^`]*`?)(?:[ \t]*,[ \t]*(?:"[^"\\]*"|''[^''\\]*''))*|\{[^{}\[\]]*(?:\}|$)')
where name = 'key_value';

-- <code>password</code>: <code>x</code>
update bcp.anonymization_rules
set pattern = replace(pattern, '|:[ \t]+(?:<(?:b|i|em|', '|(?:</[A-Za-z]+>)?:[ \t]+(?:<(?:b|i|em|')
where name = 'label_cell';

-- References to secrets, comparisons and calls of code, and parameters of SQL are no values.
update bcp.anonymization_rules
set value_exceptions = replace(replace(
        value_exceptions,
        '|missing|invalid|yes|no|on|off|', '|missing|invalid|enabled|disabled|unknown|inherit|final|expected|actual|[a-z]+keyref|basic|bearer|digest|oauth2?|jwt|saml|ldap|mtls|apikey|yes|no|on|off|'),
        '|\.{2,}|\?|:[a-z_]+)["''`)]*\x01',
        '|\.{2,}|\?|:[a-z_]+|\$[0-9]{1,3}|vault:[a-z0-9_-]+/[^\x01]*|(?:hash|encrypt|decrypt|bcrypt|sha256|get|load|read|prompt|input|decode|encode|generate|create|make|fetch|lookup|resolve)[a-z_.]*\([a-z_., ]*\)|-[ \t]+[a-z_]+_(?:password|secret|token|key))["''`)]*\x01|\x01(?:bearer|basic|digest|token)\x01 +[$<{*\[]|\x01&[a-z_][a-z0-9_.-]*=[^\x01]*\x01')
where name in ('key_value', 'label_cell', 'label_prose');

-- API_KEY: str = "x". A rule of its own: as a branch of key_value it would make that take three times as long.
insert into bcp.anonymization_rules (
    name, ordinal, kind, pattern, value_pattern, value_exceptions, words, validation, action, note)
select
    'typed_value', ordinal - 1, kind,
    '["''\\]*[A-Za-z_][A-Za-z0-9_]*["''\\]*\??[ \t]*:[ \t]*(?:[Ss]tr(?:ing)?|Final(?:\[str\])?|Optional\[str\]|str \| None|SecretStr|[Aa]ny|bytes|&(?:''static )?str)[ \t]*=[ \t]*(?=[^\s=])',
    '[bBrRuUfF]{0,2}"(?:[^"\\]|\\.)*"?|[bBrRuUfF]{0,2}''(?:[^''\\]|\\.)*''?|`[^`]*`?|[^\s"''`,;]+',
    value_exceptions,
    array[': str', ':str', ': final', ':final', ': optional[str]', ': secretstr', ': any', ': bytes', ': &'],
    validation, action, 'A declaration with a type: API_KEY: str = "x".'
from bcp.anonymization_rules
where name = 'key_value';

-- "with password x1y", "das Passwort ist x1y", "the secret to x1y", "pass x1y2": a word with letters and digits, as
-- passwords have them, and not as names of versions and algorithms do.
insert into bcp.anonymization_rules (
    name, ordinal, kind, pattern, words, hint, validation, action, replacement, note)
select
    'told_password', ordinal, 'secret',
    '(?i)((?:\m(?:with|using|enter|use|try|temp(?:orary)?) (?:the )?(?:password|passphrase|passcode|pw)'
    '|\m(?:passwor[dt]|kennwort|passphrase|passcode|secret|token|mot de passe|contrase[n\u00f1]a|clave|senha|wachtwoord|l\u00f6senord|has\u0142o|parola|heslo)'
    '(?: (?:has|been|was|is|will|be|now|lautet|ist|est|es|\u00e9|\u00e4r|jest|je)){1,4}(?: (?:re)?(?:set|changed) to)?'
    '|\m(?:(?:re)?set|chang(?:ed|ing|e)|updat(?:ed|ing|e)) (?:(?:the|my|your|his|her|their|a|new) ){0,3}(?:passwor[dt]|passphrase|passcode|secret|token) to'
    '|\m(?:password|token|secret) (?:re)?(?:set|changed) to|\msalasana on'
    '|[\u041f\u043f]\u0430\u0440\u043e\u043b\u044c(?: -| \u2014)?) ["''`]?)'
    || w.no_secret || '(?=[^\s"''`,;/]{0,40}[0-9])(?=[^\s"''`,;/]{0,40}[a-z])[^\s"''`,;:/<>{}()\[$]{6,}'
    '|(\m(?:passwor[dt]|kennwort|passphrase|passcode|passwd|pwd|(?:user(?:name)?|login) [^\s,]{1,40},? (?:and )?pass) ["''`]?)' || w.no_secret ||
    '(?=[^\s"''`,;/]{0,40}(?:[a-z][^\s"''`,;/a-z]*[0-9][^\s"''`,;/0-9]*[a-z][^\s"''`,;/a-z]*[0-9]|[0-9][^\s"''`,;/0-9]*[a-z][^\s"''`,;/a-z]*[0-9][^\s"''`,;/0-9]*[a-z]))[^\s"''`,;:/<>{}()\[$]{6,}',
    null, '(?:passw|passp|passc|pass |pwd? |kennw|secret|token|mot de p|contrase|clave|senha|wachtw|l\u00f6sen|has\u0142o|parola|heslo|salasana|\u043f\u0430\u0440\u043e\u043b\u044c|\u041f\u0430\u0440\u043e\u043b\u044c)[^0-9=:]{0,40}[0-9]',
    'none', 'redact', '\1\2[REDACTED]',
    'A password that a sentence tells: log in with password x1y2z3.'
from bcp.anonymization_rules
cross join (values (
    -- Dates, lengths, algorithms, and places that have a number.
    '(?![0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]+-?(?:char|digit|letter|word|byte|bit|sec|min|hour|day|month|year|time|symbol)'
    '|k8s|s3-|(?:sha|md|v|oauth|aes|rsa|[rhep]s|ec|utf|ipv|tls|ssl|http|argon|base|pbkdf|bcrypt|scrypt|gpt'
    '|page|line|step|host|node|server|client|service|file|table|column|row|field|screen|test|version|type|tipo|level|part|phase|case|policy|auth|web|pod)[-_]?[0-9])')
) as w (no_secret)
where name = 'spoken_password';

-- "password is set to x", but not "password was changed yesterday" and "password is 12-characters long".
update bcp.anonymization_rules
set pattern = replace(replace(
    pattern,
    '\s+(?:is|was)\s*:?\s*["', '\s+(?:is|was)(?: now)?(?: (?:re)?(?:set|changed) to)?\s*:?\s*["'),
    '|never|case|in|on)\M)',
    '|never|case|in|on|set|changed|updated|stored|saved|sent|kept|hashed|encrypted|rotated|generated|managed|protected|shared'
    '|used|needed|optional|mandatory|correct|valid|visible|hidden|only|also|no|long|short|weak|strong'
    '|[0-9]+-?(?:char|digit|letter|word|byte|bit|sec|min|hour|day|month|year|time|symbol)[a-z]*)\M)')
where name = 'spoken_password';

-- "the token is RS256-signed", "the secret is k8s-managed"
update bcp.anonymization_rules
set value_exceptions = value_exceptions
    || '|\x01(?:(?:[rhep]s[0-9]{3}|k8s|s3|oauth2)-[a-z]+|[0-9]+-?(?:char|digit|letter|word|byte|bit|sec|min|hour|day|month|year|time|symbol)[a-z]*)\x01'
where name = 'label_prose' and value_exceptions like '%keyref|basic%';

-- password 8 characters long
update bcp.anonymization_rules
set pattern = replace(pattern, '(?:[05-9]|sha512)[ \t]+(?=[^\s]{5})', '(?:[05-9]|sha512)[ \t]+(?=[^\s]{5})(?=[^\s]{0,80}[0-9$])')
where name = 'device_password';

-- <label for="x">Password</label> has no password.
update bcp.anonymization_rules
set value_exceptions = value_exceptions
    || '|\x01\s*(?:(?:enter|your|new|old|confirm|current) )*(?:password|passwort|token|secret|e-?mail(?: address)?|phone(?: number)?|api key|key)\s*[:*]?\s*\x01'
where name = 'xml_element' and value_exceptions = '\x01\s*\x01';

-- ph: 2025550143, teléfono 91 123 45 67, wa.me/12025550143
update bcp.anonymization_rules
set pattern = replace(
        pattern, '(\m(?:phone|telephone|tel|', '(\mwa\.me/|\m(?:ph|mob|phone|t[e\u00e9]l[e\u00e9](?:phone|fon[oe]?)|handy|m\u00f3vil|celular|cellulare|tel|'),
    words = words || '{ph:,ph.,ph=,mob:,mob.,mob=,tél,handy,móvil,celular,wa.me/}',
    hint = replace(
        hint, '(?:phone|tel|mobile|cell|whatsapp|sms|fax)[',
        '(?:wa[.]me/|phone|t[e\u00e9]l(?:[e\u00e9]fon[oe]?)?|\mph\M|\mmob\M|handy|m\u00f3vil|celular|cellulare|mobile|cell|whatsapp|sms|fax)[')
where name = 'phone_labelled';

insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, action, kind, note)
select pattern, match_mode, value_type, action, kind, note
from bcp.sensitive_keys, unnest('{slaptazodis,geslo,sifreniz,keyphrase}'::text[]) as pattern
where key_pattern = 'heslo'
on conflict do nothing;

insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note)
values
    ('passwordless', 'contains', 'any', 'logging in without a password'),
    ('secretkeyref', 'word', 'any', 'where Kubernetes finds a secret'),
    ('emailoptin', 'word', 'any', 'whether a person wants mail'),
    ('secretsanta', 'word', 'any', 'a game'),
    ('provided', 'after', 'any', 'whether there is one')
on conflict do nothing;

-- Playwright's references, and tables with one row.
insert into bcp.name_value_keys (name_key, beside, value_keys, note, is_path)
select 'ref', beside, value_keys, 'elements of a page that are filled in', is_path
from bcp.name_value_keys where name_key = 'placeholder'
on conflict do nothing;
