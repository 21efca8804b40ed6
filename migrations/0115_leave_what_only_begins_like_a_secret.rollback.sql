update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern, '(?:mfa\.(?=[A-Za-z0-9_-]{60})|snyk_', '(?:mfa\.|snyk_'),
        '|xau_(?=[A-Za-z0-9]{20})|bkct_(?=[A-Za-z0-9]{20})|', '|xau_|bkct_|'),
        '|sl[kc]_(?=[A-Za-z0-9]{20})|npg_(?=[A-Za-z0-9]{12})|', '|sl[kc]_|npg_|')
where name = 'api_key';
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '|\m(?:imp|exp)dp[ \t]+[a-z][a-z0-9_]*/|\m(?:imp|exp)[ \t]+[a-z][a-z0-9_]*/(?=[^\s/]+(?:@|[ \t]+[a-z]+=))',
        '|\m(?:imp|exp)(?:dp)?[ \t]+[a-z][a-z0-9_]*/')
where name = 'argument';
update bcp.anonymization_rules
set pattern = replace(pattern, 'secrets?\M(?![ \t]+(?:ls|list|rm|delete|inspect)\M))', 'secrets?\M)')
where name = 'configured_secret';
update bcp.sensitive_keys set value_pattern = '^' || substr(value_pattern, length('^(?![0-9-]+$)') + 1)
where key_pattern = 'signature' and value_pattern like '^(?![0-9-]+$)(?!(?:rsa|%';
delete from bcp.sensitive_key_exceptions
where note = 'encryption and currencies, whose word holds that of a password';
