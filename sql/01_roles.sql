-- Roles belong to the whole cluster. Another database may have created them already, in which case migrating this one
-- needs no right to create roles, or may be creating them at this moment. A dump does not contain roles, so this file
-- creates them with the rest of the code, and migrate loads the code again where the rights of the roles are gone.
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
