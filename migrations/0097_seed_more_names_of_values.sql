-- More members that hold names of values: slots and entities of what reads text, paths of keys, parts of pages.
insert into bcp.name_value_keys (name_key, beside, value_keys, note, is_path)
select w.name_key, null, k.value_keys, w.note, w.is_path
from (values
    ('fieldid', 'field', 'fields of forms', false),
    ('fieldlabel', 'field', 'fields of forms', false),
    ('questionid', 'field', 'fields of forms', false),
    ('questiontext', 'field', 'fields of forms', false),
    ('slot', 'id', 'what is read out of text', false),
    ('slotname', 'field', 'what is read out of text', false),
    ('entity', 'id', 'what is read out of text', false),
    ('entitytype', 'id', 'what is read out of text', false),
    ('entitygroup', 'id', 'what is read out of text', false),
    ('cell', 'field', 'parts of pages', false),
    ('tag', 'field', 'parts of pages', false),
    ('heading', 'id', 'parts of pages', false),
    ('description', 'id', 'parts of pages', false),
    ('credentialtype', 'id', 'what a credential is', false),
    ('secrettype', 'id', 'what a credential is', false),
    ('metadatakey', 'field', 'the same, with longer names', false),
    ('keypath', 'path', 'paths of keys', true),
    ('fieldpath', 'path', 'paths of keys', true),
    ('propertypath', 'path', 'paths of keys', true),
    ('attributepath', 'path', 'paths of keys', true)
) as w (name_key, like_key, note, is_path)
join bcp.name_value_keys k on k.name_key = w.like_key
on conflict do nothing;

-- What a secret of Kubernetes holds.
insert into bcp.name_value_keys (name_key, beside, value_keys, note, is_path)
values ('kind', 'apiversion', '{data,stringdata}', 'secrets of Kubernetes', false)
on conflict do nothing;
insert into bcp.sensitive_keys (key_pattern, match_mode, value_type, action, kind, note)
values ('stringdata', 'exact', 'any', 'redact', 'secret', 'what a secret of Kubernetes holds')
on conflict do nothing;

-- Parameters of an API have examples, and tables may call their names a header.
update bcp.name_value_keys set value_keys = value_keys || '{example}'
where name_key in ('name', 'field', 'parameter', 'param') and not 'example' = any (value_keys);
update bcp.name_value_keys set value_keys = value_keys || '{rows,records}'
where name_key = 'header' and not 'rows' = any (value_keys);
