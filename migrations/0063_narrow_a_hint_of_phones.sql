-- 00 is the prefix of a call abroad only where a word begins, as the rule asks. Its hint found it in ids of sessions
-- (s-1002-3c334c7c) too, and then the whole call was masked to find that nothing changes.
update bcp.anonymization_rules
set hint = replace(hint, '|00[1-9]', '|\m00[1-9]')
where name = 'phone_international' and hint = '[+][ (]?[1-9][0-9 ./()\t+-]{3}|00[1-9][0-9]{0,2}[ .(-]';
