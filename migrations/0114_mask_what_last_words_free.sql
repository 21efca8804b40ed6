-- A time of day or a count of seconds may be a date of birth as much as a date: dob_timestamp. In text what was found
-- may follow its label: API key detected: x. A number there is how many, and stays.
insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, action, kind, note)
select word, 'word', 'any', 'redact', 'secret', 'a part of a date of birth'
from string_to_table(
    'dobtimestamp birthdaytimestamp birthdatetimestamp dateofbirthtimestamp dobms birthdatems birthdayms '
    'dateofbirthms dobweek birthdayweek birthdateweek dateofbirthtime dateofbirthdate', ' ') as word
on conflict do nothing;

-- The digest of a password is its hash, and no letter that comes once a week: email_digest.
insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, action, kind, note)
select word, 'word', 'any', 'redact', 'secret', 'a hash of a secret'
from string_to_table(
    'passworddigest passwddigest pwddigest passphrasedigest tokendigest secretdigest pindigest passcodedigest '
    'apikeydigest recoverycodedigest', ' ') as word
on conflict do nothing;

update bcp.sensitive_key_exceptions set value_type = 'number'
where key_pattern in ('detected', 'found', 'leak', 'leaks') and match_mode = 'after' and value_type = 'any';
insert into bcp.sensitive_key_exceptions (key_pattern, match_mode, value_type, note)
select word, 'end', 'any', 'whether it is so'
from string_to_table('detected leak leaks', ' ') as word
on conflict do nothing;
