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
    execute format(
        $statement$
            create or replace function bcp_internal.call_texts(
                p_calls bcp.tool_call[], out texts text[], out parameter_bytes integer[], out response_bytes integer[],
                out longest_text integer, out longest_document integer, out text_fields text[], out id_fields text[])
            language plpgsql stable
            set search_path = pg_catalog, pg_temp
            as $func$
            begin
                text_fields := %2$L;
                id_fields := %3$L;
                select
                    array_agg(t.short) || array_agg(coalesce(t.p, '')) || array_agg(coalesce(t.r, ''))
                        || array_agg(coalesce(t.a, '')),
                    array_agg(octet_length(t.p)), array_agg(coalesce(t.model_bytes, octet_length(t.r))),
                    max(octet_length(t.short)),
                    greatest(max(octet_length(t.p)), max(octet_length(t.r)), max(octet_length(t.a)))
                into texts, parameter_bytes, response_bytes, longest_text, longest_document
                from (
                    select
                        concat(%1$s) as short, nullif(c.parameters, 'null')::text as p,
                        nullif(c.response_data, 'null')::text as r, c.attributes::text as a,
                        case
                            when c.response_data ?| '{content,structuredContent}'
                                then bcp_internal.model_bytes(c.response_data)
                        end
                            as model_bytes
                    from unnest(p_calls) with ordinality as c
                    order by c.ordinality
                ) as t;
            end
            $func$
        $statement$,
        (select string_agg(format('to_json(c.%I)', field), ', ') from unnest(v_texts) as field), v_texts, v_ids);
end
$block$;

comment on function bcp_internal.call_texts(bcp.tool_call[]) is
    'Of n calls the texts that may have something to mask: the fields of text of each, 1 to n; then their parameters, '
    'n + 1 to 2 n, their answers and their attributes. With the sizes of parameters and answers, and of the longest '
    'text and document, in bytes; the names of the fields of text, and of those that are ids.';

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
    'The fields and documents of those parts of bcp_internal.call_texts that p_parts numbers, each with its call''s '
    'number. What is much too large is cut before it is masked; bytes is then the size it had, so that it can be '
    'marked.';

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
    v_large integer[] := '{}';
    u record;
    f record;
    v_masked jsonb[];
    v_one record;
    n integer;
begin
    v_state := bcp_internal.load_anonymizer();
    t := bcp_internal.call_texts(p_calls);
    request_bytes := t.parameter_bytes;
    response_bytes := t.response_bytes;
    if t.longest_text > v_max_text or t.longest_document > v_max_document then
        select
            array_agg(case when w.is_large then '' else w.text end order by w.k),
            coalesce(array_agg(w.k) filter (where w.is_large), '{}')
        into t.texts, v_large
        from (
            select text, k, octet_length(text) > case when k <= v_count then v_max_text else v_max_document end
            from unnest(t.texts) with ordinality as a (text, k)
        ) as w (text, k, is_large);
    end if;
    u := bcp_internal.unclean_documents(t.texts, v_max_depth, v_state);
    calls := p_calls;
    parameters := array_fill(null::jsonb, array[v_count]);
    response_data := parameters;
    attributes := parameters;
    answers := parameters;
    if u.numbers = '{}' and v_large = '{}' then
        return;
    end if;
    f := bcp_internal.call_parts_to_mask(
        p_calls, u.numbers || v_large, t.text_fields, t.id_fields, t.parameter_bytes, t.response_bytes, v_max_text,
        v_max_document, v_max_depth);
    v_masked := bcp_internal.mask_documents(f.docs, v_max_depth, u.clean, v_state);
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
