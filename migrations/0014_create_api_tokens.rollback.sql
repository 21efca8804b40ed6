delete from bcp.anonymization_rules where name = 'api_token_of_this_store';

drop table bcp_internal.api_tokens;
