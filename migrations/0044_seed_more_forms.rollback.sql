delete from bcp.anonymization_rules where name in ('validation_error', 'seed_phrase');

update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '(?:\]|\[[0-9]*\])?(?: (?:\([^()\n]*\)|\[[^][\n]*\]))?["''`*\\]*(?:</?[A-Za-z][^<>]*>)*[ \t]*(?:=>|={1,3}|:=|:|::(?=[ \t])|\r?\n:(?=[ \t])|',
        '\]?(?: \([^()\n]*\))?["''`*\\]*(?:</?[A-Za-z][^<>]*>)*[ \t]*(?:=>|={1,3}|:=|:|'),
    value_exceptions = replace(
        value_exceptions,
        '|name|value|string))[:.]?\x01|\x01[a-z_.]+\(\)[;,]?\x01|\x01:[a-z_][a-z0-9_:]*\([^\x01]*\x01',
        '|name|value|string))\x01')
where name = 'key_value';
update bcp.anonymization_rules
set value_exceptions = replace(
        value_exceptions, '|not|await|new|lambda|is|and|or|the|a|an|to|', '|not|is|and|or|the|a|an|to|')
where name in ('key_value', 'label_cell', 'label_prose');
update bcp.anonymization_rules
set pattern = replace(
        pattern,
        '(?:[ \t]*\|[ \t]*|\t+|\*\*:? (?=`[^`\s]*[0-9][^`\s]*`)|[ \t]*:?[ \t]*\r?\n[ \t]*(?:={3,}|-{3,})[ \t]*\r?\n(?:\r?\n)?[ \t]*(?=\S)|:[ \t]+(?:<(?:b|i|em|strong|code|span|pre|kbd|tt|p|font|samp|var)(?: [^<>]*)?>\s*)+(?=[^\s<])|[ \t]*:?[ \t]*(?:</',
        '(?:[ \t]*\|[ \t]*|\t+|[ \t]*(?:</'),
    words = array_remove(array_remove(array_remove(array_remove(words, '** `'), '**: `'), '==='), '---')
where name = 'label_cell';
update bcp.anonymization_rules
set pattern = replace(pattern, '<[A-Za-z\u0080-\U0010FFFF][^<>/]{0,80}>', '<[A-Za-z][^<>/]{0,80}>')
where name = 'xml_element';
update bcp.anonymization_rules
set pattern = replace(
    pattern,
    '|\m[Nn][Ee][Tt][ \t]+[Uu][Ss][Ee][ \t]+(?:[A-Za-z*]:[ \t]+)?\\+[^\s]+[ \t]+["''\\]*(?=[^\s/]+[ \t]+/[Uu][Ss][Ee][Rr]:)|\m[Nn][Ee][Tt][ \t]+[Uu][Ss][Ee][Rr][ \t]+',
    '|\m[Nn][Ee][Tt][ \t]+[Uu][Ss][Ee][Rr][ \t]+')
where name = 'command_password';

delete from bcp.sensitive_keys
where note in ('a password, in one word', 'a secret, in one word', 'the key of a service', 'in another language');
delete from bcp.sensitive_key_exceptions
where key_pattern in (
    'color', 'colour', 'colors', 'colours', 'passwordhashalgorithm', 'passwordhashalgo', 'passwordhashing',
    'stripekeycount', 'awskeyname', 'awskeypair', 'awskeypairname');

delete from bcp.name_value_keys
where note in (
    'errors of pydantic, JSON Schema and others', 'the same, with longer names', 'accessible names and selectors');
update bcp.name_value_keys
set value_keys = array(
    select value_key
    from unnest(value_keys) as value_key
    where value_key <> all (string_to_array(
        'received got actual current previous before after old new oldval newval keys typed a parametervalue paramvalue '
        'optionvalue configvalue settingvalue attributevalue attrvalue variablevalue varvalue headervalue cookievalue '
        'envvalue propertyvalue propvalue fieldvalue columnvalue keyvalue itemvalue argvalue argumentvalue secretvalue',
        ' '))
      and (value_key <> 'input' or name_key not in ('system', 'path')));
update bcp.name_value_keys set beside = 'op' where name_key = 'path';
alter table bcp.name_value_keys drop column is_path;
