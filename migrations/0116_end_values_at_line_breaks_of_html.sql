-- A value ends where a line of HTML does: the password will be x<br>password is y. What came after was taken for the
-- value, the next label with it, and so the next value stayed.
update bcp.anonymization_rules
set pattern = replace(pattern, '[^\s"''`,;]{4,}', '(?:[^\s"''`,;<]|<(?!br|/)){4,}')
where name = 'marked_label';
update bcp.anonymization_rules
set pattern = replace(pattern, '[^\s"''\\[$<{*-][^\s"''\\;]*', '[^\s"''\\[$<{*-](?:[^\s"''\\;<]|<(?!br|/))*')
where name = 'setting_password';
