drop materialized view bcp.parameter_keys_1d;

drop materialized view bcp.call_ids_1h;
