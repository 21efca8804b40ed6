-- bcp_internal.mask_tags takes all tags of a text, and bcp_internal.sensitive_labels what it found before.
drop function if exists bcp_internal.mask_tag(
    text, bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.sensitive_labels(text, bcp_internal.anonymizer_state);
