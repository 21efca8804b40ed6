-- More ways to write a key before its value, more commands, and more that only looks like a value. A rule that a team
-- has changed keeps its pattern: what is replaced is not in it then.

-- ~~Password~~: x, Password ........ x, Password:&nbsp;x, [b]Password:[/b] x, \textbf{Password:} x, Password: ||x||,
-- password <- "x"; and a name alone on its line above a value that no word is: password, hunter2x9.
update bcp.anonymization_rules
set pattern = replace(replace(replace(replace(
        pattern,
        '[ \t]*(?:\r?\n[ \t]*){1,2}(?=[^\s:=|]+', '[ \t]*(?:\r?\n[ \t]*){1,2}(?:>[ \t]*)?(?=[^\s:=|]+'),
        '["''`*\\]*(?:\]|\[[0-9]*\])?', '["''`*~\\]*(?:\]|\[[0-9]*\])?'),
        '|!=|<>|->|',
        '|!=|<>|->|<-(?=[ \t]*["''])|\.{4,}:?(?=[ \t])'
        '|\r?\n(?:\r?\n)?[ \t]*(?=[A-Za-z0-9!@#$%^&*+~?-]{8,64}[ \t]*(?:\r?\n|$))(?=[^\s]*[A-Za-z])(?=[^\s]*[0-9][^0-9\s])|[ \t]\.[ \t]+(?=")|'),
        '(?:</?[A-Za-z][^<>]*>)*[*_~]*(?:[ \t]*(?:[*_`]*|',
        '(?:</?[A-Za-z][^<>]*>|&nbsp;|&#160;|&quot;|&#3[49];|&apos;|&lt;/?[a-z][a-z0-9]*&gt;|\[/[a-z]{1,6}\]|\}(?=[ \t])|==(?=[ \t]))*[*_~]*(?:[ \t]*(?:[*_`]*|\|\||'),
    -- md5('x') is a call, too.
    value_pattern = replace(value_pattern, '|[A-Za-z_.]+\([^()\n]*\)?|', '|[A-Za-z_.][A-Za-z0-9_.]*\([^()\n]*\)?|')
where name = 'key_value';

-- **Password** x
update bcp.anonymization_rules
set pattern = replace(
        pattern, '|\*\*:? (?=`[^`\s]*[0-9][^`\s]*`)',
        '|\*\*:? (?=`[^`\s]*[0-9][^`\s]*`)|\*\* (?=[^\s]{6,64}[ \t]*(?:\r?\n|$))(?=[^\s]*[0-9])(?=[^\s]*[A-Za-z])'),
    words = words || array['** ']
where name = 'label_cell' and not words @> array['** '];

-- What follows a sensitive key and is no value: calls of code, references, words that are known not to be one.
update bcp.anonymization_rules
set value_exceptions = replace(
        value_exceptions, '|\x01[^a-z0-9\u0080-\U0010FFFF\x01]*\x01|',
        '|\x01[^a-z0-9\u0080-\U0010FFFF\x01]*\x01'
        '|credentials["''`]?\s*[:=]\s*\x01["''`]*(?:same-origin|include|omit)["''`]*\x01'
        '|\x01(?:r|c|w|localstorage|sessionstorage|document|window)\.[a-z_.]+\([^\x01]*\x01'
        '|\x01[a-z_][a-z_0-9]*(?:\.[a-z_0-9]+)+\([^"''`\x01]*\)\x01'
        '|\x01["''`]*(?:projects/|arn:|op://)[^\x01]*\x01|arn:aws[a-z-]*:[a-z]*:?\x01'
        '|\x01["''`]+(?:optional|required|string|none|null|nullable|text|number|tel)["''`]+\x01'
        '|\x01(?:prompt|input|getpass|ask)[a-z_.]*\(["''`][^"''`\x01]*["''`]?\)?\x01'
        '|\x01!(?:ref|getatt|importvalue)\x01 [a-z]'
        '|\mpins?["''*_`]*[:=] ?\x01(?:gpio ?[0-9]+|[ad][0-9]{1,2}|[0-9.]+v)\x01'
        '|\mphone["''*_`]*[:=] ?\x01(?:iphone|pixel|galaxy|samsung|android|nokia|oneplus|xiaomi|huawei)\x01'
        '|\x01["''`]*(?:required|nullable|sometimes|string)\|[a-z_|:,0-9.]*["''`]*\x01'
        '|\x01["''`<[]*your[_ -][a-z_ -]*(?:token|key|password|secret|passwd|passphrase|pass)(?:[_ -]here)?["''`>\]]*\x01'
        '|\x01\{\s*type:\s*[a-z.]+(?:,\s*(?:required|unique|select|trim|min_?length|max_?length|index|lowercase|nullable|allownull|length)\s*:\s*[a-z0-9]+)*,?\s*\}\x01'
        '|')
where name in ('key_value', 'label_cell', 'label_prose', 'typed_value');

-- A placeholder after an option: --password <password> --user bob.
update bcp.anonymization_rules
set value_exceptions = value_exceptions || '|(?:bearer|basic|token|--?[a-z][a-z-]*)[ =]["''`]?<[a-z][a-z _-]*>\x01'
where name = 'xml_element' and value_exceptions not like '%(?:bearer|basic|%';

-- --password string, [--token TOKEN], --api_key x, --secret-key x
update bcp.anonymization_rules
set pattern = replace(replace(
        pattern, ')(?!-)[^\s', ')(?!-|(?:string|str|text|token|password|passphrase|api[_-]?key)["''`\])]*(?:\s|$))[^\s'),
        '[a-z-]*(?:password|passwd|passphrase|secret|token|api-?key|access-?key)',
        '[a-z_-]*(?:password|passwd|passphrase|secret|token|(?:api|access|secret|private|encryption|signing|master|auth)[_-]?key)')
where name = 'command_option';

-- Authorization: Bearer YOUR_TOKEN
update bcp.anonymization_rules
set pattern = replace(replace(
        pattern, '[a-z][a-z0-9-]{2,20}[ \t]+[$<{*[])', '[a-z][a-z0-9-]{2,20}[ \t]+(?:[$<{*[]|your[_-]))'),
        '[:=][ \t]*["''\\]*)(?!', '[:=][ \t]*(?:[bfru]{0,2}["''`\\]+)?)(?!')
where name = 'header';

-- https://${USER}:${PASS}@host
update bcp.anonymization_rules
set pattern = replace(
        pattern, '://)(?:[^\s/?#@', '://)(?!git@|\$\{?[A-Za-z_]+\}?(?::\$\{?[A-Za-z_]+\}?)?@|\{[a-z_]+\}:\{[a-z_]+\}@)(?:[^\s/?#@')
where name = 'url_credentials';

-- USER bob, PASS x; what OSPF and Juniper have.
update bcp.anonymization_rules
set pattern = replace(pattern, '(\mlogin[ \t]+[^\s"''\\]+\s+password[ \t]+|', '(\mlogin[ \t]+[^\s"''\\]+\s+password[ \t]+|\muser[ \t]+[^\s"''\\|]+\s+pass[ \t]+(?=[^\s]*[0-9])|'),
    words = words || array['user ']
where name = 'setting_password' and not words @> array['user '];
update bcp.anonymization_rules
set pattern = replace(
        pattern, '|isakmp[ \t]+key)[ \t]+',
        '|isakmp[ \t]+key|wpa-psk|message-digest-key[ \t]+[0-9]+[ \t]+md5|authentication-key|plain-text-password-value)[ \t]+'),
    words = words || array['-digest-key', 'authentication-key', '-password-value']
where name = 'device_password' and not words @> array['-digest-key'];
update bcp.anonymization_rules
set pattern = replace(pattern, '|7z[ar]?|rar)[ \t]', '|7z[ar]?|(?:un)?rar)[ \t]')
where name = 'command_password';
-- One hint is one gate, so all rules that share it get the same.
update bcp.anonymization_rules
set hint = replace(replace(replace(replace(
        hint, 'u(?:nzip|', 'u(?:nrar|nzip|'), 'login[ \t]+[^\s]+\s+password', '(?:login|user)[ \t]+[^\s]+\s+pass'),
        '|isakmp[ \t]+key|', '|isakmp[ \t]+key|message-digest-key|authentication-key|-password-value|'),
        '-(?:[a-z-]*(?:word|passwd|', '-(?:[a-z_-]*(?:word|passwd|')
where hint like '%login[ \\t]+[^\\s]+\\s+password%';

-- told: with token x1y2z3, API key is set to x1y2z3
update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern,
        '(?:the )?(?:password|passphrase|passcode|pw)|', '(?:the )?(?:password|passphrase|passcode|pw|token|secret|api[ _-]?key)|'),
        '|passphrase|passcode|secret|token|mot de passe|', '|passphrase|passcode|secret|token|api[ _-]?key|mot de passe|'),
        '(?:passwor[dt]|passphrase|passcode|secret|token) to|', '(?:passwor[dt]|passphrase|passcode|secret|token|api[ _-]?key) to|'),
    hint = replace(hint, '|secret|token|', '|secret|token|api[ _-]?key|')
where name = 'told_password';
update bcp.anonymization_rules
set pattern = replace(pattern, '|passphrase|passcode|passwd|pwd|(?:user', '|passphrase|passcode|passwd|pwd|secret|api_?key|auth_?pass|bindpw|rootpw|secret_key|auth_token|(?:user')
where name = 'told_password';

-- Commands, calls and statements.
update bcp.anonymization_rules
set pattern = replace(replace(replace(replace(replace(replace(replace(
        pattern,
        '\.(?:fill|type|send_?keys|press_?sequentially|set_?value|input|val)\([ \t]*',
        '(?:\.(?:fill|type|send_?keys|press_?sequentially|set_?value|input|val)\([ \t]*|\.value[ \t]*=[ \t]*)'),
        '|\m(?:string|auto)[ \t]+',
        '|\mexpect\([^()\r\n]*(?:password|secret|token|api_?key)\)\.(?:not\.)?to[a-z]+\([ \t]*'
        '|\mgetBy[a-z]*\([ \t]*["''`\\]*[^\r\n(),]*(?:password|passcode|secret|token)[^\r\n(),]*\)[ \t]*,[ \t]*'
        '|\massert[a-z_]*\([ \t]*(?=["''][^"''\r\n]*["''],[ \t]*[a-z_.]*(?:password|secret|token|api_?key)\M)'
        '|\m(?:password|passwd|pwd|token|secret|api_?key)[ \t]+(?:not[ \t]+)?in[ \t]*\([ \t]*'
        '|\mpgp_sym_(?:en|de)crypt[a-z_]*\([^,()\r\n]*,[ \t]*'
        '|\msp_addlogin[ \t]+[^,\r\n]*,[ \t]*(?:@passwd[ \t]*=[ \t]*)?n?'
        '|\m[a-z]{0,2}[0-9]{1,4} login [^\s]+ '
        '|\m(?:string|auto)[ \t]+'),
        '|\mrclone[ \t]',
        '|\mgradlew?[ \t][^\r\n|;[]*?-P[a-z_.-]*(?:password|secret|token|key)='
        '|\m(?:config[ \t]+set(?:[ \t]+--[a-z-]+)*|env[: ](?:set|add)|secrets?[ :](?:put|set|add)|config[ \t]+create[ \t][^\r\n|;[]*?)[ \t]+[a-z0-9_.-]*(?:password|passwd|secret|token|api_?key|access_?key)[a-z0-9_]*[ \t]+(?:<<<[ \t]*)?(?!-)'
        '|\maws[ \t]+(?:secretsmanager|ssm)[ \t]+(?:put|create|update)[^\r\n|;[]*?--(?:secret-string|value)[ \t=]+'
        '|\m(?:kinit|passwd|sudo|(?:gh|docker|gcloud|read|az)[ \t][^\r\n|;<[]*(?:token|stdin|secret|passw))[^\r\n|;<[]*<<<[ \t]*'
        '|\mopenssl[ \t]+passwd[ \t]+(?:-[a-z0-9]+[ \t]+)+'
        '|\m(?:imp|exp)(?:dp)?[ \t]+[a-z][a-z0-9_]*/'
        '|\m(?:rclone[ \t]+obscure|cargo[ \t]+login)[ \t]+'
        '|\miwconfig[ \t][^\r\n]*?\mkey[ \t]+(?:s:)?'
        '|\mrabbitmqadmin[ \t](?:[^\r\n|;[]*?[ \t])??-p[ \t]+'
        '|\mmc[ \t]+(?:alias|config[ \t]+host)[ \t]+(?:set|add)[ \t]+[^\s]+[ \t]+[^\s]+[ \t]+[^\s]+[ \t]+'
        '|\metcdctl[ \t][^\r\n|;[]*?--user[ \t=]+[^\s:]+:'
        '|\mrclone[ \t]'),
        '??-c[ \t]*', '??(?:-c[ \t]*|-[AX][ \t]+(?!(?:md5|sha[0-9-]*|aes[0-9]*|des)\M))'), '\mssh-keygen[ \t](?:[^\r\n|;[]*?[ \t])??-N[ \t]+', '\mssh-keygen[ \t](?:(?:[^\r\n|;[]|\[REDACTED\])*?[ \t])??-[NP][ \t]+(?!-)'), '(?:gh|az)[ \t][^\r\n|;[]*?secret set[ \t]', '(?:gh|az|eas)[ \t][^\r\n|;[]*?secrets?[ :](?:set|create)[ \t]'),
        '--(?:body|value)[ \t=]+', '(?:--(?:body|value)[ \t=]+|[ \t]-b[ \t=]*)'),
    hint = replace(replace(
        hint, 'secret set[ \t]', 'secrets?[ :](?:set|create)[ \t]'), '|expect[ \t]+[^a-z0-9\s]|',
        '|expect[ \t]+[^a-z0-9\s]|(?:expect|assert[a-z_]*)[(][^()]*(?:password|secret|token|key)'
        '|(?:password|passwd|pwd|token|secret|key)[ \t]+(?:not[ \t]+)?in[ \t]*[(]|(?:password|passwd|pwd|secret|token|key)[^a-z0-9\s]{1,4}[.]value|pgp_sym_|sp_addlogin|[0-9] login [^ ]'
        '|gradlew?[ \t]|(?:config[ \t]+(?:set|create)|env[: ](?:set|add)|secrets?[ :](?:put|set|add))[ \t]|aws[ \t]+(?:secretsmanager|ssm)|<<<|openssl[ \t]+passwd|(?:imp|exp)(?:dp)?[ \t]+[a-z0-9_]+/|cargo[ \t]+login|iwconfig|rabbitmqadmin|mc[ \t]+(?:alias|config)|etcdctl|')
where name = 'argument';

-- 4111 11** **** 4477; born Mar 1988; JANE AT EXAMPLE DOT COM; Card (last four): 4477; hashes of Windows.
update bcp.anonymization_rules
set pattern = replace(
        pattern, '|(?:[*x#•]{4}[ -]?){2,3})', '|(?:[*x#•]{4}[ -]?){2,3}|\m[0-9]{4}[ -]?[0-9]{2}[*x#•]{2}[ -]?[*x#•]{4}[ -]?)')
where name = 'card_masked';
update bcp.anonymization_rules
set pattern = replace(pattern, '(?: is| are)?[ :(=*|]{1,6})', '(?: is| are)?[ :(=*|]{1,6}|\mlast (?:four|4)[):=* |]{2,6})')
where name = 'card_digits_said';
update bcp.anonymization_rules
set pattern = replace(
        pattern, '[a-z]*\.? +[0-9]{1,2}(?:st|nd|rd|th)?,? +[0-9]{2,4}|',
        '[a-z]*\.?(?: +[0-9]{1,2}(?:st|nd|rd|th)?,? +[0-9]{2,4}|,? +[12][0-9]{3})|')
where name = 'birth_date';
update bcp.anonymization_rules
set pattern = pattern || '|\m[A-Za-z0-9][A-Za-z0-9._%+-]* AT [A-Za-z0-9-]+(?: DOT [A-Za-z0-9-]+)+\M', words = words || array[' dot ']
where name = 'email_spelled' and not words @> array[' dot '];
update bcp.anonymization_rules
set pattern = pattern || '|\m[0-9]+:[0-9a-fA-F]{32}:[0-9a-fA-F]{32}(?=:::)', words = words || array[':::']
where name = 'password_hash' and not words @> array[':::'];

-- A mailbox of a version control system is a remote, no person's: git@github.com.
comment on column bcp.anonymization_rules.value_exceptions is
    'For validation sensitive_key: regular expression of what stays, looked for in the key, what separates it and its '
    'value, in lower case. For a rule that hashes its match or checks it: of the matches that stay.';
update bcp.anonymization_rules set value_exceptions = '^git@' where name = 'email' and value_exceptions is null;

-- postal code 75001 in a sentence; Postal code: 75001 of an address goes.
update bcp.anonymization_rules
set pattern = replace(pattern, '\m(?:[Pp]ost(?:al)? ?[Cc]ode|POSTCODE|', '\m(?:Post(?:al)? ?[Cc]ode|post(?:al)? ?code(?=:)|POSTCODE|')
where name = 'postal_address';
