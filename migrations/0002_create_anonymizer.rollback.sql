-- With the keys go the pseudonyms' meaning: what was hashed before cannot be matched with what comes after.
drop table bcp_internal.anonymizer_rules;

drop table bcp_internal.anonymizer_state;

drop table bcp.name_value_keys;

drop table bcp_internal.anonymization_keys;

drop table bcp.anonymization_rules;

drop table bcp.sensitive_key_exceptions;

drop table bcp.sensitive_keys;

drop table bcp.anonymization_packs;
