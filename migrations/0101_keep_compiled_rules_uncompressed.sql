-- Every call that masks reads the compiled rules, and to unpack them took three quarters of reading them. Compiling
-- them again, as every load of sql/ does, stores them without compression.
alter table bcp_internal.anonymizer_state
    alter column digit_gates set storage external,
    alter column word_gates set storage external,
    alter column key_map set storage external,
    alter column part_map set storage external,
    alter column exception_map set storage external,
    alter column before_map set storage external,
    alter column after_map set storage external,
    alter column key_starts set storage external,
    alter column key_parts set storage external,
    alter column name_keys set storage external,
    alter column value_keys set storage external;
