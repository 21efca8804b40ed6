delete from bcp.sensitive_keys
where note = 'a part of a date of birth' and key_pattern in (
    'dobtimestamp', 'birthdaytimestamp', 'birthdatetimestamp', 'dateofbirthtimestamp', 'dobms', 'birthdatems',
    'birthdayms', 'dateofbirthms', 'dobweek', 'birthdayweek', 'birthdateweek', 'dateofbirthtime', 'dateofbirthdate');
delete from bcp.sensitive_keys
where note = 'a hash of a secret' and key_pattern in (
    'passworddigest', 'passwddigest', 'pwddigest', 'passphrasedigest', 'tokendigest', 'secretdigest', 'pindigest',
    'passcodedigest', 'apikeydigest', 'recoverycodedigest');
delete from bcp.sensitive_key_exceptions
where key_pattern in ('detected', 'leak', 'leaks') and match_mode = 'end' and note = 'whether it is so';
update bcp.sensitive_key_exceptions set value_type = 'any'
where key_pattern in ('detected', 'found', 'leak', 'leaks') and match_mode = 'after' and value_type = 'number';
