-- What the gates found out about a batch is passed on to masking, so that nothing is asked twice.
create type bcp_internal.seen_by_gates as (
    clean text[],
    unclean text[],
    labels jsonb,
    plain_keys text[],
    has_pairs boolean
);
comment on type bcp_internal.seen_by_gates is
    'What the gates found out about a batch of documents: strings of which masking changes nothing (clean), strings '
    'that it may change (unclean), what keys before values in text are (labels, see bcp_internal.sensitive_labels), '
    'which keys are not sensitive (plain_keys), and whether a document may have a name apart from its value '
    '(has_pairs). Null where nothing is known.';
drop function if exists bcp_internal.labelled(integer[], text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.unclean(text[], bcp_internal.anonymizer_state, boolean);
drop function if exists bcp_internal.unclean_documents(text[], text[], integer, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_members(integer[], text[], jsonb[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.unfold_documents(jsonb[], integer, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_strings(
    jsonb[], integer[], text[], text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_documents(jsonb[], integer, text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_texts(text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.settle_texts(text[], bcp_internal.anonymizer_state);
