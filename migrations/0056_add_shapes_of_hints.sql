-- PostgreSQL keeps 32 compiled expressions, and a batch with something to mask needed more, so that each batch compiled
-- two dozen anew. LIKE needs none.
alter table bcp_internal.anonymizer_rules add column shapes text[];

comment on column bcp_internal.anonymizer_rules.shapes is
    'Patterns of LIKE, as bcp_internal.shapes_of_hint derives them: every text that the hint matches has one of these, '
    'in lower case and with 9 in place of every digit. Null where there are none.';
