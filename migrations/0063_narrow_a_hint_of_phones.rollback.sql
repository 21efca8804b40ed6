update bcp.anonymization_rules
set hint = replace(hint, '|\m00[1-9]', '|00[1-9]')
where name = 'phone_international' and hint = '[+][ (]?[1-9][0-9 ./()\t+-]{3}|\m00[1-9][0-9]{0,2}[ .(-]';
