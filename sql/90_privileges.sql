-- Takes from public what PostgreSQL gives to it by default: every new function may be called by everybody.
-- sql/02_privileges.sql says who may do what.

revoke all on all functions in schema bcp, bcp_internal from public;

revoke all on all procedures in schema bcp, bcp_internal from public;

revoke all on all tables in schema bcp, bcp_internal from public;

-- OTHERS
grant select on bcp.degenerate_sessions, bcp.ingest_ledger to bcp_reader;

grant execute on function
    bcp_internal.outcomes, bcp_internal.grain, bcp_internal.invalidated, bcp_internal.pieces, bcp_internal.stale,
    bcp_internal.whole, bcp_internal.within
to bcp_reader;

grant execute on function
    bcp.disable_anonymization_pack, bcp.enable_anonymization_pack, bcp.hash_of, bcp.rotate_anonymization_key
to bcp_admin;

do $block$
declare
    v_function regprocedure;
begin
    for v_function in
        select p.oid
        from pg_proc p
        where p.pronamespace = 'bcp'::regnamespace and p.proname ~ '^(ingest_|log_|record_|touch_|end_|begin_|report_collector)'
    loop
        execute format('grant execute on function %s to bcp_writer', v_function);
    end loop;
end
$block$;
