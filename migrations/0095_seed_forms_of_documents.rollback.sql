comment on column bcp.anonymization_rules.value_exceptions is
    'Only for validation sensitive_key: regular expression of what stays, looked for in the key, what separates it and '
    'its value, in lower case.';
