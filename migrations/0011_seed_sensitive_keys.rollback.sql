delete from bcp.name_value_keys;
delete from bcp.sensitive_key_exceptions;
delete from bcp.sensitive_keys;
