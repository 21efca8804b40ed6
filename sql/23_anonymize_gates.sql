-- The anonymiser's gates: most texts have nothing to mask, and what shows that costs a fraction of masking. Expressions
-- run over many texts at a time, since PostgreSQL builds an expression's automaton anew at every call.

create or replace function bcp_internal.keys_to_mask(
    p_numbers integer[], p_texts text[], p_state bcp_internal.anonymizer_state)
returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- In the text of JSON, and of JSON in its strings, a key stands between a quote and a quote with a colon. The
    -- piece after the last of these holds none.
    return array(
        with pieces as materialized (
            select
                n, rtrim(split_part(piece, '"', -1), '\') as key,
                -- What ends otherwise than it begins is part of a key that has a quote in it.
                (right(piece, 1) = '\') <> (right(split_part(piece, '"', -2), 1) = '\') as is_part
            from unnest(p_numbers) as n
            cross join lateral unnest(trim_array(string_to_array(p_texts[n], '":'), 1)) as piece
            where strpos(p_texts[n], '":') > 0
        ), known as materialized (
            -- 1: sensitive. 2 and 4: of an object like {"name": "password", "value": ...}, also cut short.
            select key, bcp_internal.is_sensitive_key(key, 'string', p_state)::integer
                | case when ltrim(key) in ('value', 'Value', 'v') then 2 else 0 end
                | case when key ~ '(^|[^A-Za-z0-9_])([Nn]ame|[Kk]ey|header|field|k|id)$' then 4 else 0 end as flags
            from pieces
            group by key
        )
        select n
        from pieces
        join known using (key)
        group by n
        having bool_or(is_part) or bit_or(flags) & 1 = 1 or bit_or(flags) & 6 = 6);
end
$func$;

comment on function bcp_internal.keys_to_mask(integer[], text[], bcp_internal.anonymizer_state) is
    'Those of the numbers whose text of JSON has a sensitive key, one with a quote in it, or keys of a name and a value.';

create or replace function bcp_internal.joined(p_numbers integer[], p_texts text[]) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- No class of characters matches both of these, in the mode in which [^ ] matches no line end.
    return array_to_string(
        array(select p_texts[n] from unnest(p_numbers) with ordinality as number (n, o) order by o), E'\n\x01\n');
end
$func$;

comment on function bcp_internal.joined(integer[], text[]) is 'Those of the texts that have the numbers, as bcp_internal.matching_in takes them.';

create or replace function bcp_internal.matching_in(p_numbers integer[], p_text text, p_gate text) returns integer[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_separator constant text := E'\n\x01\n';
    v_text constant text collate "C" := p_text;
    v_pieces text[];
    v_passed integer := 1;
    v_found integer[] := '{}';
    -- A match takes the rest of its text with it, so that each text costs one match at most.
    v_pattern constant text := '(?n)(?:' || p_gate || ')[^\n]*';
begin
    if v_text !~ v_pattern then
        return '{}';
    end if;
    v_pieces := regexp_split_to_array(v_text, v_pattern);
    for i in 1..cardinality(v_pieces) loop
        v_passed := v_passed + (length(v_pieces[i]) - length(replace(v_pieces[i], v_separator, ''))) / 3;
        if i < cardinality(v_pieces) then
            v_found := v_found || p_numbers[v_passed];
        end if;
    end loop;
    -- Where a match took a separator, the count is wrong.
    return case when v_passed = cardinality(p_numbers) then v_found else p_numbers end;
end
$func$;

comment on function bcp_internal.matching_in(integer[], text, text) is
    'Those of the numbers whose text, of the texts joined, a gate matches, and where in doubt others. One call costs little more than reading the texts, and a match what a call a text would.';

create or replace function bcp_internal.matching(p_numbers integer[], p_texts text[], p_gate text, p_lower boolean)
returns integer[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_numbers integer[];
    v_text text collate "C";
    v_found integer[] := '{}';
begin
    for v_first in 1..cardinality(p_numbers) by 256 loop
        v_numbers := p_numbers[v_first:v_first + 255];
        v_text := bcp_internal.joined(v_numbers, p_texts);
        if p_lower then
            v_text := lower(v_text);
        end if;
        v_found := v_found || bcp_internal.matching_in(v_numbers, v_text, p_gate);
    end loop;
    return v_found;
end
$func$;

comment on function bcp_internal.matching(integer[], text[], text, boolean) is
    'Those of the numbers whose text, in lower case if asked, a gate matches, and where in doubt others.';

create or replace function bcp_internal.without(p_numbers integer[], p_others integer[]) returns integer[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return case
        when p_others = '{}' then p_numbers
        else array(select unnest(p_numbers) except select unnest(p_others) order by 1)
    end;
end
$func$;

comment on function bcp_internal.without(integer[], integer[]) is 'Those of the numbers that are not among the others, in order.';

create or replace function bcp_internal.unclean(
    p_texts text[], p_max_depth integer, p_state bcp_internal.anonymizer_state)
returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_all constant integer[] := array(select generate_subscripts(p_texts, 1));
    v_texts text[] := p_texts;
    v_gate text;
    v_candidates integer[];
    v_wide integer[];
    v_left integer[];
    v_clean integer[] := '{}';
    v_text text collate "C";
    v_lower text collate "C";
    v_keys boolean;
    v_found integer[];
    n integer;
begin
    if p_state.word_gate is null or v_all = '{}' then
        return v_all;
    end if;
    -- First what costs least, and then only what is left. An escape may stand for any character, and brackets may be
    -- levels. Other characters than ASCII may look like ASCII.
    select array_agg(t.n order by t.n), array_agg(t.n) filter (where octet_length(t.s) > length(t.s))
    into v_candidates, v_wide
    from unnest(p_texts) with ordinality as t (s, n)
    where (strpos(t.s, '\') = 0 or strpos(replace(t.s, '\"', ''), '\') = 0)
      and (octet_length(t.s) <= 2 * p_max_depth
          or 2 * octet_length(t.s) - octet_length(replace(t.s, '{', '')) - octet_length(replace(t.s, '[', '')) <= p_max_depth)
      and not t.s like any (p_state.quick_likes);
    foreach n in array coalesce(v_wide, '{}') loop
        v_texts[n] := concat_ws(E'\n', v_texts[n], bcp_internal.fold_text(v_texts[n]), bcp_internal.fold_key(v_texts[n]));
    end loop;
    for v_first in 1..coalesce(cardinality(v_candidates), 0) by 256 loop
        v_left := v_candidates[v_first:v_first + 255];
        v_text := bcp_internal.joined(v_left, v_texts);
        v_lower := lower(v_text);
        -- A sensitive word matters where it is a key. Where it is in one text of these, to take apart all of them costs
        -- less than to find out which.
        v_keys := v_lower ~ p_state.key_gate or v_text ~ p_state.key_word_gate;
        if v_keys then
            v_found := bcp_internal.keys_to_mask(v_left, p_texts, p_state);
            if v_found <> '{}' then
                v_left := bcp_internal.without(v_left, v_found);
                v_lower := lower(bcp_internal.joined(v_left, v_texts));
            end if;
        end if;
        foreach v_gate in array array[p_state.digit_gate, p_state.word_gate] loop
            v_found := bcp_internal.matching_in(v_left, v_lower, v_gate);
            if v_found <> '{}' then
                v_left := bcp_internal.without(v_left, v_found);
                v_lower := lower(bcp_internal.joined(v_left, v_texts));
            end if;
        end loop;
        if v_keys then
            -- What else is a key in text: before a colon that no quote or time of day has, before = or >, an option.
            v_found := array(
                select l.n from unnest(v_left) as l (n)
                where v_texts[l.n] collate "C" ~ '[^"0-9]:|(?:[^0-9T]|[^0-9]T)[0-9]+:|[0-9]:[^0-9]|[=>]|"-');
            v_left := bcp_internal.without(
                v_left,
                bcp_internal.matching(v_found, v_texts, p_state.key_gate, true)
                || bcp_internal.matching(v_found, v_texts, p_state.key_word_gate, false));
        end if;
        v_clean := v_clean || v_left;
    end loop;
    return bcp_internal.without(v_all, v_clean);
end
$func$;

comment on function bcp_internal.unclean(text[], integer, bcp_internal.anonymizer_state) is
    'Numbers of the texts but for those of which it is certain that masking the text, each line of it, or JSON with it in it would change nothing and raise nothing.';

create or replace function bcp_internal.unclean_texts(
    p_texts text[], p_max_depth integer, p_state bcp_internal.anonymizer_state)
returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    return array(select p_texts[n] from unnest(bcp_internal.unclean(p_texts, p_max_depth, p_state)) as n);
end
$func$;

comment on function bcp_internal.unclean_texts(text[], integer, bcp_internal.anonymizer_state) is
    'The texts of bcp_internal.unclean.';
