-- Loading the files of before makes them again as they were.
drop function if exists bcp_internal.labelled(integer[], text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.unclean(text[], bcp_internal.anonymizer_state, boolean);
drop function if exists bcp_internal.unclean_documents(text[], text[], integer, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_members(
    integer[], text[], jsonb[], bcp_internal.seen_by_gates, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.unfold_documents(
    jsonb[], integer, bcp_internal.seen_by_gates, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_strings(
    jsonb[], integer[], text[], bcp_internal.seen_by_gates, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_documents(
    jsonb[], integer, bcp_internal.seen_by_gates, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_texts(text[], bcp_internal.anonymizer_state, jsonb);
drop function if exists bcp_internal.settle_texts(text[], bcp_internal.anonymizer_state, jsonb);
drop type if exists bcp_internal.seen_by_gates;
