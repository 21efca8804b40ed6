-- What fields an event has, and events through the anonymiser. A field of text is masked as the value it is: its name
-- says nothing of what is in it, and may be a sensitive key in documents. Documents, and fields that nobody knows, are
-- masked with their keys.

create or replace function bcp_internal.event_fields(p_kind text)
returns table (ordinal bigint, field text, types text[], required boolean, is_id boolean, content text)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- One line a field: name, JSON types, and flags: ! it is required; = it is an id or a name of at most 500
    -- characters, so it is never cut; - it becomes a time, a UUID or a network, which hold no text. Any other string is
    -- masked.
    select
        l.ordinal, w.parts[1], t.types, strpos(w.parts[3], '!') > 0, strpos(w.parts[3], '=') > 0,
        case
            when t.types && '{any,object}' then 'document'
            when t.types && '{string}' and strpos(w.parts[3], '-') = 0 then 'text'
            else 'other'
        end
    from (
        values
            ('tool_usage', 'bcp_name string !=|tool_name string !=|operation string =|start_time string -|end_time string -'
                || '|duration_ms number|success boolean|outcome string|error_type string|error_message string'
                || '|parameters any|response_data any|request_bytes number|response_bytes number|response_tokens number'
                || '|user_id string,number =|session_id string,number =|conversation_id string,number ='
                || '|request_id string,number|trace_id string|client_name string|client_version string|client_model string|release string'
                || '|ip_address string -|user_agent string|event_id string -'),
            ('errors', 'level string !|message string !|timestamp string -|error_type string|error_code string,number'
                || '|stack_trace string|fingerprint string|bcp_name string|tool_name string|operation string'
                || '|context object|tool_context object|user_id string,number =|session_id string,number ='
                || '|conversation_id string,number =|client_name string|request_id string,number|trace_id string'
                || '|release string|event_id string -'),
            ('metrics', 'metric_name string !=|metric_value number !|timestamp string -|labels object'
                || '|aggregation_period string|event_id string -'),
            ('sessions', 'session_id string,number !=|user_id string,number =|client_name string|client_version string'
                || '|ip_address string -|user_agent string|started_at string -|last_activity string -|ended_at string -')
    ) as k (kind, fields)
    cross join lateral string_to_table(k.fields, '|') with ordinality as l (line, ordinal)
    cross join lateral (select string_to_array(l.line || ' ', ' ')) as w (parts)
    cross join lateral (select string_to_array(w.parts[2], ',')) as t (types)
    where k.kind = p_kind
$func$;

comment on function bcp_internal.event_fields(text) is
    'Fields that an event of a kind may have, the JSON types each may have, which are required, which are ids or names of at most 500 characters, and what each holds: text or a document, which are masked, or other.';

create or replace function bcp_internal.event_shape(p_kind text) returns jsonpath
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select string_agg(
        case
            when f.required then format('(%s)', t.is_type)
            else format('(!exists($.%s) || $.%s.type() == "null" || %s)', f.field, f.field, t.is_type)
        end, ' && ' order by f.ordinal)::jsonpath
    from bcp_internal.event_fields(p_kind) f
    cross join lateral (
        select string_agg(format('$.%s.type() == "%s"', f.field, name), ' || ') from unnest(f.types) as name
    ) as t (is_type)
    where f.types <> '{any}'
$func$;

comment on function bcp_internal.event_shape(text) is
    'bcp_internal.event_fields as one jsonpath predicate: e @@ shape is true where every field has its type.';

create or replace function bcp_internal.known_fields(p_kind text) returns text[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select array_agg(field) from bcp_internal.event_fields(p_kind)
$func$;

comment on function bcp_internal.known_fields(text) is 'Names of bcp_internal.event_fields.';

create or replace function bcp_internal.shape_problem(p_kind text, p_event jsonb) returns text
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when jsonb_typeof(p_event) <> 'object' then format('the event is of type %s, not object', jsonb_typeof(p_event))
        when not p_event @@ bcp_internal.event_shape(p_kind) then (
            select case
                when coalesce(t.found, 'null') = 'null' then format('%s is missing', f.field)
                else format('%s is of type %s, not %s', f.field, t.found, array_to_string(f.types, ' or '))
            end
            from bcp_internal.event_fields(p_kind) f
            cross join lateral jsonb_typeof(p_event -> f.field) as t (found)
            where f.types <> '{any}'
              and case when coalesce(t.found, 'null') = 'null' then f.required else t.found <> all (f.types) end
            order by f.ordinal
            limit 1)
    end
$func$;

comment on function bcp_internal.shape_problem(text, jsonb) is
    'What is wrong with the shape of an event, null where nothing is; never repeats a value.';

create or replace function bcp_internal.mask_events(p_kind text, p_events jsonb[], p_rejected boolean default false)
returns table (n bigint, raw jsonb, whole jsonb, e jsonb, attributes jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, whose elements are found by counting from its start.
set plan_cache_mode = force_generic_plan
-- The planner expects many rows of functions that return few, and compiling takes a second.
set jit = off
as $func$
declare
    v_max_document constant integer := bcp_internal.setting('max_document_bytes');
    v_max_text constant integer := bcp_internal.setting('max_text_bytes');
    v_max_depth constant integer := bcp_internal.setting('max_json_depth');
    v_known constant text[] := bcp_internal.known_fields(p_kind);
    -- Of these what is too long is refused, not cut: two ids may begin alike.
    v_ids constant text[] := array(select field from bcp_internal.event_fields(p_kind) where is_id and not p_rejected);
    v_state bcp_internal.anonymizer_state;
    v_parts record;
    v_numbers integer[];
    v_fields record;
    v_masked jsonb[];
begin
    v_state := bcp_internal.load_anonymizer();
    -- What may have something to mask: all fields of text of an event together, which have no name; each document; and
    -- the fields that nobody knows, as one document without a name.
    with fields as materialized (
        select
            d.o, f.key, f.value,
            -- A rejected event may hold anything anywhere.
            case when k.field is null then 'unknown' when k.content = 'other' and p_rejected then 'text' else k.content end as content
        from unnest(p_events) with ordinality as d (event, o)
        cross join lateral jsonb_each(d.event) as f (key, value)
        left join bcp_internal.event_fields(p_kind) as k on k.field = f.key
        where k.field is null or f.value <> 'null'
    ), unknown as (
        select o, jsonb_object_agg(key, value) as doc from fields where content = 'unknown' group by o
    ), parts as (
        select
            o, null as name, jsonb_object_agg(key, value) as doc, string_agg(value::text, '') as text,
            coalesce(bool_or(octet_length(value #>> '{}') > v_max_text and key <> all (v_ids)), false) as is_large,
            max(key) filter (where key = any (v_ids) and length(value #>> '{}') > 500) as too_long
        from fields
        where content = 'text'
        group by o
        union all
        select o, key, value, value::text, octet_length(value::text) > v_max_document, null
        from fields
        where content = 'document'
        union all
        select o, '', doc, doc::text, octet_length(doc::text) > v_max_document, null from unknown
    )
    select
        array_agg(o) as events, array_agg(name) as names, array_agg(doc) as docs, array_agg(is_large) as large,
        coalesce(array_agg(case when is_large then '' else text end), '{}') as texts, min(too_long) as too_long
    into v_parts
    from parts;
    if v_parts.too_long is not null then
        raise exception using errcode = 'ZB005', message = v_parts.too_long || ' is longer than 500 characters';
    end if;
    v_numbers := bcp_internal.unclean_documents(v_parts.texts, v_max_depth, v_state);
    -- What is much too large is cut before it is masked, and marked after.
    select
        array_agg(v.o) as events, array_agg(v.key) as names, array_agg(v.is_text) as are_text,
        array_agg(case
            when v.bytes is null then v.value
            when v.is_text then to_jsonb(bcp_internal.cut_text(v.value #>> '{}', 2 * v_max_text))
            else bcp_internal.cut_json(v.value, 2 * v_max_document, v_max_depth)
        end) as docs,
        array_agg(v.bytes) as bytes
    into v_fields
    from (
        select
            u.o, t.key, t.value, t.is_text,
            case
                when not t.is_text and octet_length(t.value::text) > 2 * v_max_document then octet_length(t.value::text)
                when t.is_text and octet_length(t.value #>> '{}') > 2 * v_max_text and t.key <> all (v_ids)
                    then octet_length(t.value #>> '{}')
            end
        from unnest(v_parts.events, v_parts.names, v_parts.docs, v_parts.large) with ordinality as u (o, name, doc, is_large, part)
        cross join lateral (
            -- A number is stored as text.
            select key, x.value, jsonb_typeof(x.value) = 'string'
            from jsonb_each(case when u.name is null then u.doc else '{}' end) as f (key, value)
            cross join lateral (
                select case when jsonb_typeof(f.value) = 'number' and not p_rejected then to_jsonb(f.value #>> '{}') else f.value end
            ) as x (value)
            union all
            select u.name, u.doc, false where u.name is not null
        ) as t (key, value, is_text)
        where u.is_large or u.part = any (v_numbers)
    ) as v (o, key, value, is_text, bytes);
    if v_fields.docs is not null then
        v_masked := bcp_internal.mask_documents(v_fields.docs, v_max_depth, v_state);
    end if;
    return query
        with masked as materialized (
            select
                m.o, jsonb_object_agg(m.key, m.value) filter (where m.key <> '') as whole,
                jsonb_object_agg(m.key, c.value) filter (where m.key <> '') as cut,
                (array_agg(c.value) filter (where m.key = ''))[1] as unknown
            from unnest(v_fields.events, v_fields.names, v_fields.are_text, v_fields.bytes, v_masked) as m (o, key, is_text, bytes, value)
            cross join lateral (
                select case
                    when not m.is_text then bcp_internal.truncate_json(m.value, v_max_document, m.bytes)
                    when m.key = any (v_ids) then m.value
                    else to_jsonb(bcp_internal.truncate_text(m.value #>> '{}', v_max_text, m.bytes))
                end
            ) as c (value)
            group by m.o
        )
        select
            d.o, d.event, known.event || coalesce(masked.whole, '{}'), known.event || coalesce(masked.cut, '{}'),
            coalesce(masked.unknown, nullif(d.event - v_known, '{}'))
        from unnest(p_events) with ordinality as d (event, o)
        left join masked on masked.o = d.o
        cross join lateral (
            select case
                when d.event - v_known = '{}' then d.event
                else d.event - array(select jsonb_object_keys(d.event - v_known))
            end
        ) as known (event);
exception
    when sqlstate 'ZB003' or sqlstate 'ZB005' or sqlstate 'ZB006' then
        raise;
    when others then
        perform bcp_internal.anonymizer_failed(sqlstate);
end
$func$;

comment on function bcp_internal.mask_events(text, jsonb[], boolean) is
    'Events as they came; their known fields masked; the same cut to size; and their other fields, masked and cut, null where there are none; with their numbers. Where an event was rejected, also what else would become a time, a number or an address is masked.';
