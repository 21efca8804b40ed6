-- What the questions share: arguments that are checked, filters, and buckets of time.

create or replace function bcp_internal.checked_range(
    p_since timestamptz, p_until timestamptz, out range_from timestamptz, out range_to timestamptz)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
-- A question that wants a custom plan for itself wants none for this.
set plan_cache_mode = auto
as $func$
begin
    range_to := coalesce(p_until, bcp_internal.now());
    range_from := coalesce(p_since, range_to - interval '24 hours');
    -- An infinite time means an open end.
    perform bcp_internal.checked_time(e.name, e.at)
    from (values ('p_until', range_to), ('p_since', range_from)) as e (name, at)
    where isfinite(e.at);
    if range_from > range_to then
        raise exception using
            errcode = 'ZB002',
            message = format('p_since (%s) is after p_until (%s)', range_from, range_to),
            hint = 'A range reaches from p_since up to, but not including, p_until. Exchange the two.';
    end if;
end
$func$;

comment on function bcp_internal.checked_range is
    'Range that a question asks for. Without an end it reaches up to now, without a start it begins 24 hours before '
    'its end. ZB002 if it is reversed, or if an end is finite and outside the years 1 to 9999.';

grant execute on function bcp_internal.checked_range to bcp_reader;

create or replace function bcp_internal.checked_interval(
    p_interval interval, p_time_zone text, p_unit text default 'microsecond') returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_interval <= interval '0' then
        raise exception using
            errcode = 'ZB002', message = 'p_interval is not positive',
            hint = 'Try 1 hour, or null for one row over the whole range.';
    elsif extract(month from p_interval) + extract(year from p_interval) <> 0
        and p_interval <> date_trunc('month', p_interval)
    then
        raise exception using
            errcode = 'ZB002', message = 'p_interval mixes months with days or hours',
            hint = 'Use months alone, or days and hours.';
    end if;
    if p_interval <> date_trunc(p_unit, p_interval) then
        raise exception using
            errcode = 'ZB002', message = format('p_interval is not whole %ss', p_unit),
            hint = format('Try 1 %s, or 1 hour.', p_unit);
    end if;
    begin
        if bcp_internal.now() at time zone p_time_zone is null then
            raise invalid_parameter_value;
        end if;
    exception
        when invalid_parameter_value then
            raise exception using
                errcode = 'ZB002',
                message = 'p_time_zone is not a time zone that PostgreSQL knows',
                hint = 'Use a name such as UTC or Europe/Berlin; select name from pg_timezone_names lists them.';
    end;
    return p_interval;
end
$func$;

comment on function bcp_internal.checked_interval is
    'Returns the interval; ZB002 if buckets cannot have this length, or if it is not a whole number of p_unit.';

grant execute on function bcp_internal.checked_interval to bcp_reader;

create or replace function bcp_internal.checked_limit(p_limit integer) returns integer
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_limit is null or p_limit not between 1 and 10000 then
        raise exception using
            errcode = 'ZB002', message = 'p_limit is not from 1 to 10000',
            hint = 'Ask for a shorter range to see other rows, or read the tables themselves.';
    end if;
    return p_limit;
end
$func$;

comment on function bcp_internal.checked_limit is
    'Returns the most rows that an answer may have; ZB002 if it is not from 1 to 10000.';

grant execute on function bcp_internal.checked_limit to bcp_reader;

create or replace function bcp_internal.checked_choice(p_name text, p_value text, p_choices text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_value <> all (p_choices) then
        raise exception using
            errcode = 'ZB002', message = format('%s is none of %s', p_name, array_to_string(p_choices, ', ')),
            hint = 'Use one of these names, or null for all.';
    end if;
    return p_value;
end
$func$;

comment on function bcp_internal.checked_choice is
    'Returns the value of an argument; ZB002 if it is not one of the choices. Null stays null.';

grant execute on function bcp_internal.checked_choice to bcp_reader;

create or replace function bcp_internal.checked_outcome(p_outcome text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return bcp_internal.checked_choice('p_outcome', p_outcome, bcp_internal.outcomes());
end
$func$;

comment on function bcp_internal.checked_outcome is
    'Returns the outcome that a question asks for; ZB002 if there is no outcome of that name.';

grant execute on function bcp_internal.checked_outcome to bcp_reader;

create or replace function bcp_internal.filters(
    p_bcp_name text default null, p_tool_name text default null, p_operation text default null,
    p_user_id text default null, p_session_id text default null, p_client_name text default null,
    p_outcome text default null, p_failed boolean default null,
    p_client_version text default null, p_client_model text default null, p_release text default null,
    p_event_id text default null)
returns jsonb
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
-- The setting has the same reason as that of bcp_internal.checked_range.
set plan_cache_mode = auto
as $func$
begin
    return jsonb_strip_nulls(jsonb_build_object(
        'bcp_name', p_bcp_name, 'tool_name', p_tool_name, 'operation', p_operation, 'user_id', p_user_id,
        'session_id', p_session_id, 'client_name', p_client_name, 'outcome', bcp_internal.checked_outcome(p_outcome),
        'failed', p_failed, 'client_version', p_client_version, 'client_model', p_client_model, 'release', p_release,
        'event_id', bcp_internal.event_uuid(p_event_id)));
end
$func$;

comment on function bcp_internal.filters is
    'Which calls a question is about, as an object: the value that each column must have, and failed. Arguments that '
    'are null are left out, and an empty text means that the column has none. p_event_id is the id that the sender '
    'gave. bcp_internal.call_filter and bcp_internal.calls read the object. ZB002 if there is no such outcome.';

grant execute on function bcp_internal.filters to bcp_reader;

create or replace function bcp_internal.condition_on(p_column text, p_value text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return case
        when p_value is null then ''
        -- Rows that were stored before ingest made null of an empty text have that.
        when p_value = '' then format(' and (%1$I is null or %1$I = '''')', p_column)
        else format(' and %I = %L', p_column, p_value)
    end;
end
$func$;

comment on function bcp_internal.condition_on is
    'Condition that a column has the value of a filter, to be appended to other conditions of a statement: an empty '
    'text finds rows that have none, and null any row.';

grant execute on function bcp_internal.condition_on to bcp_reader;

create or replace function bcp_internal.call_filter(p_filters jsonb, p_lists boolean default false) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return (
        select coalesce(string_agg(
                case
                    when f.key = 'tools' then (
                        -- A list of names is compared in the columnstore, pairs of them are not.
                        select case
                            when count(*) = 0 then ' and false'
                            else format(
                                ' and tool_name = any (%L) and (bcp_name, tool_name) in (%s)', array_agg(t ->> 1),
                                string_agg(format('(%L, %L)', t ->> 0, t ->> 1), ', '))
                        end
                        from jsonb_array_elements(f.value::jsonb) as t)
                    when f.key = 'search' then
                        format(' and strpos(lower(bcp_name || ''.'' || tool_name), lower(%L)) > 0', f.value)
                    when f.key <> 'failed' then bcp_internal.condition_on(f.key, f.value)
                    when f.value::boolean then ' and not success'
                    else ' and success is not false'
                end, ''), '')
            || case when p_lists or p_filters ?| '{operation,event_id}' then ''
                    else ' and operation <> ''tools/list''' end
        from jsonb_each_text(p_filters) f);
end
$func$;

comment on function bcp_internal.call_filter is
    'Conditions on calls for the object of bcp_internal.filters, to be appended to other conditions of a statement. A '
    'list of tools is no call, so lists pass only if the filters name an operation or an event, or if p_lists is true. '
    'The object may have tools as well: an array of the bundles and names that a statement by tool is about; and '
    'search: a text that the name of a tool, after its bundle and a dot, has in it in upper or lower case.';

grant execute on function bcp_internal.call_filter to bcp_reader;

create or replace function bcp_internal.usage_family(p_filters jsonb, p_keys text, out family text)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    family := (
        select f.name
        from (values
            (1, 'tool_usage', '{bcp_name,tool_name,operation,tools,search}'::text[], true),
            -- These two have whether and how calls ended, and their latency, too.
            -- It has no calls without a user.
            (2, 'user_usage', '{bcp_name,tool_name,operation,user_id,outcome,failed,lat_idx}',
                p_filters ->> 'user_id' <> ''),
            (3, 'failed_usage', '{bcp_name,tool_name,operation,outcome,failed,lat_idx}',
                p_filters @> '{"failed": true}' or p_filters ->> 'outcome' <> 'success'),
            (4, 'client_usage', '{client_name,client_version,client_model,release,operation}', true),
            (5, 'client_tool_usage', '{client_name,bcp_name,tool_name,operation,tools,search}', true)
        ) as f (ordinal, name, known, is_asked)
        where p_filters - f.known = '{}'
          and coalesce(string_to_array(p_keys, ', ') <@ f.known, true)
          and f.is_asked
        order by f.ordinal
        limit 1);
end
$func$;

comment on function bcp_internal.usage_family is
    'The family of aggregates that has every call and every column that calls are filtered and grouped by; null if '
    'only the raw table has. p_keys names the columns of the grouping, with commas between them.';

grant execute on function bcp_internal.usage_family to bcp_reader;

create or replace function bcp_internal.bounded_bytes(p_sum text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Earlier calls may claim any number of bytes. A sum that exceeds bigint would fail the whole answer.
    return format('least(greatest(coalesce(%s, 0), 0), 9e18)::bigint', p_sum);
end
$func$;

comment on function bcp_internal.bounded_bytes is
    'Expression for a sum of bytes as an answer has it, from 0 to 9e18, of the expression for the sum.';

grant execute on function bcp_internal.bounded_bytes to bcp_reader;

create or replace function bcp_internal.bucket_of(p_column text, p_interval interval, p_zone text, p_shift interval)
returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- All forms are vectorised except for the last. Each gives every argument, because an overload of somebody else
    -- might fit a shorter call better.
    return case
        when p_interval is null then 'null::timestamptz'
        when p_zone = 'UTC' then
            format('public.time_bucket(%L::interval, %I, %L::interval)', p_interval, p_column, p_shift)
        else format(
            'public.time_bucket(%L::interval, %I, %L::text, null::timestamptz, null::interval)',
            p_interval, p_column, p_zone)
    end;
end
$func$;

comment on function bcp_internal.bucket_of is
    'Expression for the bucket of a time; null if one bucket holds the whole range.';

grant execute on function bcp_internal.bucket_of to bcp_reader;
