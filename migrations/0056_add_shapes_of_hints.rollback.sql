drop function if exists bcp_internal.shapes_of_hint(text);
alter table bcp_internal.anonymizer_rules drop column shapes;
