-- Settings. A trigger checks every value against its row's kind and bounds, so that no function that reads one has to.

create or replace function bcp_internal.check_setting() returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The functions that read an interval run with the same style.
set intervalstyle = 'postgres'
as $func$
declare
    v_fits boolean;
    v_zone text;
begin
    if new.kind = 'time zone' then
        -- TimescaleDB takes these names only, in this case, where PostgreSQL takes +05:30 and europe/berlin, too.
        select case z.abbrev when 'UTC' then 'UTC' else z.name end into v_zone
        from pg_timezone_names z
        where lower(z.name) = lower(new.value);
        new.value := coalesce(v_zone, new.value);
    end if;
    begin
        v_fits := case new.kind
            when 'integer' then
                new.value ~ '^-?[0-9]+$'
                and new.value::bigint between new.minimum::bigint and new.maximum::bigint
            when 'number' then
                new.value::double precision between new.minimum::double precision and new.maximum::double precision
            when 'interval' then new.value::interval between new.minimum::interval and new.maximum::interval
            when 'switch' then new.value in ('on', 'off')
            when 'text' then length(new.value) between new.minimum::integer and new.maximum::integer
            -- Where the clock goes back over midnight, as in the Azores, the hours of two days come mixed.
            when 'time zone' then v_zone is not null and not exists (
                select
                from generate_series(
                    date_trunc('day', localtimestamp) - interval '3650 days', localtimestamp + interval '3650 days',
                    interval '1 day') as day
                where (day at time zone v_zone - interval '1 microsecond') at time zone v_zone >= day)
        end;
    exception
        when data_exception then v_fits := false;
    end;
    if v_fits is not true then
        raise exception using
            errcode = 'ZB003',
            message = format('the setting %s cannot be %L', new.name, left(new.value, 60)),
            hint = case new.kind
                when 'switch' then 'Use on or off.'
                when 'text' then format('Use text of %s to %s characters.', new.minimum, new.maximum)
                when 'time zone' then
                    'Use a name such as UTC or Europe/Berlin, of a zone whose clock never goes back over midnight;'
                    ' select name from pg_timezone_names lists them.'
                else format('Use %s from %s to %s.',
                            case new.kind
                                when 'integer' then 'a whole number'
                                when 'number' then 'a number'
                                else 'an interval' end,
                            new.minimum, concat_ws(' ', new.maximum, nullif(new.unit, 'interval')))
            end;
    end if;
    return new;
end
$func$;

comment on function bcp_internal.check_setting is
    'Refuses, with ZB003 and a hint, a value of bcp.settings that is not of the setting''s kind or not between its '
    'minimum and maximum. Writes a time zone as pg_timezone_names does, and UTC for all its names.';

create or replace trigger check_setting before insert or update on bcp.settings
for each row execute function bcp_internal.check_setting();
