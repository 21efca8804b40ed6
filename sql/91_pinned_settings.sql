-- Pins the settings by which a session could change what the functions do.
--
-- A session may change how PostgreSQL reads and writes text: the code of a function itself (with
-- standard_conforming_strings off, its strings end elsewhere), and the times, numbers and names in the statements that
-- it makes (PostgreSQL reads 10:36 IST, India's, as 08:36 UTC). So each function through which a session enters runs
-- with the defaults, and so does all that it calls: functions of schema bcp and of triggers, functions that make
-- statements, and functions that a procedure calls which commits and so can have no settings itself. This costs 2 us
-- per call, so the other small functions go without.
--
-- A function that runs as the owner also waits no longer than its lock_timeout for what an open transaction of somebody
-- else holds, shows nobody its plans, and puts new chunks where the hypertable is.
do $block$
declare
    v_function record;
begin
    for v_function in
        select p.oid::regprocedure as signature, p.prosecdef,
               coalesce(
                   (select split_part(c, '=', 2) from unnest(p.proconfig) c where starts_with(c, 'lock_timeout=')),
                   '30s') as lock_timeout
        from pg_proc p
        where p.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)
          and p.proconfig::text ~ 'search_path'
          and (p.prosecdef or p.pronamespace = 'bcp'::regnamespace or p.prorettype = 'trigger'::regtype
               or p.prosrc ~ '\mexecute\M|%([0-9]+[$])?L'
               or exists (
                   select from pg_proc c
                   where c.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)
                     and c.prokind = 'p'
                     and strpos(c.prosrc, 'bcp_internal.' || p.proname || '(') > 0))
    loop
        execute format(
            'alter routine %s set standard_conforming_strings = on set array_nulls = on set transform_null_equals = off'
            ' set quote_all_identifiers = off set datestyle = %L set intervalstyle = postgres set timezone = %L'
            ' set extra_float_digits = 1 set bytea_output = hex',
            v_function.signature, 'ISO, MDY', 'UTC');
        if v_function.prosecdef then
            execute format(
                'alter routine %s set lock_timeout = %L set debug_print_parse = off set debug_print_rewritten = off'
                ' set debug_print_plan = off set default_tablespace = %L set default_table_access_method = heap',
                v_function.signature, v_function.lock_timeout, '');
        end if;
    end loop;
end
$block$;
