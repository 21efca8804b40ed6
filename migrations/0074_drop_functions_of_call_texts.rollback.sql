-- Loading the files of before makes them again as they were.
drop function if exists bcp_internal.calls_with(bcp.tool_call[], text[]);
drop function if exists bcp_internal.call_texts(bcp.tool_call[], integer);
drop function if exists bcp_internal.unclean_documents(text[], text[], integer, bcp_internal.anonymizer_state);
