update bcp.anonymization_rules
set pattern = replace(replace(replace(replace(replace(replace(replace(replace(replace(
        pattern,
        '4}(?:\.', '4}\.'),
        '|\.value[ \t]*=[ \t]*)', ''),
        'expect\([^()\r\n]*(?:password|secret|token|api_?key)\)\.(?:not\.)?to[a-z]+\([ \t]*|\mgetBy[a-z]*\([ \t]*["''`\\]*[^\r\n(),]*(?:password|passcode|secret|token)[^\r\n(),]*\)[ \t]*,[ \t]*|\massert[a-z_]*\([ \t]*(?=["''][^"''\r\n]*["''],[ \t]*[a-z_.]*(?:password|secret|token|api_?key)\M)|\m(?:password|passwd|pwd|token|secret|api_?key)[ \t]+(?:not[ \t]+)?in[ \t]*\([ \t]*|\mpgp_sym_(?:en|de)crypt[a-z_]*\([^,()\r\n]*,[ \t]*|\msp_addlogin[ \t]+[^,\r\n]*,[ \t]*(?:@passwd[ \t]*=[ \t]*)?n?|\m[a-z]{0,2}[0-9]{1,4} login [^\s]+ |\m', ''),
        '(?:-c[ \t]*|-[AX][ \t]+(?!(?:md5|sha[0-9-]*|aes[0-9]*|des)\M))', '-c[ \t]*'),
        '(?:[^\r\n|;[]|\[REDACTED\])*?[ \t])??-[NP][ \t]+(?!-)', '[^\r\n|;[]*?[ \t])??-N[ \t]+'),
        '|eas', ''),
        's?[ :](?:set|create)', ' set'),
        '?(?:-', '?-'),
        '|[ \t]-b[ \t=]*)|\mgradlew?[ \t][^\r\n|;[]*?-P[a-z_.-]*(?:password|secret|token|key)=|\m(?:config[ \t]+set(?:[ \t]+--[a-z-]+)*|env[: ](?:set|add)|secrets?[ :](?:put|set|add)|config[ \t]+create[ \t][^\r\n|;[]*?)[ \t]+[a-z0-9_.-]*(?:password|passwd|secret|token|api_?key|access_?key)[a-z0-9_]*[ \t]+(?:<<<[ \t]*)?(?!-)|\maws[ \t]+(?:secretsmanager|ssm)[ \t]+(?:put|create|update)[^\r\n|;[]*?--(?:secret-string|value)[ \t=]+|\m(?:kinit|passwd|sudo|(?:gh|docker|gcloud|read|az)[ \t][^\r\n|;<[]*(?:token|stdin|secret|passw))[^\r\n|;<[]*<<<[ \t]*|\mopenssl[ \t]+passwd[ \t]+(?:-[a-z0-9]+[ \t]+)+|\m(?:imp|exp)(?:dp)?[ \t]+[a-z][a-z0-9_]*/|\m(?:rclone[ \t]+obscure|cargo[ \t]+login)[ \t]+|\miwconfig[ \t][^\r\n]*?\mkey[ \t]+(?:s:)?|\mrabbitmqadmin[ \t](?:[^\r\n|;[]*?[ \t])??-p[ \t]+|\mmc[ \t]+(?:alias|config[ \t]+host)[ \t]+(?:set|add)[ \t]+[^\s]+[ \t]+[^\s]+[ \t]+[^\s]+[ \t]+|\metcdctl[ \t][^\r\n|;[]*?--user[ \t=]+[^\s:]+:', '')
where name in ('argument');
update bcp.anonymization_rules
set hint = replace(replace(
        hint,
        '(?:expect|assert[a-z_]*)[(][^()]*(?:password|secret|token|key)|(?:password|passwd|pwd|token|secret|key)[ \t]+(?:not[ \t]+)?in[ \t]*[(]|(?:password|passwd|pwd|secret|token|key)[^a-z0-9\s]{1,4}[.]value|pgp_sym_|sp_addlogin|[0-9] login [^ ]|gradlew?[ \t]|(?:config[ \t]+(?:set|create)|env[: ](?:set|add)|secrets?[ :](?:put|set|add))[ \t]|aws[ \t]+(?:secretsmanager|ssm)|<<<|openssl[ \t]+passwd|(?:imp|exp)(?:dp)?[ \t]+[a-z0-9_]+/|cargo[ \t]+login|iwconfig|rabbitmqadmin|mc[ \t]+(?:alias|config)|etcdctl|', ''),
        's?[ :](?:set|create)', ' set')
where name in ('argument');
update bcp.anonymization_rules
set hint = replace(replace(replace(replace(replace(
        hint,
        'nrar|', ''),
        '(?:login|user)', 'login'),
        'ss|e', 'ssword|e'),
        'message-digest-key|authentication-key|-password-value|', ''),
        '[a-z_-]*(', '[a-z-]*(')
where name in ('bearer_token',
    'command_option',
    'command_password',
    'cookie',
    'device_password',
    'header',
    'header_key',
    'one_time_code',
    'proxy_credentials',
    'quoted_password',
    'setting_password',
    'spoken_password');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '[a-z]*\.?(?: +[0-9]{1,2}(?:st|nd|rd|th)?,? +[0-9]{2,4}|,? +[12][0-9]{3})|',
        '[a-z]*\.? +[0-9]{1,2}(?:st|nd|rd|th)?,? +[0-9]{2,4}|')
where name in ('birth_date');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '|\mlast (?:four|4)[):=* |]{2,6}', '')
where name in ('card_digits_said');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '|\m[0-9]{4}[ -]?[0-9]{2}[*x#•]{2}[ -]?[*x#•]{4}[ -]?', '')
where name in ('card_masked');
update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern,
        'z_-', 'z-'),
        '(?:api|access|secret|private|encryption|signing|master|auth)[_-]', 'api-?key|access-'),
        '|(?:string|str|text|token|password|passphrase|api[_-]?key)["''`\])]*(?:\s|$)', '')
where name in ('command_option');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '(?:un)?', '')
where name in ('command_password');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '|wpa-psk|message-digest-key[ \t]+[0-9]+[ \t]+md5|authentication-key|plain-text-password-value', '')
where name in ('device_password');
update bcp.anonymization_rules set value_exceptions = null where name in ('email');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '|\m[A-Za-z0-9][A-Za-z0-9._%+-]* AT [A-Za-z0-9-]+(?: DOT [A-Za-z0-9-]+)+\M', '')
where name in ('email_spelled');
update bcp.anonymization_rules
set pattern = replace(replace(
        pattern,
        '(?:[bfru]{0,2}["''`\\]+)?', '["''\\]*'),
        '(?:[$<{*[]|your[_-])', '[$<{*[]')
where name in ('header');
update bcp.anonymization_rules
set pattern = replace(replace(replace(replace(replace(
        pattern,
        '["''`*~\\]*(', '["''`*\\]*('),
        '<-(?=[ \t]*["''])|\.{4,}:?(?=[ \t])|\r?\n(?:\r?\n)?[ \t]*(?=[A-Za-z0-9!@#$%^&*+~?-]{8,64}[ \t]*(?:\r?\n|$))(?=[^\s]*[A-Za-z])(?=[^\s]*[0-9][^0-9\s])|[ \t]\.[ \t]+(?=")|', ''),
        '|&nbsp;|&#160;|&quot;|&#3[49];|&apos;|&lt;/?[a-z][a-z0-9]*&gt;|\[/[a-z]{1,6}\]|\}(?=[ \t])|==(?=[ \t])', ''),
        '|\|\|', ''),
        ':>[ \t]*)?(?', '')
where name in ('key_value');
update bcp.anonymization_rules
set value_pattern = replace(
        value_pattern,
        '[A-Za-z0-9_.]*', '+')
where name in ('key_value');
update bcp.anonymization_rules
set value_exceptions = replace(
        value_exceptions,
        'credentials["''`]?\s*[:=]\s*\x01["''`]*(?:same-origin|include|omit)["''`]*\x01|\x01(?:r|c|w|localstorage|sessionstorage|document|window)\.[a-z_.]+\([^\x01]*\x01|\x01[a-z_][a-z_0-9]*(?:\.[a-z_0-9]+)+\([^"''`\x01]*\)\x01|\x01["''`]*(?:projects/|arn:|op://)[^\x01]*\x01|arn:aws[a-z-]*:[a-z]*:?\x01|\x01["''`]+(?:optional|required|string|none|null|nullable|text|number|tel)["''`]+\x01|\x01(?:prompt|input|getpass|ask)[a-z_.]*\(["''`][^"''`\x01]*["''`]?\)?\x01|\x01!(?:ref|getatt|importvalue)\x01 [a-z]|\mpins?["''*_`]*[:=] ?\x01(?:gpio ?[0-9]+|[ad][0-9]{1,2}|[0-9.]+v)\x01|\mphone["''*_`]*[:=] ?\x01(?:iphone|pixel|galaxy|samsung|android|nokia|oneplus|xiaomi|huawei)\x01|\x01["''`]*(?:required|nullable|sometimes|string)\|[a-z_|:,0-9.]*["''`]*\x01|\x01["''`<[]*your[_ -][a-z_ -]*(?:token|key|password|secret|passwd|passphrase|pass)(?:[_ -]here)?["''`>\]]*\x01|\x01\{\s*type:\s*[a-z.]+(?:,\s*(?:required|unique|select|trim|min_?length|max_?length|index|lowercase|nullable|allownull|length)\s*:\s*[a-z0-9]+)*,?\s*\}\x01|', '')
where name in ('key_value', 'label_cell', 'label_prose', 'typed_value');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        ')|\*\* (?=[^\s]{6,64}[ \t]*(?:\r?\n|$))(?=[^\s]*[0-9])(?=[^\s]*[A-Za-z]', '')
where name in ('label_cell');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '|\m[0-9]+:[0-9a-fA-F]{32}:[0-9a-fA-F]{32}(?=:::)', '')
where name in ('password_hash');
update bcp.anonymization_rules
set pattern = replace(replace(
        pattern,
        ':Po', ':[Pp]o'),
        '|post(?:al)? ?code(?=:)', '')
where name in ('postal_address');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '|\muser[ \t]+[^\s"''\\|]+\s+pass[ \t]+(?=[^\s]*[0-9])', '')
where name in ('setting_password');
update bcp.anonymization_rules
set pattern = replace(replace(replace(replace(
        pattern,
        '|token|secret|api[ _-]?key', ''),
        'n|api[ _-]?key|', 'n|'),
        '|api[ _-]?key', ''),
        'secret|api_?key|auth_?pass|bindpw|rootpw|secret_key|auth_token|', '')
where name in ('told_password');
update bcp.anonymization_rules
set hint = replace(
        hint,
        '|api[ _-]?key', '')
where name in ('told_password');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        ')(?!git@|\$\{?[A-Za-z_]+\}?(?::\$\{?[A-Za-z_]+\}?)?@|\{[a-z_]+\}:\{[a-z_]+\}@', '')
where name in ('url_credentials');
update bcp.anonymization_rules
set value_exceptions = replace(
        value_exceptions,
        '|(?:bearer|basic|token|--?[a-z][a-z-]*)[ =]["''`]?<[a-z][a-z _-]*>\x01', '')
where name in ('xml_element');
update bcp.anonymization_rules set words = array_remove(array_remove(array_remove(words, '-digest-key'), 'authentication-key'), '-password-value') where name = 'device_password';
update bcp.anonymization_rules set words = array_remove(words, ' dot ') where name = 'email_spelled';
update bcp.anonymization_rules set words = array_remove(words, '** ') where name = 'label_cell';
update bcp.anonymization_rules set words = array_remove(words, ':::') where name = 'password_hash';
update bcp.anonymization_rules set words = array_remove(words, 'user ') where name = 'setting_password';
comment on column bcp.anonymization_rules.value_exceptions is
    'Only for validation sensitive_key: regular expression of what stays, looked for in the key, what separates it and '
    'its value, in lower case.';
