-- bcp_internal.call_texts returns documents and fields of text apart, and bcp_internal.unclean_documents takes both.
drop function if exists bcp_internal.call_texts(bcp.tool_call[]);
drop function if exists bcp_internal.unclean_documents(text[], integer, bcp_internal.anonymizer_state);
