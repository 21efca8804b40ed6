-- Roles belong to the whole cluster, so another database of it may have made them already (then this needs no right to
-- create roles), or may be making them at this moment. A dump does not hold them, so they are made with the code, which
-- migrate loads again where their rights are gone.
do $block$
declare
    v_role text;
begin
    foreach v_role in array array['bcp_reader', 'bcp_writer', 'bcp_admin'] loop
        continue when exists (select from pg_roles where rolname = v_role);
        begin
            execute format('create role %I nologin', v_role);
        exception
            when duplicate_object or unique_violation then null;
        end;
    end loop;
end
$block$;
