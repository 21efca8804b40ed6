-- A question names one client, and these rows are wide: without the index it reads those of all clients.
create index client_tool_usage_1mo_client_idx on bcp.client_tool_usage_1mo (client_name, bucket);
