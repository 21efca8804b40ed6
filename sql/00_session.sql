-- Settings of the transaction that loads sql/: every file after this one stands on them.
set local client_min_messages = warning;
set local check_function_bodies = on;
set local search_path = pg_catalog, pg_temp;
