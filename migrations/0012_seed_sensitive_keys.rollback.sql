delete from bcp.sensitive_key_exceptions;
delete from bcp.sensitive_keys;
