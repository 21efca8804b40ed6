-- These functions return something else now, and `create or replace` cannot change that; nobody calls the second any
-- more.
drop function if exists bcp_internal.strings_in(text[]);
drop function if exists bcp_internal.json_texts(text[]);
-- This one takes the parts of a text instead of the text.
drop function if exists bcp_internal.mark_values(text, text, jsonb, text);

-- A rule whose words are not in a text is not tried on it, which spares PostgreSQL the compiling of its expression. A
-- match of each of these rules holds one of its words, so they find what they found before.
update bcp.anonymization_rules r
set words = w.words
from (
    values
        ('named_value', '{value}'::text[]),
        ('xml_element', '{<}'),
        ('label_cell', array['|', E'\t', '</', '# ']),
        ('label_prose', array[
            '- ', E'-\t', '– ', E'–\t', '— ', E'—\t', 'is ', 'is:', E'is\t', 'was ', 'was:', E'was\t', 'are ', 'are:',
            E'are\t', '(', '[']),
        ('home_folder', '{home,users}'),
        ('ssh_comment', '{aaaa}'),
        ('position', '{.,°}'),
        ('ip_labelled', '{.}'),
        ('ip_public', '{.,:}')
) as w (name, words)
where r.name = w.name and r.words is null;
