-- The fields of an event of each kind, and whether the shape of an event is right.

create or replace function bcp_internal.event_fields(p_kind text)
returns table (ordinal bigint, field text, types text[], required boolean, is_id boolean, content text)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- One entry per field: name, JSON types, and flags. ! means that the field is required. = means that it is an id or
    -- a name of at most 500 characters, so it is never cut. - means that it becomes a time, a UUID or a network, which
    -- hold no text. Any other string is masked.
    return query
    select
        l.ordinal, w.parts[1], t.types, strpos(w.parts[3], '!') > 0, strpos(w.parts[3], '=') > 0,
        case
            when t.types && '{any,object}' then 'document'
            when t.types && '{string}' and strpos(w.parts[3], '-') = 0 then 'text'
            else 'other'
        end
    from (
        values
            ('tool_usage', 'bcp_name string !=|tool_name string !=|operation string =|start_time string -'
                || '|end_time string -'
                || '|duration_ms number|success boolean|outcome string|error_type string|error_message string'
                || '|parameters any|response_data any|request_bytes number|response_bytes number|response_tokens number'
                || '|user_id string,number =|session_id string,number =|conversation_id string,number ='
                || '|request_id string,number|trace_id string|client_name string|client_version string'
                || '|client_model string|release string'
                || '|ip_address string -|user_agent string|event_id string -|intent string'),
            ('errors', 'level string !|message string !|timestamp string -|error_type string|error_code string,number'
                || '|stack_trace string|fingerprint string|bcp_name string|tool_name string|operation string'
                || '|context object|tool_context object|user_id string,number =|session_id string,number ='
                || '|conversation_id string,number =|client_name string|request_id string,number|trace_id string'
                || '|release string|event_id string -'),
            ('metrics', 'metric_name string !=|metric_value number !|timestamp string -|labels object'
                || '|aggregation_period string|event_id string -'),
            ('sessions', 'session_id string,number !=|user_id string,number =|client_name string|client_version string'
                || '|ip_address string -|user_agent string|started_at string -|last_activity string -'
                || '|ended_at string -')
    ) as k (kind, fields)
    cross join lateral string_to_table(k.fields, '|') with ordinality as l (line, ordinal)
    cross join lateral (select string_to_array(l.line || ' ', ' ')) as w (parts)
    cross join lateral (select string_to_array(w.parts[2], ',')) as t (types)
    where k.kind = p_kind;
end
$func$;

comment on function bcp_internal.event_fields(text) is
    'The fields that an event of a kind may have; of each the JSON types that it may have, whether it is required, '
    'whether it is an id or name of at most 500 characters, and what it holds: text or a document, which are masked, '
    'or something else.';

-- Generated from bcp_internal.event_fields, because every batch asks for these.
do $block$
declare
    v_shapes text;
    v_names text;
    v_quick text;
begin
    select
        string_agg(format('when %L then %L::jsonpath', k.kind, k.shape), ' '),
        string_agg(format('when %L then %L::text[]', k.kind, k.names), ' '),
        string_agg(
            format('when %L then required := %L; others := %L; shape := %L;', k.kind, k.required, k.others, k.quick),
            ' ')
    into strict v_shapes, v_names, v_quick
    from (
        select
            kinds.kind, string_agg(r.is_right, ' && ' order by f.ordinal), array_agg(f.field order by f.ordinal),
            array_agg(f.field) filter (where f.required),
            coalesce(array_agg(f.field) filter (where not f.types && '{string}'), '{}'),
            coalesce(
                string_agg(q.is_right, ' && ' order by f.ordinal) filter (where not f.types && '{string}'),
                '$.type() == "object"')
        from unnest('{tool_usage,errors,metrics,sessions}'::text[]) as kinds (kind)
        cross join lateral bcp_internal.event_fields(kinds.kind) as f
        cross join lateral (
            select string_agg(format('$.%s.type() == "%s"', f.field, name), ' || ') from unnest(f.types) as name
        ) as t (is_type)
        cross join lateral (
            select case
                when f.types = '{any}' then null
                when f.required then format('(%s)', t.is_type)
                -- Most fields are there and right, so that is asked first.
                else format('(%s || !exists($.%s) || $.%s.type() == "null")', t.is_type, f.field, f.field)
            end
        ) as r (is_right)
        -- Looks a field up once. In the lax mode the type of a field that is not there is none at all.
        cross join lateral (
            select case
                when r.is_right is null or f.required then r.is_right
                else (
                    select format('!exists($.%s.type() ? (%s))', f.field, string_agg(format('@ != "%s"', name), ' && '))
                    from unnest(f.types || '{"null"}'::text[]) as name)
            end
        ) as q (is_right)
        group by kinds.kind
    ) as k (kind, shape, names, required, others, quick);
    execute format(
        $statement$
            create or replace function bcp_internal.event_shape(p_kind text) returns jsonpath
            language plpgsql immutable parallel safe
            set search_path = pg_catalog, pg_temp
            as $func$
            begin
                return case p_kind %s end;
            end
            $func$
        $statement$, v_shapes);
    execute format(
        $statement$
            create or replace function bcp_internal.known_fields(p_kind text) returns text[]
            language plpgsql immutable parallel safe
            set search_path = pg_catalog, pg_temp
            as $func$
            begin
                return case p_kind %s end;
            end
            $func$
        $statement$, v_names);
    execute format(
        $statement$
            create or replace function bcp_internal.quick_shape(
                p_kind text, out required text[], out others text[], out shape jsonpath)
            language plpgsql immutable parallel safe
            set search_path = pg_catalog, pg_temp
            as $func$
            begin
                case p_kind %s end case;
            end
            $func$
        $statement$, v_quick);
end
$block$;

comment on function bcp_internal.event_shape(text) is
    'bcp_internal.event_fields as one jsonpath predicate: e @@ shape is true where every field of e has its type.';

comment on function bcp_internal.quick_shape(text) is
    'What tells of most events for less than half of bcp_internal.event_shape that their shape is right: those that '
    'have the required fields, nothing but strings apart from the fields that must be something else (others), and '
    'these of the types that shape asks for.';

create or replace function bcp_internal.has_shape(
    p_event jsonb, p_shape jsonpath, p_required text[], p_others text[], p_quick jsonpath)
returns boolean
language sql immutable parallel safe
as $func$
    -- Without a search_path of its own, so that it is inlined. Strict, because a list of strings passes for strings
    -- otherwise.
    select case
        when p_event operator(pg_catalog.?&) p_required
            and not (p_event operator(pg_catalog.-) p_others)
                operator(pg_catalog.@@) 'strict $.*.type() != "string"'::pg_catalog.jsonpath
            and p_event operator(pg_catalog.@@) p_quick then true
        else p_event operator(pg_catalog.@@) p_shape
    end
$func$;

comment on function bcp_internal.has_shape(jsonb, jsonpath, text[], text[], jsonpath) is
    'Whether an event, an object, has the shape of bcp_internal.event_shape. What bcp_internal.quick_shape returns is '
    'asked first.';

comment on function bcp_internal.known_fields(text) is 'The names of the fields that bcp_internal.event_fields lists.';

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
    'What is wrong with the shape of an event, null where nothing is. It never repeats a value.';
