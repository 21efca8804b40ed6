delete from bcp.sensitive_keys where note = 'a part of a date of birth or of the date of a card';
delete from bcp.sensitive_key_exceptions
where match_mode = 'end'
   or note in (
       'says something of a sensitive thing',
       'a token of a page, of a text or of a price, and words that are only like a sensitive one');
alter table bcp.sensitive_key_exceptions drop constraint sensitive_key_exceptions_match_mode_check;
alter table bcp.sensitive_key_exceptions add constraint sensitive_key_exceptions_match_mode_check
    check (match_mode in ('contains', 'word', 'exact', 'before', 'after'));
