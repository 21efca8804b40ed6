-- Members of objects whose name tells that their value is sensitive, and lists of such names and values.

create or replace function bcp_internal.is_json_schema(p_value jsonb) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    return jsonb_typeof(p_value) = 'object'
       and p_value ?| '{type,anyOf,oneOf,allOf,$ref,enum}'
       and coalesce(p_value ->> 'type', 'string') ~ '^(?:string|number|integer|boolean|object|array|null|\[.*\])$'
       and p_value - (
           '{type,anyOf,oneOf,allOf,not,$ref,title,description,format,pattern,minLength,maxLength,minimum,maximum,'
           'exclusiveMinimum,exclusiveMaximum,multipleOf,enum,const,default,example,examples,items,minItems,maxItems,'
           'uniqueItems,properties,patternProperties,required,additionalProperties,nullable,deprecated,readOnly,'
           'writeOnly,'
           'contentEncoding,contentMediaType,$comment,$id,$schema,$defs,definitions}')::text[] = '{}';
end
$func$;

comment on function bcp_internal.is_json_schema(jsonb) is
    'Whether a value is the description of a value: {"type": "string", "description": ...}.';

create or replace function bcp_internal.masked_value(
    p_value jsonb, p_action text, p_kind text, p_value_pattern text, p_state bcp_internal.anonymizer_state)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_redacted constant jsonb := '"[REDACTED]"';
    v_text constant text := p_value #>> '{}';
begin
    if p_value in ('null', '""', v_redacted) then
        return p_value;
    elsif bcp_internal.is_json_schema(p_value) then
        -- A schema describes a value and does not hold one, except in its examples.
        return p_value || coalesce((
            select jsonb_object_agg(key, v_redacted)
            from unnest('{default,example,examples,const}'::text[]) as key
            where p_value ? key and p_value -> key not in ('null', '""')), '{}');
    elsif p_value_pattern is not null then
        if jsonb_typeof(p_value) = 'array' then
            return coalesce((
                select jsonb_agg(bcp_internal.masked_value(v, p_action, p_kind, p_value_pattern, p_state) order by n)
                from jsonb_array_elements(p_value) with ordinality as e (v, n)), p_value);
        elsif jsonb_typeof(p_value) not in ('string', 'number') or v_text !~ p_value_pattern then
            return p_value;
        end if;
    end if;
    if p_action = 'hash' and jsonb_typeof(p_value) in ('string', 'number') then
        if strpos(v_text, '#k') > 0 and v_text ~ ('^(?:' || p_state.hashed || ')$') then
            return p_value;
        end if;
        return to_jsonb(bcp_internal.pseudonym(p_kind, v_text));
    end if;
    return v_redacted;
end
$func$;

comment on function bcp_internal.masked_value(jsonb, text, text, text, bcp_internal.anonymizer_state) is
    'What takes the place of the value of a sensitive key.';

create or replace function bcp_internal.mask_members(
    p_parents integer[], p_keys text[], p_docs jsonb[], p_seen bcp_internal.seen_by_gates,
    p_state bcp_internal.anonymizer_state)
returns table (n bigint, masked jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_names constant text[] := p_state.name_keys || p_state.value_keys;
    v_blank constant text := E' \t\n\r\f\x0b';
begin
    -- Most levels have nothing, which the gates know from all keys of the batch. A key that is not sensitive where its
    -- value is a string is so nowhere.
    if not p_seen.has_pairs
        and not exists (
            select from unnest(p_keys) as k (key)
            where k.key is not null and k.key not in (select unnest(p_seen.plain_keys)))
    then
        return;
    end if;
    return query
    with members as materialized (
        select
            m.n, m.parent, m.key, m.doc,
            -- A number that long is no count, and may become a string.
            case
                when jsonb_typeof(doc) = 'number' and length(doc::text) >= 13 then 'string'
                when jsonb_typeof(doc) = 'number' and length(split_part(ltrim(doc::text, '-'), '.', 1)) <= 2
                    then 'count'
                else jsonb_typeof(doc)
            end as type
        from unnest(p_parents, p_keys, p_docs) with ordinality as m (parent, key, doc, n)
        where m.key is not null
    ), plain as materialized (
        select k.key, p.plain
        from (select distinct members.key from members where p_seen.has_pairs is not false) as k
        cross join lateral bcp_internal.plain_key(k.key) as p (plain)
        where p.plain = any (v_names)
    ), named as materialized (
        -- Names that stand apart from their values.
        select
            v.n, v.type,
            case when k.is_path then regexp_replace(s.name, '^.*[/.]', '') else s.name end as key
        from members m
        join plain mp on mp.key = m.key
        join bcp.name_value_keys k on k.name_key = mp.plain
        cross join lateral (
            select case
                when jsonb_typeof(m.doc) = 'string' then m.doc #>> '{}'
                when k.is_path then (
                    select e.step #>> '{}'
                    from jsonb_array_elements(case jsonb_typeof(m.doc) when 'array' then m.doc else '[]' end)
                        with ordinality as e (step, n)
                    where jsonb_typeof(e.step) = 'string'
                    order by e.n desc
                    limit 1)
            end
        ) as s (name)
        join members v on v.parent = m.parent and v.n <> m.n
        join plain vp on vp.key = v.key and vp.plain = any (k.value_keys)
        where length(s.name) <= 60
          and (k.beside is null or exists (select from members b where b.parent = m.parent and lower(b.key) = k.beside))
    ), asked as materialized (
        select d.key, d.type, row_number() over () as i
        from (
            select key, type from members where key not in (select unnest(p_seen.plain_keys))
            union
            -- A sentence is not a name.
            select key, type
            from (select distinct named.key, named.type from named) as d
            where d.key <> ''
              and d.key = btrim(d.key, v_blank)
              and cardinality(array_remove(
                  string_to_array(translate(d.key, v_blank, repeat(' ', length(v_blank))), ' '), '')) <= 4
        ) as d
    ), classified as materialized (
        select a.key, a.type, c.action, c.kind, c.value_pattern
        from (select array_agg(key order by i) as keys, array_agg(type order by i) as types from asked) as l
        cross join lateral bcp_internal.classify_keys(l.keys, l.types, p_state) as c
        join asked a on a.i = c.n
    )
    select m.n, v.masked
    from (
        select distinct on (f.n) f.n, c.action, c.kind, c.value_pattern
        from (select members.n, key, type from members union all select named.n, key, type from named) as f
        join classified c using (key, type)
        order by f.n, c.value_pattern is not null, c.action desc
    ) as w
    join members m using (n)
    cross join lateral bcp_internal.masked_value(m.doc, w.action, w.kind, w.value_pattern, p_state) as v (masked)
    where v.masked <> m.doc;
end
$func$;

comment on function bcp_internal.mask_members(
    integer[], text[], jsonb[], bcp_internal.seen_by_gates, bcp_internal.anonymizer_state) is
    'Of the members of objects, each given by the number of its object, its key and its value, those whose value is to '
    'be masked, with what takes its place. p_seen is what the gates saw of all documents that these members are of.';

create or replace function bcp_internal.lists_in(p_values jsonb[]) returns table (n bigint, value jsonb)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    return query
    select e.n, e.v
    from unnest(p_values) with ordinality as e (v, n)
    where case jsonb_typeof(v)
        when 'array' then
            case jsonb_typeof(v -> 0)
                when 'array' then jsonb_typeof(v -> 0 -> 0) = 'string'
                when 'string' then v -> 1 is not null
                else false
            end
        when 'object' then v ?| '{rows,data,values,records,results,items,tuples,body,Rows,Data,Values}'
            or v ?| '{sql,query,statement,stmt,text,command}'
            and v ?| '{params,parameters,args,arguments,binds,bindings,vars}'
        else false
    end;
end
$func$;

comment on function bcp_internal.lists_in(jsonb[]) is
    'Those of the values that may be a list that bcp_internal.mask_lists knows, with their numbers.';

create or replace function bcp_internal.mask_pairs(p_value jsonb, p_state bcp_internal.anonymizer_state) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_names text[];
begin
    if exists (
        select from jsonb_array_elements(p_value) as e
        where case
            when jsonb_typeof(e) = 'array' then jsonb_array_length(e) <> 2 or jsonb_typeof(e -> 0) <> 'string'
            else true
        end)
    then
        return p_value;
    end if;
    v_names := array(select left(e ->> 0, 60) from jsonb_array_elements(p_value) as e);
    return (
        select jsonb_agg(case
                when c.n is null then e
                else jsonb_build_array(
                    e -> 0, bcp_internal.masked_value(e -> 1, c.action, c.kind, c.value_pattern, p_state))
            end order by o)
        from jsonb_array_elements(p_value) with ordinality as p (e, o)
        left join bcp_internal.classify_keys(
            v_names, array_fill('string'::text, array[cardinality(v_names)]), p_state) as c
            on c.n = o);
end
$func$;

comment on function bcp_internal.mask_pairs(jsonb, bcp_internal.anonymizer_state) is
    'A list of pairs of a name and a value, [["name", "value"], ...], masked; any other list as it is.';

create or replace function bcp_internal.mask_command_line(p_value jsonb, p_state bcp_internal.anonymizer_state)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_between constant text := E' \t';
    v_words text[];
    v_text text;
begin
    -- To the rules a command line that is a list is one text.
    v_words := array(select e #>> '{}' from jsonb_array_elements(p_value) as e);
    v_text := array_to_string(v_words, v_between);
    if p_value::text !~ '"(?:--?|/[a-z]+:)[A-Za-z]|", "[^"]*=|"[A-Za-z-]+: '
        and v_text !~ '^[a-z0-9_./-]+ \t[a-z]+ \t'
    then
        return p_value;
    end if;
    if strpos(array_to_string(v_words, ''), v_between) > 0
        or exists (select from jsonb_array_elements(p_value) as e where jsonb_typeof(e) not in ('string', 'number'))
    then
        return p_value;
    end if;
    v_text := (bcp_internal.mask_texts(array[v_text], p_state))[1];
    v_words := string_to_array(v_text, v_between);
    if cardinality(v_words) <> jsonb_array_length(p_value) then
        return '"[REDACTED]"';
    end if;
    return (
        select jsonb_agg(case when w = e #>> '{}' then e else to_jsonb(w) end order by n)
        from jsonb_array_elements(p_value) with ordinality as p (e, n)
        join unnest(v_words) with ordinality as words (w, n) using (n));
end
$func$;

comment on function bcp_internal.mask_command_line(jsonb, bcp_internal.anonymizer_state) is
    'A command line as a list, ["curl", "-u", "name:password"], masked; any other list as it is.';

create or replace function bcp_internal.mask_columns(p_value jsonb, p_state bcp_internal.anonymizer_state) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_redacted constant jsonb := '"[REDACTED]"';
    v_value jsonb := p_value;
    v_names text[];
    v_found integer[];
    v_rows jsonb;
    v_pair record;
begin
    for v_pair in
        -- A single row may stand without a list around it: {"columns": ["id", "password"], "values": [1, "x"]}.
        select
            c.value as columns, r.key, jsonb_typeof(r.value -> 0) <> 'array' as is_row,
            case when jsonb_typeof(r.value -> 0) = 'array' then r.value else jsonb_build_array(r.value) end as rows
        from jsonb_each(p_value) as c
        join bcp.name_value_keys k on k.name_key = bcp_internal.plain_key(c.key)
        join jsonb_each(p_value) as r on lower(r.key) = any (k.value_keys)
        where jsonb_typeof(c.value) = 'array'
          and jsonb_typeof(r.value) = 'array'
          and r.key <> c.key
          and case
              when jsonb_typeof(r.value -> 0) = 'array' then true
              when jsonb_typeof(r.value -> 0) = 'object' then false
              when jsonb_typeof(c.value) = 'array' and jsonb_typeof(r.value) = 'array'
                  then jsonb_array_length(r.value) = jsonb_array_length(c.value)
          end
    loop
        v_names := array(
            select coalesce(left(case jsonb_typeof(e)
                when 'object' then coalesce(e ->> 'name', e ->> 'field', e ->> 'column_name')
                else e #>> '{}'
            end, 60), '')
            from jsonb_array_elements(v_pair.columns) as e);
        v_found := array(
            select c.n
            from bcp_internal.classify_keys(
                v_names, array_fill('string'::text, array[cardinality(v_names)]), p_state) as c
            where c.value_pattern is null);
        continue when v_found = '{}';
        v_rows := (
            select jsonb_agg(case
                    when jsonb_typeof(row) <> 'array' then row
                    else (
                        select coalesce(
                            jsonb_agg(
                                case when i = any (v_found) and e <> 'null' then v_redacted else e end order by i),
                            '[]')
                        from jsonb_array_elements(row) with ordinality as cell (e, i))
                end order by o)
            from jsonb_array_elements(v_pair.rows) with ordinality as r (row, o));
        v_value := jsonb_set(v_value, array[v_pair.key], case when v_pair.is_row then v_rows -> 0 else v_rows end);
    end loop;
    return v_value;
end
$func$;

comment on function bcp_internal.mask_columns(jsonb, bcp_internal.anonymizer_state) is
    'An object of columns and rows, {"columns": ["id", "password"], "rows": [[1, "x"]]}, masked; any other object as '
    'it is.';

create or replace function bcp_internal.mask_lists(p_value jsonb, p_state bcp_internal.anonymizer_state) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    return case
        when jsonb_typeof(p_value) <> 'array'
            then bcp_internal.mask_parameters(bcp_internal.mask_columns(p_value, p_state), p_state)
        when jsonb_typeof(p_value -> 0) = 'array' then bcp_internal.mask_pairs(p_value, p_state)
        else bcp_internal.mask_command_line(p_value, p_state)
    end;
end
$func$;

comment on function bcp_internal.mask_lists(jsonb, bcp_internal.anonymizer_state) is
    'A list of pairs of a name and a value, a command line as a list, or an object of columns and rows, masked.';
