-- Loading the files of before makes them again as they were.
drop function if exists bcp_internal.joined(text[]);
drop function if exists bcp_internal.joined_flat(text[]);
drop function if exists bcp_internal.texts_for_gates(text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.unclean(text[], bcp_internal.anonymizer_state, boolean);
drop function if exists bcp_internal.documents_with(text[], integer[], text[]);
drop function if exists bcp_internal.pieces_of_documents(text[], integer);
drop function if exists bcp_internal.unclean_documents(text[], integer, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_strings(jsonb[], integer[], text[], text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_documents(jsonb[], integer, text[], bcp_internal.anonymizer_state);
