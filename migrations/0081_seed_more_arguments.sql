-- More commands and defaults: ssh-keygen -N x, gh secret set TOKEN --body x, ENV["SECRET"] ||= "x1", bcrypt.hash("x").
update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern,
        '|\mrclone[ \t]',
        '|\mssh-keygen[ \t](?:[^\r\n|;[]*?[ \t])??-N[ \t]+'
        '|\mmosquitto_[a-z]+[ \t][^\r\n|;[]*?[ \t]-P[ \t]+(?![0-9]+\M)'
        '|\m(?:gh|az)[ \t][^\r\n|;[]*?secret set[ \t][^\r\n|;[]*?--(?:body|value)[ \t=]+'
        '|\mrclone[ \t]'),
        '(?:\|\||\?\?)', '(?:\|\|=?|\?\?=?)'),
        '|\m(?:check|verify|', '|\m(?:bcrypt|argon2?|pwd_context)\.(?:hash|compare|verify)[a-z]*\([ \t]*b?|\m(?:check|verify|'),
    hint = replace(
        hint, '|snmp[a-z]+[ \t]|',
        '|snmp[a-z]+[ \t]|ssh-keygen|mosquitto_|secret set[ \t]|(?:bcrypt|argon2?|pwd_context)[.](?:hash|compare|verify)|')
where name = 'argument';

-- lib/password.rb:17:in `check'
update bcp.anonymization_rules
set value_exceptions = replace(
    value_exceptions, '\x01[0-9]{1,5}(?::[0-9]*)?[:,-]?\x01', '\x01[0-9]{1,5}(?::[0-9]*|:in)?[:,-]?\x01')
where name in ('key_value', 'label_cell', 'label_prose', 'typed_value');

insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, action, kind, note)
values
    ('requirepass', 'word', 'any', 'redact', 'secret', 'the password of Redis'),
    ('masterauth', 'word', 'any', 'redact', 'secret', 'the password of Redis')
on conflict do nothing;
