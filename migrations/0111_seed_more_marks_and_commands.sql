-- More marks between a label and its value, more commands and settings, and more keys of services with a form of their
-- own. Each rule is tried only where one of its words is.

-- Mot de passe : « x », Password: &quot;x&quot;, Password&#9;x, Set “Password” to “x”, "the api key you asked for: x1",
-- PIN will be 4477, geb. 15.03.1988, and lists of recovery codes.
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, replacement, note)
values (
    'marked_label', 54, 'secret',
    '(?i)(\m(?:password|passwort|kennwort|passcode|passphrase|pin|secret|token|api[ _-]?key|mot de passe|contrase[n\u00f1]a|senha|wachtwoord|parola|has\u0142o|\u043f\u0430\u0440\u043e\u043b\u044c)'
    '(?:[ \t]*[:=]["\u201d\u00bb*_]*[ \t\u00a0]*(?:[\u00ab\u2039\u201c\u201e\u2018][ \t\u00a0]*|(?:&(?:quot|apos|nbsp|#3[49]|#9|lt;/?[a-z]{1,8}&gt);[ \t]*){1,4}|<mark>)'
    '|&(?:#9|#x9|tab);|["\u201d\u00bb] to ["\u201c\u201e\u00ab]))[^\s<>&"\u00bb\u203a\u201c\u201d\u2019$\{*\[]{3,}'
    '|(\m(?:password|passcode|api[ _-]?key|token|secret|code) you [a-z '']{3,30}: ["''`]?|\m(?:pin|otp|password|passcode|code) will be ["''`]?)'
    '(?=[^\s"''`,;]*[0-9])[^\s"''`,;]{4,}'
    '|(\mgeb\. ?(?:am )?)[0-9]{1,2}\.[ ]?[0-9]{1,2}\.[ ]?[12][0-9]{3}'
    '|(\m(?:recovery|backup|2fa|mfa) codes?[:*_]+[ \t]*\r?\n)(?:[ \t]*(?:[0-9]{1,2}[.)]|[-*\u2022])?[ \t]*`?(?=[a-z-]*[0-9])[a-z0-9]{3,12}(?:-[a-z0-9]{3,12}){0,4}`?[ \t]*(?:\r?\n|$))+'
    '|(\n![ \t]*(?:password|passcode|pin|secret|token|api[ _-]?key)[ \t]*\r?\n(?:\|-[^\r\n]*\r?\n)?\|[ \t]*)[^\s|!][^\r\n|]*',
    array['«', '‹', '“', '„', '‘', '&quot;', '&apos;', '&#39;', '&#34;', '&lt;', '&nbsp;', '&#9;', '&#x9;', '&tab;', '<mark>',
        ' will be ', 'geb.', ' codes:', ' codes**', 'key you', 'word you', 'token you', 'secret you', 'code you',
        '! p', '! secret', '! token', '! api'],
    'none', 'redact', '\1\2\3\4\5[REDACTED]',
    'A value whose label is set apart by quotes, entities or a sentence.');

-- poetry config http-basic.a jane x, proxy_set_header X-Api-Key x, stats auth admin:x, key 1 md5 x, IDENTIFY x1,
-- setattr(u, "password", "x"), echo x | docker secret create a -
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, replacement, note)
values (
    'configured_secret', 54, 'secret',
    '(?i)(\mwinexe[ \t]+-U[ \t]+[^\s%]+%'
    '|\mpoetry[ \t]+config[ \t]+(?:http-basic\.[^\s]+[ \t]+[^\s]+|pypi-token\.[^\s]+)[ \t]+'
    '|\mdoctl[ \t]+auth[ \t]+init[ \t]+(?:-t|--access-token)[ \t=]+'
    '|\mcargo[ \t]+login[ \t]+'
    '|\m(?:proxy_set_header|requestheader[ \t]+set)[ \t]+["'']?[a-z-]*(?:key|token|secret|password)["'']?[ \t]+["'']?'
    '|\mstats[ \t]+auth[ \t]+[^\s:]+:'
    '|\mcache_peer[ \t][^\r\n]{1,120}[ \t]login=[^\s:]{1,60}:'
    '|: (?:PSK|XAUTH)[ \t]+["'']'
    '|\mkey[ \t]+[0-9]{1,5}[ \t]+(?:md5|sha1|sha256)[ \t]+'
    '|\mnickserv[ \t:]+identify[ \t]+(?:[^\s]+[ \t]+)?(?=[^\s]*[0-9])'
    '|\m[a-z]{0,2}[0-9]{1,4} login [^\s]+ ["'']?(?=[^\s]*[0-9])'
    '|\msetattr\([^,()\r\n]*,[ \t]*["''][a-z_]*(?:password|secret|token|api_?key)["''],[ \t]*["'']'
    '|\m[a-z_]*(?:password|secret|token|api_?key)[ \t]+\?=[ \t]*'
    '|\m(?:password|token|secret)[ \t]*[:=][ \t]*(?:r#+|(?:string::from|string::new|secret::new|secretstring::from)\()"'
    '|\m(?:aba|routing)(?: (?:routing|number|no\.?)){0,2}[ :#]{1,3}(?=[0-9]{9}\M)'
    '|\minvalid (?:password|token|pin|secret)[:,] (?:received|got|was) ["''`]'
    ')[^\s"''`;|<>$\{*\[&][^\s"''`;|]*'
    '|(\m(?:echo|printf)[ \t]+(?:-n[ \t]+)?["'']?)[^\s"''`;|<>$\{][^\s"''`;|]*(?=["'']?[ \t]*\|[ \t]*(?:npx[ \t]+)?(?:wrangler|docker|podman|gh|fly|flyctl|kubeseal|vault|az|heroku|supabase)[ \t][^\r\n|]*secrets?\M)',
    array['winexe', 'http-basic.', 'pypi-token.', 'doctl', 'cargo login', 'proxy_set_header', 'requestheader', 'stats auth',
        'cache_peer', ': psk', ': xauth', ' md5 ', ' sha1 ', ' sha256 ', 'identify ', ' login ', 'setattr(', '?=', 'r#', '::from(', '::new(',
        'aba ', 'routing ', 'invalid p', 'invalid t', 'invalid s', 'echo ', 'printf '],
    'none', 'redact', '\1\2[REDACTED]',
    'A secret in the setting or the command of one program: proxy_set_header X-Api-Key x.');

insert into bcp.anonymization_rules (name, ordinal, kind, pattern, words, validation, action, note)
values (
    'api_key_named', 22, 'secret',
    '\m(?:SWMTKN-1-[a-z0-9]{20,}-[a-z0-9]{20,}|vercel_blob_rw_[A-Za-z0-9_]{20,}|pdl_(?:live|sdbx)_apikey_[A-Za-z0-9_]{20,}'
    '|snyk_[a-z]{3}\.[A-Za-z0-9]{8}\.[A-Za-z0-9_.-]{20,}|tgp_v[0-9]_[A-Za-z0-9_-]{20,}|tr_(?:prod|dev|stg|pat)_[A-Za-z0-9]{20,}'
    '|signkey-(?:prod|test|branch)-[0-9a-f]{32,}|mlsn\.[0-9a-f]{40,}|ya29\.[a-zA-Z0-9_.-]{20,}|K10[0-9a-f]{60,}::[a-z]+:[0-9a-f]{16,}'
    '|wandb_v[0-9]_[A-Za-z0-9_]{30,}|endr\+[A-Za-z0-9_-]{12,}'
    ')',
    array['swmtkn-', 'vercel_blob_', 'pdl_live_', 'pdl_sdbx_', 'snyk_', 'tgp_v', 'tr_prod_', 'tr_dev_', 'tr_stg_', 'tr_pat_', 'signkey-',
        'mlsn.', 'ya29.', 'k10', 'wandb_v', 'endr+'],
    'none', 'redact', 'Keys of more services.');

-- Parts of pages and entries of directories.
insert into bcp.name_value_keys (name_key, beside, value_keys, note, is_path)
select w.name_key, null, k.value_keys, 'parts of pages, slots and entries of directories', false
from unnest('{testid,datatestid,elementid,inputid,controlid,htmlid,htmlfor,fieldref,slot,slotname,entity,entityname}'::text[])
    as w (name_key)
cross join bcp.name_value_keys k
where k.name_key = 'field'
on conflict do nothing;
update bcp.name_value_keys set value_keys = value_keys || '{vals}'
where name_key in ('attr', 'attribute') and not 'vals' = any (value_keys);
