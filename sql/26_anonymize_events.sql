-- Events as JSON through the anonymiser. A field of text is masked as a value without a name, since its name says
-- nothing of what is in it, and might itself be a sensitive key of a document. Documents, and fields that nobody knows,
-- are masked with their keys. Tool calls have a quicker way of their own, as rows: sql/26_anonymize_tool_calls.sql.

create or replace function bcp_internal.event_parts(
    p_kind text, p_events jsonb[], p_ids text[], p_max_text integer, p_max_document integer, p_rejected boolean,
    out events bigint[], out names text[], out docs jsonb[], out large boolean[], out texts text[], out too_long text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with fields as materialized (
        select
            d.o, f.key, f.value,
            -- A rejected event may hold anything anywhere.
            case
                when k.field is null then 'unknown'
                when k.content = 'other' and p_rejected then 'text'
                else k.content
            end as content
        from unnest(p_events) with ordinality as d (event, o)
        cross join lateral jsonb_each(d.event) as f (key, value)
        left join bcp_internal.event_fields(p_kind) as k on k.field = f.key
        where k.field is null or f.value <> 'null'
    ), unknown as (
        select o, jsonb_object_agg(key, value) as doc from fields where content = 'unknown' group by o
    ), parts as (
        select
            o, null as name, jsonb_object_agg(key, value) as doc, string_agg(value::text, '') as text,
            coalesce(bool_or(octet_length(value #>> '{}') > p_max_text and key <> all (p_ids)), false) as is_large,
            max(key) filter (where key = any (p_ids) and length(value #>> '{}') > 500) as too_long
        from fields
        where content = 'text'
        group by o
        union all
        select o, key, value, value::text, octet_length(value::text) > p_max_document, null
        from fields
        where content = 'document'
        union all
        select o, '', doc, doc::text, octet_length(doc::text) > p_max_document, null from unknown
    )
    select
        array_agg(o), array_agg(name), array_agg(doc), array_agg(is_large),
        coalesce(array_agg(case when is_large then '' else text end), '{}'), min(too_long)
    from parts
$func$;

comment on function bcp_internal.event_parts(text, jsonb[], text[], integer, integer, boolean) is
    'What of events may have something to mask: of each event all its fields of text together (name null), each '
    'document, and the fields that nobody knows as one document (name empty). large says which are too large to be '
    'looked at, and have no text here; too_long names an id, one of p_ids, of more than 500 characters.';

create or replace function bcp_internal.fields_to_mask(
    p_events bigint[], p_names text[], p_docs jsonb[], p_large boolean[], p_unclean integer[], p_ids text[],
    p_max_text integer, p_max_document integer, p_max_depth integer, p_rejected boolean,
    out events bigint[], out names text[], out are_text boolean[], out docs jsonb[], out bytes integer[])
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select
        array_agg(v.o), array_agg(v.key), array_agg(v.is_text),
        array_agg(case
            when v.bytes is null then v.value
            when v.is_text then to_jsonb(bcp_internal.cut_text(v.value #>> '{}', 2 * p_max_text))
            else bcp_internal.cut_json(v.value, 2 * p_max_document, p_max_depth)
        end),
        array_agg(v.bytes)
    from (
        select
            u.o, t.key, t.value, t.is_text,
            case
                when not t.is_text and octet_length(t.value::text) > 2 * p_max_document
                    then octet_length(t.value::text)
                when t.is_text and octet_length(t.value #>> '{}') > 2 * p_max_text and t.key <> all (p_ids)
                    then octet_length(t.value #>> '{}')
            end
        from unnest(p_events, p_names, p_docs, p_large) with ordinality as u (o, name, doc, is_large, part)
        cross join lateral (
            -- A number is stored as text.
            select key, x.value, jsonb_typeof(x.value) = 'string'
            from jsonb_each(case when u.name is null then u.doc else '{}' end) as f (key, value)
            cross join lateral (
                select case
                    when jsonb_typeof(f.value) = 'number' and not p_rejected then to_jsonb(f.value #>> '{}')
                    else f.value
                end
            ) as x (value)
            union all
            select u.name, u.doc, false where u.name is not null
        ) as t (key, value, is_text)
        where u.is_large or u.part = any (p_unclean)
    ) as v (o, key, value, is_text, bytes)
$func$;

comment on function bcp_internal.fields_to_mask(
    bigint[], text[], jsonb[], boolean[], integer[], text[], integer, integer, integer, boolean) is
    'The fields of those parts of bcp_internal.event_parts that are large or that the gates let through (p_unclean). '
    'What is much too large is cut before it is masked; bytes is then the size it had, so that it can be marked.';

create or replace function bcp_internal.mask_events(p_kind text, p_events jsonb[], p_rejected boolean default false)
returns table (n bigint, raw jsonb, whole jsonb, e jsonb, attributes jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, and PostgreSQL finds an element of it by counting from its start.
set plan_cache_mode = force_generic_plan
-- The planner expects many rows from functions that return few, and then compiles the query, which takes a second.
set jit = off
as $func$
declare
    v_max_document constant integer := bcp_internal.setting('max_document_bytes');
    v_max_text constant integer := bcp_internal.setting('max_text_bytes');
    v_max_depth constant integer := bcp_internal.setting('max_json_depth');
    v_known constant text[] := bcp_internal.known_fields(p_kind);
    -- An id that is too long is refused, not cut: two ids may begin alike.
    v_ids constant text[] := array(select field from bcp_internal.event_fields(p_kind) where is_id and not p_rejected);
    v_state bcp_internal.anonymizer_state;
    v_parts record;
    u record;
    v_seen bcp_internal.seen_by_gates;
    v_fields record;
    v_masked jsonb[];
begin
    v_state := bcp_internal.load_anonymizer();
    v_parts := bcp_internal.event_parts(p_kind, p_events, v_ids, v_max_text, v_max_document, p_rejected);
    if v_parts.too_long is not null then
        raise exception using errcode = 'ZB005', message = v_parts.too_long || ' is longer than 500 characters';
    end if;
    u := bcp_internal.unclean_documents(v_parts.texts, '{}', v_max_depth, v_state);
    v_fields := bcp_internal.fields_to_mask(
        v_parts.events, v_parts.names, v_parts.docs, v_parts.large, u.numbers, v_ids, v_max_text, v_max_document,
        v_max_depth, p_rejected);
    v_seen := u.seen;
    if true = any (v_parts.large) then
        -- The gates have not seen what is large.
        v_seen.has_pairs := null;
    end if;
    if v_fields.docs is not null then
        v_masked := bcp_internal.mask_documents(v_fields.docs, v_max_depth, v_seen, v_state);
    end if;
    return query
        with masked as materialized (
            select
                m.o, jsonb_object_agg(m.key, m.value) filter (where m.key <> '') as whole,
                jsonb_object_agg(m.key, c.value) filter (where m.key <> '') as cut,
                (array_agg(c.value) filter (where m.key = ''))[1] as unknown
            from unnest(v_fields.events, v_fields.names, v_fields.are_text, v_fields.bytes, v_masked)
                as m (o, key, is_text, bytes, value)
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
    'Of each event its number; raw, as it came; whole, with its known fields masked; e, the same cut to size; and '
    'attributes, its other fields, masked and cut, null where there are none. Of a rejected event (p_rejected) the '
    'fields that would become a time, a number or an address are masked too.';
