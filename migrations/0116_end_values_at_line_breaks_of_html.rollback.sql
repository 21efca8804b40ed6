update bcp.anonymization_rules
set pattern = replace(pattern, '(?:[^\s"''`,;<]|<(?!br|/)){4,}', '[^\s"''`,;]{4,}')
where name = 'marked_label';
update bcp.anonymization_rules
set pattern = replace(pattern, '[^\s"''\\[$<{*-](?:[^\s"''\\;<]|<(?!br|/))*', '[^\s"''\\[$<{*-][^\s"''\\;]*')
where name = 'setting_password';
