-- An anonymiser without any rule masks nothing, and tells nobody. One statement without its WHERE makes it so.
-- Therefore a statement is refused that would leave no key or no rule in force, unless its transaction allows it. It
-- does so by its own id, so that no setting of a session, a role or a database can allow it for good.

create or replace function bcp_internal.check_rules_are_left() returns trigger
language plpgsql volatile
-- Whoever may edit the rules does not need the right to call what tells whether one is in force.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_empty text;
begin
    v_empty := case
        when not exists (select from bcp.sensitive_keys where bcp_internal.is_in_force(enabled, pack))
            then 'bcp.sensitive_keys'
        when not exists (select from bcp.anonymization_rules where bcp_internal.is_in_force(enabled, pack))
            then 'bcp.anonymization_rules'
    end;
    if v_empty is not null
        and coalesce(current_setting('bcp.allow_no_rules', true), '') <> pg_current_xact_id()::text
    then
        raise exception using
            errcode = 'ZB006',
            message = format(
                'no enabled row would be left in %s, and what it finds would no longer be masked', v_empty),
            hint = 'If that is what you want, say so first, in the same transaction:'
                ' select set_config(''bcp.allow_no_rules'', pg_current_xact_id()::text, true);';
    end if;
    return null;
end
$func$;

comment on function bcp_internal.check_rules_are_left() is
    'Raises ZB006 after a statement that left no key or no rule in force, unless the setting bcp.allow_no_rules is the '
    'id of its transaction.';

-- PostgreSQL runs the triggers of a statement in the order of their names: this one before compile_anonymizer.
create or replace trigger check_rules_are_left after update or delete or truncate on bcp.sensitive_keys
    for each statement execute function bcp_internal.check_rules_are_left();
create or replace trigger check_rules_are_left after update or delete or truncate on bcp.anonymization_rules
    for each statement execute function bcp_internal.check_rules_are_left();
create or replace trigger check_rules_are_left after update or delete or truncate on bcp.anonymization_packs
    for each statement execute function bcp_internal.check_rules_are_left();
