drop materialized view bcp.errors_1mo;

drop materialized view bcp.errors_1d_packed;

drop materialized view bcp.error_totals_1d;
