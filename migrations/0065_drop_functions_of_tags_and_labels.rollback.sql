-- Loading the files of before makes them again as they were.
drop function if exists bcp_internal.mask_tags(text[], bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.sensitive_labels(text, bcp_internal.anonymizer_state, jsonb);
drop function if exists bcp_internal.column_names_in(text);
drop function if exists bcp_internal.labels_in(text);
drop function if exists bcp_internal.rules_to_apply(text[], integer[], integer[], integer[], text[]);
drop function if exists bcp_internal.found_by_gates(text[], text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.words_with_parts(text, text);
drop function if exists bcp_internal.words_that_begin_keys(
    text, integer[], text[], boolean[], text[], bcp_internal.anonymizer_state);
