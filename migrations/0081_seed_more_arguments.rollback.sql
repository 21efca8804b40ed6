delete from bcp.sensitive_keys where key_pattern in ('requirepass', 'masterauth');

update bcp.anonymization_rules
set value_exceptions = replace(
    value_exceptions, '\x01[0-9]{1,5}(?::[0-9]*|:in)?[:,-]?\x01', '\x01[0-9]{1,5}(?::[0-9]*)?[:,-]?\x01')
where name in ('key_value', 'label_cell', 'label_prose', 'typed_value');

update bcp.anonymization_rules
set pattern = replace(replace(replace(
        pattern,
        '|\m(?:bcrypt|argon2?|pwd_context)\.(?:hash|compare|verify)[a-z]*\([ \t]*b?|\m(?:check|verify|', '|\m(?:check|verify|'),
        '(?:\|\|=?|\?\?=?)', '(?:\|\||\?\?)'),
        '|\mssh-keygen[ \t](?:[^\r\n|;[]*?[ \t])??-N[ \t]+'
        '|\mmosquitto_[a-z]+[ \t][^\r\n|;[]*?[ \t]-P[ \t]+(?![0-9]+\M)'
        '|\m(?:gh|az)[ \t][^\r\n|;[]*?secret set[ \t][^\r\n|;[]*?--(?:body|value)[ \t=]+'
        '|\mrclone[ \t]',
        '|\mrclone[ \t]'),
    hint = replace(
        hint,
        '|snmp[a-z]+[ \t]|ssh-keygen|mosquitto_|secret set[ \t]|(?:bcrypt|argon2?|pwd_context)[.](?:hash|compare|verify)|',
        '|snmp[a-z]+[ \t]|')
where name = 'argument';
