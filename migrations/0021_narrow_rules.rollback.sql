update bcp.anonymization_rules
set words = null
where name in (
    'named_value', 'xml_element', 'label_cell', 'label_prose', 'home_folder', 'ssh_comment', 'position', 'ip_labelled',
    'ip_public');

-- Loading the files of before makes them again.
drop function if exists bcp_internal.strings_in(text[]);
drop function if exists bcp_internal.mark_values(text[], jsonb, text);
drop function if exists bcp_internal.json_blocks(text[]);
drop function if exists bcp_internal.lists_of_strings_in(text[]);
drop function if exists bcp_internal.documents_with(text[], text[]);
drop function if exists bcp_internal.likes_of_keys(text[]);
drop function if exists bcp_internal.are_among(integer[], integer);
