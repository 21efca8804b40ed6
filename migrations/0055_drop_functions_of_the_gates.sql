-- What they take or return has changed: `create or replace` would leave these beside the new ones, or cannot replace
-- them.
drop function if exists bcp_internal.joined(integer[], text[], boolean);
drop function if exists bcp_internal.unclean(text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.documents_with(text[], text[]);
drop function if exists bcp_internal.unclean_documents(text[], integer, bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_strings(jsonb[], integer[], text[], bcp_internal.anonymizer_state);
drop function if exists bcp_internal.mask_documents(jsonb[], integer, bcp_internal.anonymizer_state);
