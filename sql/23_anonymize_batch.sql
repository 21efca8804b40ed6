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

create or replace function bcp_internal.matching_texts(p_texts text[], p_gate text) returns integer[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- No class of characters matches both of these, in the mode in which [^ ] matches no line end.
    v_separator constant text := E'\n\x01\n';
    v_pieces text[];
    v_passed integer;
    v_last integer;
    v_found integer[] := '{}';
begin
    for v_first in 1..cardinality(p_texts) by 256 loop
        v_last := least(v_first + 255, cardinality(p_texts));
        -- A match takes the rest of its text with it, so that each text costs one match at most.
        v_pieces := regexp_split_to_array(
            array_to_string(p_texts[v_first:v_last], v_separator) collate "C", '(?n)(?:' || p_gate || ')[^\n]*');
        v_passed := 0;
        for i in 1..cardinality(v_pieces) loop
            v_passed := v_passed + (length(v_pieces[i]) - length(replace(v_pieces[i], v_separator, ''))) / 3;
            if i < cardinality(v_pieces) then
                v_found := v_found || v_first + v_passed;
            end if;
        end loop;
        if v_passed <> v_last - v_first then
            -- A match took a separator, so the count is wrong.
            v_found := v_found || array(select generate_series(v_first, v_last));
        end if;
    end loop;
    return v_found;
end
$func$;

comment on function bcp_internal.matching_texts(text[], text) is
    'Numbers of the texts that a gate matches, and where in doubt of others. One call costs little more than reading them, and a match what a call a text would.';

create or replace function bcp_internal.without(p_numbers integer[], p_others bigint[]) returns integer[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select array(select unnest(p_numbers) except select unnest(p_others) order by 1)
$func$;

comment on function bcp_internal.without(integer[], bigint[]) is 'Those of the numbers that are not among the others, in order.';

create or replace function bcp_internal.without_matching(
    p_numbers integer[], p_texts text[], p_gate text, p_lower boolean)
returns integer[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_texts text[];
begin
    v_texts := array(
        select case when p_lower then lower(p_texts[n] collate "C") else p_texts[n] end
        from unnest(p_numbers) with ordinality as number (n, o) order by o);
    return bcp_internal.without(p_numbers, array(
        select p_numbers[m] from unnest(bcp_internal.matching_texts(v_texts, p_gate)) as m));
end
$func$;

comment on function bcp_internal.without_matching(integer[], text[], text, boolean) is
    'Those of the numbers whose text, in lower case if asked, a gate does not match.';

create or replace function bcp_internal.clean_batch(
    p_texts text[], p_max_depth integer, p_state bcp_internal.anonymizer_state)
returns boolean[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_clean boolean[] := array_fill(false, array[cardinality(p_texts)]);
    -- As bcp_internal.is_clean for each of them; where in doubt, not clean. First what costs least, and then only
    -- what is left.
    v_left integer[];
    v_colons integer[];
begin
    if p_state.text_gates is null then
        return v_clean;
    end if;
    v_left := array(
        select t.n
        from unnest(p_texts) with ordinality as t (doc, n)
        where octet_length(t.doc) = length(t.doc)
          and (strpos(t.doc, '\') = 0 or strpos(replace(t.doc, '\"', ''), '\') = 0)
          and (length(t.doc) <= 2 * p_max_depth or length(t.doc) - length(translate(t.doc, '{[', '')) <= p_max_depth)
        order by t.n);
    v_left := bcp_internal.without(v_left, array(
        select k.n from bcp_internal.batch_keys(p_texts, p_state) k where k.suspicious));
    if p_state.digit_gates <> '{}' then
        v_left := bcp_internal.without_matching(v_left, p_texts, array_to_string(p_state.digit_gates, '|'), true);
    end if;
    v_left := bcp_internal.without_matching(v_left, p_texts, p_state.word_gate, true);
    -- What else is a key in text: before a colon that no quote or time of day has, before = or >, an option.
    v_colons := array(
        select n from unnest(v_left) as n
        where p_texts[n] collate "C" ~ '[^"0-9]:|(?:[^0-9T]|[^0-9]T)[0-9]+:|[0-9]:[^0-9]|[=>]|"-');
    v_left := bcp_internal.without(v_left, v_colons);
    if p_state.key_gates <> '{}' then
        v_colons := bcp_internal.without_matching(v_colons, p_texts, array_to_string(p_state.key_gates, '|'), true);
    end if;
    if p_state.word_gates <> '{}' then
        v_colons := bcp_internal.without_matching(v_colons, p_texts, array_to_string(p_state.word_gates, '|'), false);
    end if;
    for i in 1..cardinality(v_left) loop
        v_clean[v_left[i]] := true;
    end loop;
    for i in 1..cardinality(v_colons) loop
        v_clean[v_colons[i]] := true;
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
