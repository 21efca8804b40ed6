alter table bcp_internal.anonymizer_state
    alter column digit_gates set storage extended,
    alter column word_gates set storage extended,
    alter column key_map set storage extended,
    alter column part_map set storage extended,
    alter column exception_map set storage extended,
    alter column before_map set storage extended,
    alter column after_map set storage extended,
    alter column key_starts set storage extended,
    alter column key_parts set storage extended,
    alter column name_keys set storage extended,
    alter column value_keys set storage extended;
