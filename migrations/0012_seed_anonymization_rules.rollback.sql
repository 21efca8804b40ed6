delete from bcp.anonymization_rules;
