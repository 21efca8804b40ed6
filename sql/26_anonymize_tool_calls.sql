-- Tool calls through the anonymiser. Most events are tool calls, so they are masked as rows and not as JSON, many at
-- once.

create or replace function bcp_internal.model_bytes(p_answer jsonb) returns integer
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when p_answer -> 'content' -> 0 ? 'type' then (
            select sum(case
                when jsonb_typeof(part -> 'text') = 'string' then octet_length(part ->> 'text')
                when jsonb_typeof(part #> '{resource,text}') = 'string' then octet_length(part #>> '{resource,text}')
                when part -> 'type' in ('"image"', '"audio"') or part #> '{resource,blob}' is not null then 0
                else octet_length(part::text)
            end)::integer
            from jsonb_array_elements(p_answer -> 'content') as part)
        when jsonb_typeof(p_answer -> 'structuredContent') = 'object' and coalesce(p_answer -> 'content', '[]') = '[]'
            then octet_length((p_answer -> 'structuredContent')::text)
        else octet_length(p_answer::text)
    end
$func$;

comment on function bcp_internal.model_bytes(jsonb) is
    'How many bytes of an answer reach a model as text. Of the answer of an MCP tool only its content counts, because '
    'structuredContent repeats that for programs; images and sound in it are no text. Any other answer counts whole.';

-- Generated, because an expression that names each column costs a tenth of one that goes through all columns of a row.
-- The fields of text are the columns of the type that hold text: a new one is masked unless bcp_internal.event_fields
-- says that it becomes something else.
do $block$
declare
    v_texts text[];
    v_ids text[];
    v_names text;
begin
    select
        array_agg(a.attname::text order by a.attnum),
        array_agg(a.attname::text order by a.attnum) filter (where f.is_id)
    into strict v_texts, v_ids
    from pg_catalog.pg_attribute a
    left join bcp_internal.event_fields('tool_usage') f on f.field = a.attname
    where a.attrelid = 'bcp.tool_call'::regclass
      and a.attnum > 0
      and not a.attisdropped
      -- Types that hold no text, and documents.
      and a.atttypid <> all ('{timestamptz,double precision,boolean,bigint,inet,jsonb}'::regtype[])
      and coalesce(f.content, 'text') <> 'other';
    if exists (
        select from pg_catalog.pg_attribute a
        where a.attrelid = 'bcp.tool_call'::regclass
          and a.atttypid = 'jsonb'::regtype
          and a.attname not in ('parameters', 'response_data', 'attributes'))
    then
        raise exception 'bcp.tool_call has a document that bcp_internal.call_texts and mask_tool_calls do not know';
    end if;
    select string_agg(format('c.%I', field), ', ') into v_names from unnest(v_texts) as field;
    execute format(
        $statement$
            create or replace function bcp_internal.call_texts(
                p_calls bcp.tool_call[], p_max_text integer, out docs text[], out texts text[], out json_texts text[],
                out large integer[], out parameter_bytes integer[], out response_bytes integer[],
                out longest_document integer, out text_fields text[], out id_fields text[])
            language plpgsql stable
            set search_path = pg_catalog, pg_temp
            as $func$
            begin
                text_fields := %2$L;
                id_fields := %3$L;
                select
                    array_agg(coalesce(t.p, '')) || array_agg(coalesce(t.r, ''))
                        || case when max(octet_length(t.a)) > 0 then array_agg(coalesce(t.a, '')) end,
                    array_agg(octet_length(t.p)), array_agg(coalesce(t.model_bytes, octet_length(t.r))),
                    greatest(max(octet_length(t.p)), max(octet_length(t.r)), max(octet_length(t.a))),
                    coalesce(array_agg(t.n) filter (where t.is_large), '{}')
                into docs, parameter_bytes, response_bytes, longest_document, large
                from (
                    select
                        c.ordinality::integer as n, octet_length(concat(%1$s)) > p_max_text as is_large,
                        nullif(c.parameters, 'null')::text as p, nullif(c.response_data, 'null')::text as r,
                        c.attributes::text as a,
                        case
                            when c.response_data ?| '{content,structuredContent}'
                                then bcp_internal.model_bytes(c.response_data)
                        end
                            as model_bytes
                    from unnest(p_calls) with ordinality as c
                    order by c.ordinality
                ) as t;
                select
                    coalesce(array_agg(v.text) filter (where left(ltrim(v.text, E' \t\r\n'), 1) not in ('{', '[', '"')),
                        '{}'),
                    coalesce(array_agg(v.text) filter (where left(ltrim(v.text, E' \t\r\n'), 1) in ('{', '[', '"')),
                        '{}')
                into texts, json_texts
                from (
                    -- Not VALUES, whose expressions PostgreSQL makes ready anew for each call.
                    select distinct f.text
                    from unnest(p_calls) with ordinality as c
                    cross join lateral (select unnest(array[%1$s]) as text) as f
                    where f.text <> '' and (large = '{}' or c.ordinality <> all (large))
                ) as v;
            end
            $func$
        $statement$, v_names, v_texts, v_ids);
    execute format(
        $statement$
            create or replace function bcp_internal.calls_with(p_calls bcp.tool_call[], p_texts text[])
            returns integer[]
            language plpgsql immutable parallel safe
            set search_path = pg_catalog, pg_temp
            as $func$
            begin
                if p_texts = '{}' then
                    return '{}';
                end if;
                return array(
                    select distinct c.ordinality::integer
                    from unnest(p_calls) with ordinality as c
                    cross join lateral (select unnest(array[%s]) as text) as f
                    where f.text in (select unnest(p_texts)));
            end
            $func$
        $statement$, v_names);
end
$block$;

comment on function bcp_internal.call_texts(bcp.tool_call[], integer) is
    'Of n calls their documents, as text: parameters, 1 to n, then answers, then attributes where any call has some; '
    'all their fields of text, each value once, those apart that may be JSON; and the numbers of the calls whose '
    'fields of text are longer than p_max_text bytes, and so not among these (large). With the sizes of parameters and '
    'answers, and of the longest document, in bytes; the names of the fields of text, and of those that are ids.';

comment on function bcp_internal.calls_with(bcp.tool_call[], text[]) is
    'Numbers of the calls that have one of these texts as a field of text.';

create or replace function bcp_internal.error_members(p_answer jsonb, p_max_bytes integer, p_max_depth integer)
returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select jsonb_object_agg(key, bcp_internal.cut_json(value, p_max_bytes, p_max_depth))
    from jsonb_each(case jsonb_typeof(p_answer) when 'object' then p_answer else '{}' end)
    where key = 'error' or key in ('isError', 'is_error') and jsonb_typeof(value) = 'boolean'
$func$;

comment on function bcp_internal.error_members(jsonb, integer, integer) is
    'The members at the top of an answer that tell whether it is an error, wherever in it they stand; null where it '
    'has none.';

create or replace function bcp_internal.call_parts_to_mask(
    p_calls bcp.tool_call[], p_parts integer[], p_text_fields text[], p_id_fields text[], p_parameter_bytes integer[],
    p_response_bytes integer[], p_max_text integer, p_max_document integer, p_max_depth integer,
    out numbers integer[], out names text[], out docs jsonb[], out bytes integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    with calls as (
        select cardinality(p_calls) as n
    )
    select
        array_agg(v.n), array_agg(v.name),
        array_agg(case
            when v.bytes is null then v.value
            when v.name = any (p_text_fields) then to_jsonb(bcp_internal.cut_text(v.value #>> '{}', 2 * p_max_text))
            else bcp_internal.cut_json(v.value, 2 * p_max_document, p_max_depth)
        end),
        array_agg(v.bytes)
    into numbers, names, docs, bytes
    from (
        select
            (u.k - 1) % calls.n + 1, m.name, m.value,
            case
                when m.name <> all (p_text_fields) and m.bytes > 2 * p_max_document then m.bytes
                when m.name = any (p_text_fields) and m.name <> all (p_id_fields) and m.bytes > 2 * p_max_text
                    then m.bytes
            end
        from calls
        cross join (select distinct unnest(p_parts)) as u (k)
        cross join lateral (select (p_calls[(u.k - 1) % calls.n + 1]).*) as c
        cross join lateral (
            select field.key, field.value, octet_length(field.value #>> '{}')
            from jsonb_each(case when u.k <= calls.n then to_jsonb(c) else '{}' end) as field
            where field.key = any (p_text_fields)
            union all
            select 'parameters', c.parameters, p_parameter_bytes[u.k - calls.n]
            where u.k between calls.n + 1 and 2 * calls.n
            union all
            select 'response_data', c.response_data, p_response_bytes[u.k - 2 * calls.n]
            where u.k between 2 * calls.n + 1 and 3 * calls.n
            union all
            -- The part that is cut away may be the one that says how the call ended.
            select 'error_members', bcp_internal.error_members(c.response_data, 1000, p_max_depth), null
            where u.k between 2 * calls.n + 1 and 3 * calls.n
              and p_response_bytes[u.k - 2 * calls.n] > 2 * p_max_document
            union all
            select 'attributes', c.attributes, octet_length(c.attributes::text) where u.k > 3 * calls.n
        ) as m (name, value, bytes)
        where m.value <> 'null'
    ) as v (n, name, value, bytes);
end
$func$;

comment on function bcp_internal.call_parts_to_mask(
    bcp.tool_call[], integer[], text[], text[], integer[], integer[], integer, integer, integer) is
    'Of n calls the fields of text (1 to n in p_parts), parameters (n + 1 to 2 n), answers and attributes that p_parts '
    'numbers, each with its call''s number. What is much too large is cut before it is masked; bytes is then the size '
    'it had, so that it can be marked.';

create or replace function bcp_internal.mask_tool_calls(
    p_calls bcp.tool_call[], out calls bcp.tool_call[], out parameters jsonb[], out response_data jsonb[],
    out attributes jsonb[], out answers jsonb[], out request_bytes integer[], out response_bytes integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_max_document constant integer := bcp_internal.setting('max_document_bytes');
    v_max_text constant integer := bcp_internal.setting('max_text_bytes');
    v_max_depth constant integer := bcp_internal.setting('max_json_depth');
    v_count constant integer := cardinality(p_calls);
    v_state bcp_internal.anonymizer_state;
    t record;
    v_count_docs integer;
    u record;
    v_seen bcp_internal.seen_by_gates;
    -- What there is to mask: n a call's fields of text, v_count + n its parameters, and so on.
    v_parts integer[];
    f record;
    v_masked jsonb[];
    v_one record;
    n integer;
begin
    v_state := bcp_internal.load_anonymizer();
    t := bcp_internal.call_texts(p_calls, v_max_text);
    request_bytes := t.parameter_bytes;
    response_bytes := t.response_bytes;
    if t.longest_document > v_max_document then
        select
            array_agg(case when w.is_large then '' else w.doc end order by w.k),
            t.large || array_agg(w.k + v_count) filter (where w.is_large)
        into t.docs, t.large
        from (
            select doc, k::integer, octet_length(doc) > v_max_document
            from unnest(t.docs) with ordinality as a (doc, k)
        ) as w (doc, k, is_large);
    end if;
    u := bcp_internal.unclean_documents(
        t.docs || array(select to_json(j.s)::text from unnest(t.json_texts) with ordinality as j (s, o) order by o),
        t.texts, v_max_depth, v_state);
    if u.numbers = '{}' then
        v_parts := bcp_internal.calls_with(p_calls, u.texts) || t.large;
    else
        v_count_docs := cardinality(t.docs);
        v_parts := array(select k + v_count from unnest(u.numbers) as k where k <= v_count_docs) || t.large
            || bcp_internal.calls_with(
                p_calls,
                u.texts || array(
                    select t.json_texts[k - v_count_docs] from unnest(u.numbers) as k where k > v_count_docs));
    end if;
    calls := p_calls;
    parameters := array_fill(null::jsonb, array[v_count]);
    response_data := parameters;
    attributes := parameters;
    answers := parameters;
    if v_parts = '{}' then
        return;
    end if;
    v_seen := u.seen;
    if t.large <> '{}' then
        -- The gates have not seen what is large.
        v_seen.has_pairs := null;
    end if;
    f := bcp_internal.call_parts_to_mask(
        p_calls, v_parts, t.text_fields, t.id_fields, t.parameter_bytes, t.response_bytes, v_max_text,
        v_max_document, v_max_depth);
    v_masked := bcp_internal.mask_documents(f.docs, v_max_depth, v_seen, v_state);
    for v_one in
        select m.n, m.name, m.value, m.bytes
        from unnest(f.numbers, f.names, v_masked, f.bytes) as m (n, name, value, bytes)
        where m.name <> all (t.text_fields)
        union all
        select m.n, null, jsonb_object_agg(
            m.name,
            case
                when m.name = any (t.id_fields) then m.value
                else to_jsonb(bcp_internal.truncate_text(m.value #>> '{}', v_max_text, m.bytes))
            end), null
        from unnest(f.numbers, f.names, v_masked, f.bytes) as m (n, name, value, bytes)
        where m.name = any (t.text_fields)
        group by m.n
    loop
        n := v_one.n;
        case v_one.name
            when 'parameters' then
                parameters[n] := bcp_internal.truncate_json(v_one.value, v_max_document, v_one.bytes);
            when 'response_data' then
                response_data[n] := bcp_internal.truncate_json(v_one.value, v_max_document, v_one.bytes);
                answers[n] := v_one.value;
            when 'error_members' then
                -- They come after the answer that they belong to.
                answers[n] := case jsonb_typeof(answers[n])
                    when 'object' then answers[n] || v_one.value
                    else v_one.value
                end;
            when 'attributes' then
                attributes[n] := bcp_internal.truncate_json(v_one.value, v_max_document, v_one.bytes);
            else
                calls[n] := jsonb_populate_record(calls[n], v_one.value);
        end case;
    end loop;
exception
    when sqlstate 'ZB003' or sqlstate 'ZB005' or sqlstate 'ZB006' then
        raise;
    when others then
        perform bcp_internal.anonymizer_failed(sqlstate);
end
$func$;

comment on function bcp_internal.mask_tool_calls(bcp.tool_call[]) is
    'Tool calls with their fields of text masked and cut to size. Beside them, null where nothing had to change: their '
    'parameters, answers (response_data) and attributes, masked and cut; and the answers masked but not cut. And the '
    'sizes of parameters and answers as they came.';
