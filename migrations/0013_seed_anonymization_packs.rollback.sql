delete from bcp.anonymization_rules where pack is not null;

delete from bcp.sensitive_keys where pack is not null;

delete from bcp.anonymization_packs;
