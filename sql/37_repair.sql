-- A bad value in a sound event is converted, cut or taken out, and the rest is stored. The attribute _repaired of such
-- an event names its fields. An event that has no name, or no meaning without the value, is rejected.
--
-- A sound batch never comes here: an event does only after something has refused it.

create or replace function bcp_internal.read_time(p_value jsonb) returns timestamptz
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_text constant text := btrim(p_value #>> '{}');
    v_number double precision;
begin
    if v_text ~ '^\d{4,6}-\d\d-\d\d[Tt ]\d\d:\d\d' then
        return v_text::timestamptz;
    elsif v_text ~ '^-?\d{1,30}(\.\d*)?$' then
        -- Seconds, milliseconds, microseconds or nanoseconds since 1970: read as seconds, 1e11 would be the year 5138.
        v_number := v_text;
        return to_timestamp(v_number / case
            when abs(v_number) < 1e11 then 1
            when abs(v_number) < 1e14 then 1e3
            when abs(v_number) < 1e17 then 1e6
            else 1e9
        end);
    end if;
    return null;
exception
    when data_exception then
        return null;
end
$func$;

comment on function bcp_internal.read_time(jsonb) is
    'Time in a field, in ISO 8601 or as a number since 1970, whose size tells its unit; null where there is none.';

create or replace function bcp_internal.read_number(p_value jsonb) returns numeric
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case when abs(n) < 1e-300 then 0 else n end
    from (
        select case
            when jsonb_typeof(p_value) = 'number'
                or p_value #>> '{}' ~ '^[ \t\r\n]*[-+]?[0-9]{1,100}(\.[0-9]{1,100})?([eE][-+]?[0-9]{1,2})?[ \t\r\n]*$'
                then (p_value #>> '{}')::numeric
        end
    ) as number (n)
$func$;

comment on function bcp_internal.read_number(jsonb) is
    'Number in a field, also as text; 0 where it is too small for a double precision, null where there is none.';

create or replace function bcp_internal.read_address(p_value text) returns text
language plpgsql stable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- The first of a list, as in X-Forwarded-For, is the client. [::1]:443 and 10.0.0.1:443 have a port.
    v_first constant text := btrim(split_part(p_value, ',', 1));
    v_address constant text := coalesce(
        substring(v_first from '^\[([^][]+)\](?::\d{1,5})?$'), substring(v_first from '^([^:]+):\d{1,5}$'), v_first);
begin
    perform v_address::inet;
    return v_address;
exception
    when data_exception then
        return null;
end
$func$;

comment on function bcp_internal.read_address(text) is
    'IP address in a text that has more than that: the first of a list, without a port; null where there is none.';

create or replace function bcp_internal.omitted(p_value jsonb, p_is_text boolean) returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when p_is_text then to_jsonb(format('[OMITTED %s bytes]', octet_length(p_value #>> '{}')))
        else jsonb_build_object('_omitted', format('%s bytes', octet_length(p_value::text)))
    end
$func$;

comment on function bcp_internal.omitted(jsonb, boolean) is
    'What takes the place of a text or document that cannot be kept: its size.';

create or replace function bcp_internal.kept_value(p_value jsonb, p_is_text boolean, p_max_bytes integer) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text := case when p_is_text then p_value #>> '{}' else p_value::text end;
    v_bytes constant integer := case when octet_length(v_text) > 2 * p_max_bytes then octet_length(v_text) end;
begin
    if p_is_text then
        return to_jsonb(bcp_internal.truncate_text(
            bcp_internal.anonymize_text(bcp_internal.cut_text(v_text, 2 * p_max_bytes)), p_max_bytes, v_bytes));
    end if;
    return bcp_internal.truncate_json(
        bcp_internal.anonymize_json(
            bcp_internal.cut_json(p_value, 2 * p_max_bytes, bcp_internal.setting('max_json_depth')::integer)),
        p_max_bytes, v_bytes);
exception
    -- It is nested too deep, or the anonymiser cannot go through it for another reason.
    when sqlstate 'ZB005' then
        return bcp_internal.omitted(p_value, p_is_text);
end
$func$;

comment on function bcp_internal.kept_value(jsonb, boolean, integer) is
    'A text or document, masked and cut to so many bytes; only its size where the anonymiser cannot go through it.';

create or replace function bcp_internal.marked_repaired(p_event jsonb, p_names text[]) returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when p_names = '{}' then p_event
        else jsonb_set(p_event, '{_repaired}', (
            select jsonb_agg(distinct name)
            from (
                select jsonb_array_elements(
                    case jsonb_typeof(p_event -> '_repaired') when 'array' then p_event -> '_repaired' else '[]' end)
                union all
                select to_jsonb(unnest(p_names))
            ) as n (name)))
    end
$func$;

comment on function bcp_internal.marked_repaired(jsonb, text[]) is 'The event with these names added to its _repaired.';

create or replace function bcp_internal.repaired_value(
    p_field text, p_types text[], p_is_id boolean, p_value jsonb)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_type constant text := jsonb_typeof(p_value);
    v_text constant text := p_value #>> '{}';
    v_number numeric;
begin
    case
        when p_types = '{any}' then
            return p_value;
        when p_types = '{object}' then
            return case v_type when 'object' then p_value else jsonb_build_object('value', p_value) end;
        when p_types = '{boolean}' then
            return case
                when v_type = 'boolean' then p_value
                when lower(btrim(v_text)) in ('true', 't', 'yes', 'y', 'on', '1') then 'true'::jsonb
                when lower(btrim(v_text)) in ('false', 'f', 'no', 'n', 'off', '0') then 'false'::jsonb
            end;
        when p_types = '{number}' then
            v_number := bcp_internal.read_number(p_value);
            return to_jsonb(case
                when p_field ~ '_(bytes|tokens)$'
                    then case when v_number between 0 and 1099511627776 then round(v_number) end
                when p_field = 'duration_ms' then case when v_number >= 0 then v_number end
                else v_number
            end);
        when p_field in ('start_time', 'end_time', 'timestamp', 'started_at', 'last_activity', 'ended_at') then
            return case
                when v_type = 'string' and bcp_internal.read_time(p_value) is not null and v_text ~ '^\d'
                    and v_text ~ '-' then p_value
                else to_jsonb(bcp_internal.read_time(p_value))
            end;
        when p_field = 'ip_address' then
            return to_jsonb(bcp_internal.read_address(v_text));
        when p_field = 'outcome' then
            return case when v_text = any (bcp_internal.outcomes()) then p_value end;
        when p_field = 'level' then
            return case
                when lower(v_text) in ('debug', 'info', 'warn', 'warning', 'error', 'fatal', 'critical') then p_value
                else '"error"'
            end;
        when v_type in ('object', 'array') then
            return case when not p_is_id and p_field <> 'event_id' then to_jsonb(p_value::text) end;
        when not p_is_id and p_field <> 'event_id' then
            return case when v_type = any (p_types) then p_value else to_jsonb(v_text) end;
        when v_text = '' and p_field <> 'tool_name' then
            -- An empty id is no id, in any event.
            return p_value;
        when v_text ~ '^\s*$' then
            return case p_field
                when 'tool_name' then '"(no name)"'::jsonb
                when 'bcp_name' then p_value
                when 'metric_name' then p_value
            end;
        when length(v_text) <= 500 then
            return case when v_type = any (p_types) then p_value else to_jsonb(v_text) end;
        when p_field = 'event_id' then
            return to_jsonb(bcp_internal.event_uuid(v_text));
        when right(p_field, 5) = '_name' or p_field = 'operation' then
            -- Mask it before it is cut, because no rule finds half an address.
            return to_jsonb(left(bcp_internal.kept_value(to_jsonb(v_text), true, 65536) #>> '{}', 499) || '…');
        else
            -- Two ids may begin alike.
            return null;
    end case;
end
$func$;

comment on function bcp_internal.repaired_value(text, text[], boolean, jsonb) is
    'Value of a field of an event as it can be stored: itself where that is possible, else converted or cut, null '
    'where nothing of it can be stored.';

create or replace function bcp_internal.repaired_times(p_event jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_oldest constant timestamptz := v_now - bcp_internal.setting('max_event_age')::interval;
    v_latest constant timestamptz := v_now + bcp_internal.setting('max_event_lead')::interval;
    v_start constant timestamptz := bcp_internal.read_time(p_event -> 'start_time');
    v_end constant timestamptz := bcp_internal.read_time(p_event -> 'end_time');
    v_longest constant double precision := extract(epoch from v_latest - v_oldest) * 1000;
    v_ms constant numeric := bcp_internal.read_number(p_event -> 'duration_ms');
    v_event jsonb := p_event;
begin
    -- When a call happened has to be known: that is not repaired.
    if coalesce(v_start, v_end, v_now) not between v_oldest and v_latest then
        return p_event;
    end if;
    if v_end < v_start and v_start - v_end <= interval '1 second' then
        -- A clock was set back meanwhile, or there were two clocks.
        v_event := v_event || jsonb_build_object('end_time', v_start);
    elsif v_start is not null and (v_end < v_start or v_end > v_latest) then
        v_event := v_event - 'end_time'::text;
    end if;
    if v_ms > v_longest::numeric
        or v_end is null and coalesce(v_start, v_now - v_ms::double precision * interval '1 millisecond')
            + v_ms::double precision * interval '1 millisecond' > v_latest
        or v_start is null and coalesce(v_end, v_now) - v_ms::double precision * interval '1 millisecond' < v_oldest
    then
        v_event := v_event - 'duration_ms'::text;
    end if;
    return v_event;
end
$func$;

comment on function bcp_internal.repaired_times(jsonb) is
    'The call with a start, end and duration that agree: an end up to a second before its start becomes the start, and '
    'what would put start or end out of bounds is left out.';

create or replace function bcp_internal.shortened_event(p_kind text, p_event jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_max_document constant integer := bcp_internal.setting('max_document_bytes');
    v_max_text constant integer := bcp_internal.setting('max_text_bytes');
    v_event jsonb := p_event;
    f record;
begin
    if p_kind = 'tool_usage' then
        -- The sizes that they had before.
        v_event := v_event || jsonb_strip_nulls(jsonb_build_object(
            'request_bytes', coalesce(
                nullif(p_event -> 'request_bytes', 'null'), to_jsonb(octet_length((p_event -> 'parameters')::text))),
            'response_bytes', coalesce(
                nullif(p_event -> 'response_bytes', 'null'),
                to_jsonb(octet_length((p_event -> 'response_data')::text)))));
    end if;
    for f in
        select e.field, e.content = 'text' as is_text, p_event -> e.field as value, m.bytes as max_bytes
        from bcp_internal.event_fields(p_kind) e
        cross join lateral (select case e.content when 'text' then v_max_text else v_max_document end) as m (bytes)
        where e.content <> 'other' and not e.is_id and octet_length(p_event ->> e.field) > m.bytes
    loop
        v_event := jsonb_set(v_event, array[f.field], bcp_internal.kept_value(f.value, f.is_text, f.max_bytes));
    end loop;
    return v_event;
end
$func$;

comment on function bcp_internal.shortened_event(text, jsonb) is
    'An event that is larger than the setting max_event_bytes allows, with its documents and texts masked and cut to '
    'what would be kept of them anyway.';

create or replace function bcp_internal.repaired_event(p_kind text, p_event jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- Times without an offset are in UTC.
set timezone = 'UTC'
set datestyle = 'ISO'
as $func$
declare
    v_event jsonb := p_event;
begin
    if jsonb_typeof(p_event) is distinct from 'object' then
        return p_event;
    end if;
    select p_event || coalesce(jsonb_object_agg(f.field, r.value), '{}') into v_event
    from bcp_internal.event_fields(p_kind) f
    cross join lateral bcp_internal.repaired_value(f.field, f.types, f.is_id, p_event -> f.field) as r (value)
    where p_event -> f.field <> 'null' and r.value is distinct from p_event -> f.field;
    if p_kind = 'tool_usage' then
        v_event := bcp_internal.repaired_times(v_event);
        if bcp_internal.contradicts(v_event ->> 'outcome', (v_event ->> 'success')::boolean) then
            v_event := v_event - 'success'::text;
        end if;
    elsif p_kind = 'sessions'
        and bcp_internal.read_time(v_event -> 'ended_at') < bcp_internal.read_time(v_event -> 'started_at')
    then
        v_event := v_event - 'ended_at'::text;
    end if;
    if pg_column_size(v_event) > bcp_internal.setting('max_event_bytes')::bigint then
        v_event := bcp_internal.shortened_event(p_kind, v_event);
    end if;
    return bcp_internal.marked_repaired(v_event, array(
        select key
        from jsonb_each(p_event) as f (key, value)
        where nullif(value, 'null') is distinct from nullif(v_event -> key, 'null')));
exception
    -- The event is rejected as it is, and fails no other event.
    when data_exception then
        return p_event;
end
$func$;

comment on function bcp_internal.repaired_event(text, jsonb) is
    'The event with its bad fields converted, cut or taken out, as far as possible without reading all of its '
    'documents, and their names in _repaired; the event itself where nothing is wrong.';

create or replace function bcp_internal.maskable_event(p_kind text, p_event jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_omitted jsonb;
begin
    select jsonb_object_agg(f.field, f.value) into v_omitted
    from (
        select e.field, bcp_internal.omitted(p_event -> e.field, e.content = 'text') as value
        from bcp_internal.event_fields(p_kind) e
        where e.content <> 'other'
          and p_event -> e.field <> 'null'
          and bcp_internal.kept_value(p_event -> e.field, e.content = 'text', 2147483647 / 4)
              = bcp_internal.omitted(p_event -> e.field, e.content = 'text')
        union all
        -- A field that nobody knows.
        select a.key, bcp_internal.omitted(a.value, false)
        from jsonb_each(p_event - bcp_internal.known_fields(p_kind)) as a (key, value)
        where bcp_internal.kept_value(a.value, false, 2147483647 / 4) = bcp_internal.omitted(a.value, false)
    ) as f;
    return bcp_internal.marked_repaired(
        p_event || coalesce(v_omitted, '{}'), array(select jsonb_object_keys(coalesce(v_omitted, '{}'))));
end
$func$;

comment on function bcp_internal.maskable_event(text, jsonb) is
    'The event without the fields that the anonymiser cannot go through, such as one nested too deep. Their sizes are '
    'kept, and their names are in _repaired.';

create or replace function bcp_internal.readable_json(p_json text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- With \\ written in another way, each backslash begins an escape. Surrogate pairs are put aside as an escape that
    -- JSON does not have. \uFffd is U+FFFD in a spelling that nobody else uses.
    select regexp_replace(
        regexp_replace(
            regexp_replace(
                replace(p_json, '\\', '\u005c'),
                '\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})', '\\v\1\2', 'g'),
            '\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\\uFffd', 'g'),
        '\\v([0-9a-fA-F]{4})([0-9a-fA-F]{4})', '\\u\1\\u\2', 'g')
$func$;

comment on function bcp_internal.readable_json(text) is
    'JSON with U+FFFD, written as \uFffd, in place of NULs and of halves of surrogate pairs, which jsonb cannot hold.';

create or replace function bcp_internal.readable_event(p_json text) returns jsonb
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_json constant text := bcp_internal.readable_json(p_json);
    v_event jsonb;
    v_names text[];
begin
    if json_typeof(v_json::json) <> 'object' then
        return null;
    end if;
    -- A number out of range, or a value nested too deep for the server, spoils only its own field.
    select
        jsonb_object_agg(
            f.key,
            coalesce(f.read, jsonb_build_object('_omitted', format('%s bytes', octet_length(f.value))))),
        array_agg(f.key) filter (where f.read is null or strpos(f.value, '\uFffd') > 0)
    into v_event, v_names
    from (
        select key, value::text, bcp_internal.try_jsonb(value::text) from json_each(v_json::json)
    ) as f (key, value, read);
    return bcp_internal.marked_repaired(v_event, coalesce(v_names, '{}'));
exception
    when data_exception or program_limit_exceeded or statement_too_complex then
        return null;
end
$func$;

comment on function bcp_internal.readable_event(text) is
    'The event in JSON that jsonb cannot hold, as far as possible: U+FFFD takes the place of NULs and of halves of '
    'surrogate pairs, and of a field that cannot be read only the size is left. The names of these fields are in '
    '_repaired. Null where the JSON is no object.';
