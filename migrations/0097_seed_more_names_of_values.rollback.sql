update bcp.name_value_keys set value_keys = array_remove(array_remove(value_keys, 'rows'), 'records') where name_key = 'header';
update bcp.name_value_keys set value_keys = array_remove(value_keys, 'example')
where name_key in ('name', 'field', 'parameter', 'param');
delete from bcp.sensitive_keys where key_pattern = 'stringdata';
delete from bcp.name_value_keys
where name_key in (
    'fieldid', 'fieldlabel', 'questionid', 'questiontext', 'slot', 'slotname', 'entity', 'entitytype', 'entitygroup',
    'cell', 'tag', 'heading', 'description', 'credentialtype', 'secrettype', 'metadatakey', 'keypath', 'fieldpath',
    'propertypath', 'attributepath', 'kind');
