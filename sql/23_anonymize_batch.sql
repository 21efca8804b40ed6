-- The anonymiser for many documents at once. Most have nothing to mask, and what shows that costs a fraction of
-- masking: the distinct keys of the batch are looked at once, and the expressions for words run over many
-- documents at a time, since PostgreSQL builds an expression's automaton anew at every call.

create or replace function bcp_internal.batch_keys(p_texts text[], p_state bcp_internal.anonymizer_state)
returns table (n bigint, suspicious boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- In the text of JSON, and of JSON in its strings, a key stands between a quote and a quote with a colon. The
    -- piece after the last of these holds none.
    with pieces as materialized (
        select t.n, rtrim(split_part(piece, '"', -1), '\') as key
        from unnest(p_texts) with ordinality as t (doc, n)
        cross join lateral unnest(trim_array(string_to_array(t.doc, '":'), 1)) as piece
    ), known as materialized (
        -- 1: sensitive. 2 and 4: of an object like {"name": "password", "value": ...}.
        select key, bcp_internal.is_sensitive_key(key, 'string', p_state)::integer
            | case when key in ('value', 'Value', 'v') then 2 else 0 end
            | case when key in ('name', 'Name', 'key', 'Key', 'header', 'field', 'k') then 4 else 0 end as flags
        from pieces
        group by key
    )
    select p.n, bit_or(k.flags) & 1 = 1 or bit_or(k.flags) & 6 = 6
    from pieces p
    join known k using (key)
    where k.flags > 0
    group by p.n
$func$;

comment on function bcp_internal.batch_keys(text[], bcp_internal.anonymizer_state) is
    'Of each text of JSON that has a sensitive key, or keys of a name and a value: its number, and whether that calls for masking.';

create or replace function bcp_internal.clean_batch(
    p_texts text[], p_max_depth integer, p_state bcp_internal.anonymizer_state)
returns boolean[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_clean boolean[] := array_fill(false, array[cardinality(p_texts)]);
    v_suspicious boolean[] := array_fill(false, array[cardinality(p_texts)]);
    v_words boolean;
    v_doc text collate "C";
    v_lower text collate "C";
    v_row record;
begin
    if p_state.text_gates is null then
        return v_clean;
    end if;
    for v_row in select n from bcp_internal.batch_keys(p_texts, p_state) where suspicious loop
        v_suspicious[v_row.n] := true;
    end loop;
    -- As bcp_internal.is_clean for each of them; where in doubt, not clean.
    for i in 1..cardinality(p_texts) loop
        if i % 32 = 1 then
            v_words := lower(array_to_string(p_texts[i:i + 31], E'\n') collate "C") ~ p_state.word_gate;
        end if;
        continue when v_suspicious[i];
        v_doc := p_texts[i];
        continue when octet_length(v_doc) <> length(v_doc)
            or (strpos(v_doc, '\') > 0 and strpos(replace(v_doc, '\"', ''), '\') > 0)
            or (length(v_doc) > 2 * p_max_depth and length(v_doc) - length(translate(v_doc, '{[', '')) > p_max_depth);
        v_lower := lower(v_doc);
        continue when v_lower ~ any (p_state.digit_gates)
            or (v_words and v_lower ~ p_state.word_gate)
            -- What else is a key in text: before a colon that no quote or time of day has, before = or >, an option.
            or (v_doc ~ '[^"0-9]:|(?:[^0-9T]|[^0-9]T)[0-9]+:|[0-9]:[^0-9]|[=>]|"-'
                and (v_lower ~ any (p_state.key_gates) or v_doc ~ any (p_state.word_gates)));
        v_clean[i] := true;
    end loop;
    return v_clean;
end
$func$;

comment on function bcp_internal.clean_batch(text[], integer, bcp_internal.anonymizer_state) is
    'Of each of many texts of JSON, whether masking would change nothing.';

create or replace function bcp_internal.mask_events(p_events jsonb[], p_unmasked text[])
returns table (n bigint, raw jsonb, e jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_state constant bcp_internal.anonymizer_state := bcp_internal.load_anonymizer();
    v_max_depth constant integer := bcp_internal.setting('max_json_depth');
    v_clean boolean[];
begin
    select bcp_internal.clean_batch(array_agg((d - p_unmasked)::text order by o), v_max_depth, v_state)
    into v_clean
    from unnest(p_events) with ordinality as event (d, o);
    return query
        select o, d, case when clean then d else bcp_internal.mask_event(d, p_unmasked) end
        from unnest(p_events, v_clean) with ordinality as event (d, clean, o);
exception
    when sqlstate 'ZB003' or sqlstate 'ZB005' or sqlstate 'ZB006' then
        raise;
    when others then
        perform bcp_internal.anonymizer_failed(sqlstate);
end
$func$;

comment on function bcp_internal.mask_events(jsonb[], text[]) is
    'Events as they came and anonymised but for the fields named, with their numbers; as bcp_internal.mask_event for each.';
