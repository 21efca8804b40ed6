-- Settings of the transaction that loads sql/. Every file after this one relies on them.
set local client_min_messages = warning;
set local check_function_bodies = on;
set local search_path = pg_catalog, pg_temp;
