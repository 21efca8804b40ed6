update bcp.name_value_keys set value_keys = array_remove(value_keys, 'vals') where name_key in ('attr', 'attribute');
delete from bcp.name_value_keys where note = 'parts of pages, slots and entries of directories';
delete from bcp.anonymization_rules where name in ('marked_label', 'configured_secret', 'api_key_named');
