-- Forms that a hostile reading of the anonymiser found: names of names and values, labels, keys. A rule that a team has
-- changed keeps its pattern: what is replaced is not in it then.

-- Errors of validation name a value by its path: {"loc": ["body", "password"], "input": "x"}.
alter table bcp.name_value_keys add column is_path boolean not null default false;

comment on column bcp.name_value_keys.is_path is
    'Whether the name is a path, of which the last step counts: "/user/password", "user.password", ["user", "password"].';

update bcp.name_value_keys set is_path = true, beside = null where name_key = 'path';

insert into bcp.name_value_keys (name_key, is_path, value_keys, note)
select unnest(names), is_path, string_to_array(value_keys, ' '), note
from (values
    ('{loc,instancepath,datapath,pointer,jsonpointer}'::text[], true, 'value input data received actual got',
        'errors of pydantic, JSON Schema and others'),
    ('{parameterkey,paramkey,optionname,optionkey,configname,configkey,settingname,settingkey,attributename,attrname,variablename,cookiename,envvar,envkey,keyname,itemname,argname,argumentname,credentialname,secretname,prompt,q,n}',
        false, 'value values val v text content data default answer a input response', 'the same, with longer names'),
    ('{arialabel,accessiblename,xpath,css,cssselector,queryselector}', false,
        'value values val v text default input keys typed', 'accessible names and selectors')
) as list (names, is_path, value_keys, note)
on conflict do nothing;

update bcp.name_value_keys
set value_keys = array(
    select distinct unnest(value_keys || string_to_array(
        'received got actual current previous before after old new oldval newval input keys typed parametervalue paramvalue '
        'optionvalue configvalue settingvalue attributevalue attrvalue variablevalue varvalue headervalue cookievalue '
        'envvalue propertyvalue propvalue fieldvalue columnvalue keyvalue itemvalue argvalue argumentvalue secretvalue',
        ' '))
    order by 1)
where 'value' = any (value_keys) and 'rows' <> all (value_keys) and beside is null;
update bcp.name_value_keys set value_keys = value_keys || '{a}' where name_key in ('question', 'prompt');

-- Keys.
insert into bcp.sensitive_keys (key_pattern, match_mode, note)
select word, match_mode, note
from (values
    ('word', 'a password, in one word',
        'adminpass rootpass mailpass emailpass ftppass wifipass keypass storepass keystorepass truststorepass kspass tspass authpass proxypass ldappass
         mysqlpass redispass adminpw userpw mysqlpw wifipw emailpw mailpw sshpw ftppw proxypw'),
    ('word', 'a secret, in one word',
        'communitystring snmpcommunity rocommunity rwcommunity activationcode activationkey serialkey rediscliauth'),
    ('word', 'the key of a service',
        'openaikey anthropickey claudekey geminikey mistralkey groqkey coherekey deepseekkey openrouterkey perplexitykey
         tavilykey serpapikey xaikey huggingfacekey hfkey replicatekey elevenlabskey pineconekey stripekey twiliokey
         sendgridkey mailgunkey mailchimpkey postmarkkey brevokey githubkey gitlabkey awskey gcpkey azurekey googlekey
         mapskey googlemapskey mapboxkey algoliakey datadogkey ddkey sentrykey slackkey discordkey telegramkey firebasekey
         fcmkey cloudflarekey digitaloceankey herokukey vercelkey netlifykey supabasekey pusherkey segmentkey mixpanelkey
         amplitudekey newrelickey pagerdutykey opsgeniekey notionkey airtablekey hubspotkey shopifykey squarekey
         paypalkey plaidkey razorpaykey weatherkey openweatherkey'),
    ('word', 'in another language',
        'geheim geheimnis geheimwort geheimzahl zugangscode zugangsdaten apischluessel apischlüssel zugriffstoken segredo
         segreto jeton jetonacces jetondacces cleapi clésecrete clesecrete claveapi chaveapi chavesecreta chaveprivada
         claveprivada chiaveapi chiavesegreta sleutel apisleutel'),
    ('contains', 'in another language',
        'κωδικός κωδικόσ κωδικος συνθηματικό токен секрет 令牌 密钥 密鑰 秘钥 トークン 秘密鍵 シークレット 토큰 비밀키')
) as list (match_mode, note, words), regexp_split_to_table(words, '\s+') as word
on conflict do nothing;

insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, note)
select word, match_mode, note
from (values
    ('after', 'says something about a secret, and does not hold it', 'color colour colors colours'),
    ('word', 'names how a password is hashed', 'passwordhashalgorithm passwordhashalgo passwordhashing'),
    ('word', 'counts or names something else', 'stripekeycount awskeyname awskeypair awskeypairname')
) as list (match_mode, note, words), regexp_split_to_table(words, ' ') as word
on conflict do nothing;

-- Labels: an index or a hint after the key, "::", a definition of Markdown.
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '\]?(?: \([^()\n]*\))?["''`*\\]*(?:</?[A-Za-z][^<>]*>)*[ \t]*(?:=>|={1,3}|:=|:|',
        '(?:\]|\[[0-9]*\])?(?: (?:\([^()\n]*\)|\[[^][\n]*\]))?["''`*\\]*(?:</?[A-Za-z][^<>]*>)*[ \t]*(?:=>|={1,3}|:=|:|::(?=[ \t])|\r?\n:(?=[ \t])|'),
    value_exceptions = replace(replace(
        value_exceptions,
        '|not|is|and|or|the|a|an|to|', '|not|await|new|lambda|is|and|or|the|a|an|to|'),
        '|name|value|string))\x01', '|name|value|string))[:.]?\x01|\x01[a-z_.]+\(\)[;,]?\x01|\x01:[a-z_][a-z0-9_:]*\([^\x01]*\x01')
where name = 'key_value';
update bcp.anonymization_rules
set value_exceptions = replace(
        value_exceptions, '|not|is|and|or|the|a|an|to|', '|not|await|new|lambda|is|and|or|the|a|an|to|')
where name in ('label_cell', 'label_prose');

-- A tag of HTML before the value; a cell whose key ends in a colon; a heading that is underlined; **Key** `value`.
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '(?:[ \t]*\|[ \t]*|\t+|[ \t]*(?:</',
        '(?:[ \t]*\|[ \t]*|\t+|\*\*:? (?=`[^`\s]*[0-9][^`\s]*`)|[ \t]*:?[ \t]*\r?\n[ \t]*(?:={3,}|-{3,})[ \t]*\r?\n(?:\r?\n)?[ \t]*(?=\S)|:[ \t]+(?:<(?:b|i|em|strong|code|span|pre|kbd|tt|p|font|samp|var)(?: [^<>]*)?>\s*)+(?=[^\s<])|[ \t]*:?[ \t]*(?:</'),
    words = words || array['** `', '**: `', '===', '---']
where name = 'label_cell' and not '===' = any (words);
update bcp.anonymization_rules
set pattern = replace(pattern, '<[A-Za-z][^<>/]{0,80}>', '<[A-Za-z\u0080-\U0010FFFF][^<>/]{0,80}>')
where name = 'xml_element';
update bcp.anonymization_rules
set pattern = replace(
    pattern,
    '|\m[Nn][Ee][Tt][ \t]+[Uu][Ss][Ee][Rr][ \t]+',
    '|\m[Nn][Ee][Tt][ \t]+[Uu][Ss][Ee][ \t]+(?:[A-Za-z*]:[ \t]+)?\\+[^\s]+[ \t]+["''\\]*(?=[^\s/]+[ \t]+/[Uu][Ss][Ee][Rr]:)|\m[Nn][Ee][Tt][ \t]+[Uu][Ss][Ee][Rr][ \t]+')
where name = 'command_password';

insert into bcp.anonymization_rules
    (name, ordinal, kind, pattern, value_pattern, words, validation, action, replacement, note)
values
    ('validation_error', 66, 'secret',
     '\m[A-Za-z_][A-Za-z0-9_.-]*\r?\n[ \t]+[^\n]*\[type=[a-z_]+, input_value=|''loc'': [(\[][^)\]\n]*[)\]][^{}\n]*''input'': ',
     '''(?:[^''\\]|\\.)*''?|"(?:[^"\\]|\\.)*"?|\{[^\n]*\}(?=, input_type)|\[[^\n]*\](?=, input_type)|[^\s''",{}()\[\]][^\s,{}()\[\]]*',
     '{input_value=,''loc''}', 'sensitive_key', 'redact', '[REDACTED]',
     'Errors of pydantic show the value that they refuse.')
on conflict do nothing;
insert into bcp.anonymization_rules (name, ordinal, kind, pattern, hint, validation, action, replacement, note)
values
    ('seed_phrase', 59, 'secret',
     '(?i)(\m(?:mnemonic|seed|(?:seed|recovery|backup|secret)[ _-]?(?:phrase|words))(?: phrase| words)?["''`*\\]*[ \t]*(?:[:=]|is|are)?[ \t]*[\r\n"''`*\\\[]*[ \t]*)(?:(?:[0-9]{1,2}[.)] ?)?[a-z]{3,8}[ ,"''\r\n]{1,4}){11,23}[a-z]{3,8}(?![a-z])',
     'mnemonic|(?:seed|recovery|backup|secret)[ _-]?(?:phrase|words)|seed[^a-z0-9]{0,4}[:=]', 'none', 'redact', '\1[REDACTED]',
     'The twelve to twenty-four words of a wallet, after a label.')
on conflict do nothing;
