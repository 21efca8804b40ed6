-- What only begins like a secret: names after a short prefix (xau_usd_daily, mfa.service.internal), exp x/y of a
-- formula, encryption in Korean and Japanese, whose word holds that of a password, and a date below signature. A rule
-- that a team has changed keeps its pattern: what is replaced is not in it then.
update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern, '(?:mfa\.|snyk_', '(?:mfa\.(?=[A-Za-z0-9_-]{60})|snyk_'),
        '|xau_|bkct_|', '|xau_(?=[A-Za-z0-9]{20})|bkct_(?=[A-Za-z0-9]{20})|'),
        '|sl[kc]_|npg_|', '|sl[kc]_(?=[A-Za-z0-9]{20})|npg_(?=[A-Za-z0-9]{12})|')
where name = 'api_key';

-- imp bob/x@db, exp bob/x file=a.dmp, impdp bob/x
update bcp.anonymization_rules
set pattern = replace(
        pattern, '|\m(?:imp|exp)(?:dp)?[ \t]+[a-z][a-z0-9_]*/',
        '|\m(?:imp|exp)dp[ \t]+[a-z][a-z0-9_]*/|\m(?:imp|exp)[ \t]+[a-z][a-z0-9_]*/(?=[^\s/]+(?:@|[ \t]+[a-z]+=))')
where name = 'argument';

-- What stands before docker secret ls is none.
update bcp.anonymization_rules
set pattern = replace(pattern, 'secrets?\M)', 'secrets?\M(?![ \t]+(?:ls|list|rm|delete|inspect)\M))')
where name = 'configured_secret';

update bcp.sensitive_keys set value_pattern = '^(?![0-9-]+$)' || substr(value_pattern, 2)
where key_pattern = 'signature' and value_pattern like '^(?!(?:rsa|%';

insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note)
select lower(normalize(word, NFKC)), 'word', 'any', 'encryption and currencies, whose word holds that of a password'
from string_to_table(
    '암호화 암호화방식 암호화알고리즘 암호화여부 암호화폐 암호학 暗号化 暗号化方式 暗号化アルゴリズム 暗号方式 暗号資産 暗号通貨', ' ') as word
on conflict do nothing;
