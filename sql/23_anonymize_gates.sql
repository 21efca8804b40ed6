-- The anonymiser's gates. Most texts have nothing to mask, and to find that out costs a fraction of masking.
-- Expressions run over many texts at a time, because PostgreSQL builds the automaton of an expression anew at every
-- call.

create or replace function bcp_internal.sensitive_names(p_strings text[], p_state bcp_internal.anonymizer_state)
returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    return array(
        with names as materialized (
            select l.s, v.name
            from unnest(p_strings) as l (s)
            cross join lateral (
                select l.s
                union all
                -- bcp_internal.mask_lists and mask_members read a name like this.
                select left(l.s, 60) where length(l.s) > 60
                union all
                select regexp_replace(l.s, '^.*/', '') where strpos(l.s, '/') > 0
            ) as v (name)
            where l.s <> ''
        ), known as materialized (
            select name, row_number() over () as i from (select distinct name from names) as d
        )
        select distinct n.s
        from (select array_agg(name order by i) as names from known having count(*) > 0) as l
        cross join lateral bcp_internal.classify_keys(
            l.names, array_fill('string'::text, array[cardinality(l.names)]), p_state) as c
        join known k on k.i = c.n
        join names n using (name));
end
$func$;

comment on function bcp_internal.sensitive_names(text[], bcp_internal.anonymizer_state) is
    'Those of the strings that are a sensitive key, or a path to one.';

create or replace function bcp_internal.keys_to_mask(
    p_numbers integer[], p_texts text[], p_state bcp_internal.anonymizer_state)
returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_found record;
begin
    -- In the text of JSON, and of JSON in its strings, a key stands between a quote and a quote with a colon. The last
    -- piece has no key.
    with pieces as materialized (
        select
            n, rtrim(split_part(piece, '"', -1), '\') as key,
            -- If the quotes on both sides are escaped differently, the piece belongs to a key that contains a quote.
            (right(piece, 1) = '\') <> (right(split_part(piece, '"', -2), 1) = '\') as is_part
        from unnest(p_numbers) as n
        cross join lateral unnest(trim_array(string_to_array(p_texts[n], '":'), 1)) as piece
        where strpos(p_texts[n], '":') > 0
    ), known as materialized (
        select
            key, row_number() over () as i,
            plain = any (p_state.name_keys) as is_name, plain = any (p_state.value_keys) as is_value
        from (select distinct key from pieces) as d
        cross join lateral bcp_internal.plain_key(d.key) as plain
    ), sensitive as (
        select k.key
        from (select array_agg(key order by i) as keys from known having count(*) > 0) as l
        cross join lateral bcp_internal.classify_keys(
            l.keys, array_fill('string'::text, array[cardinality(l.keys)]), p_state) as c
        join known k on k.i = c.n
    ), texts as (
        select
            p.n, bool_or(p.is_part or s.key is not null) as is_found,
            bool_or(k.is_name) and bool_or(k.is_value) as has_pairs
        from pieces p
        join known k using (key)
        left join sensitive s using (key)
        group by p.n
    )
    select
        coalesce(array_agg(n) filter (where is_found), '{}') as found,
        coalesce(array_agg(n) filter (where not is_found and has_pairs), '{}') as pairs
    into v_found
    from texts;
    -- [["password", "x"]] has no key.
    v_found.pairs := v_found.pairs || array(
        select n from unnest(p_numbers) as n
        where strpos(p_texts[n], '[["') > 0 and n <> all (v_found.found || v_found.pairs));
    if v_found.pairs = '{}' then
        return v_found.found;
    end if;
    -- A name may stand apart from its value: {"name": "password", "value": "x"}.
    return v_found.found || array(
        with strings as materialized (
            select p.n, rtrim(s.piece, '\') as string
            from unnest(v_found.pairs) as p (n)
            cross join lateral string_to_table(p_texts[p.n], '"') as s (piece)
        )
        select distinct s.n
        from unnest(bcp_internal.sensitive_names(array(select distinct string from strings), p_state)) as found (string)
        join strings s using (string));
end
$func$;

comment on function bcp_internal.keys_to_mask(integer[], text[], bcp_internal.anonymizer_state) is
    'Those of the numbers whose text of JSON has a sensitive key, one with a quote in it, or a sensitive name apart '
    'from its value.';

create or replace function bcp_internal.joined(p_texts text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- U+0001 separates the texts, so none of them may contain it: bcp_internal.matching_in counts it. The line ends
    -- around it stop a match of [^ ], in the mode in which that matches no line end, from going on into the next text.
    return replace(array_to_string(p_texts, E'\x01', ''), E'\x01', E'\n\x01\n');
end
$func$;

comment on function bcp_internal.joined(text[]) is
    'The texts, joined. None may contain U+0001. Null is joined like an empty text.';

create or replace function bcp_internal.joined_flat(p_texts text[]) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return replace(replace(array_to_string(p_texts, E'\x01', ''), E'\n', E'\r'), E'\x01', E'\n\x01\n');
end
$func$;

comment on function bcp_internal.joined_flat(text[]) is
    'What bcp_internal.matching_in takes: the texts like bcp_internal.joined, with \r for \n in them.';

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
    -- A match takes the rest of its text with it, so that a text costs at most one match.
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
    -- If a match took a separator or part of one, the count is too low; it is never too high. Then any text may have
    -- matched.
    return case when v_passed = cardinality(p_numbers) then v_found else p_numbers end;
end
$func$;

comment on function bcp_internal.matching_in(integer[], text, text) is
    'Those of the numbers whose text, of the joined texts, a gate matches, and others where that is in doubt. A call '
    'costs little more than reading the texts; calling per text would pay for each text what a match costs.';

create or replace function bcp_internal.matching(p_numbers integer[], p_texts text[], p_gate text, p_lower boolean)
returns integer[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_joinable integer[];
    v_numbers integer[];
    v_text text collate "C";
    v_found integer[];
begin
    select
        coalesce(array_agg(n) filter (where strpos(p_texts[n], E'\x01') = 0), '{}'),
        coalesce(array_agg(n) filter (where strpos(p_texts[n], E'\x01') > 0), '{}')
    into v_joinable, v_found
    from unnest(p_numbers) as n;
    for v_first in 1..cardinality(v_joinable) by 256 loop
        v_numbers := v_joinable[v_first:v_first + 255];
        v_text := bcp_internal.joined_flat(array(
            select p_texts[n] from unnest(v_numbers) with ordinality as number (n, o) order by o));
        if p_lower then
            v_text := lower(v_text);
        end if;
        v_found := v_found || bcp_internal.matching_in(v_numbers, v_text, p_gate);
    end loop;
    return v_found;
end
$func$;

comment on function bcp_internal.matching(integer[], text[], text, boolean) is
    'Those of the numbers whose text, in lower case if p_lower, a gate matches, and others where that is in doubt.';

create or replace function bcp_internal.labelled(
    p_numbers integer[], p_texts text[], p_state bcp_internal.anonymizer_state, out numbers integer[],
    out known jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    l record;
    v_labels text[];
begin
    numbers := '{}';
    known := '{}';
    -- Look at all texts together, because they mostly share their labels or have none that is sensitive. Keys of JSON,
    -- which are most of what stands before a colon, are left to bcp_internal.keys_to_mask.
    l := bcp_internal.sensitive_labels(
        replace(bcp_internal.joined(array(select p_texts[n] from unnest(p_numbers) as n)), '":', '"'), p_state, '{}');
    if l.labels = '{}' then
        return;
    end if;
    known := l.known;
    v_labels := array(select jsonb_object_keys(l.labels));
    numbers := array(
        select n from unnest(p_numbers) as n
        where exists (
            select from unnest(v_labels) as label where strpos(replace(p_texts[n], '":', '"'), label) > 0));
end
$func$;

comment on function bcp_internal.labelled(integer[], text[], bcp_internal.anonymizer_state) is
    'Those of the numbers whose text has a sensitive key before a value, as the rules that look for one find it, and '
    'others where that is in doubt; and what bcp_internal.sensitive_labels knows then, {} where there are none.';

create or replace function bcp_internal.without(p_numbers integer[], p_others integer[]) returns integer[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return case
        when p_others = '{}' then p_numbers
        else array(select n from unnest(p_numbers) as n where n not in (select unnest(p_others)))
    end;
end
$func$;

comment on function bcp_internal.without(integer[], integer[]) is
    'Those of the numbers that are not among the others, in order.';

create or replace function bcp_internal.texts_for_gates(
    p_texts text[], p_state bcp_internal.anonymizer_state, out numbers integer[], out texts text[],
    out has_wide boolean)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_wide integer[];
    -- A text has these only to hide something in it.
    v_controls constant text := '[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]';
    v_has_controls boolean;
    v_escaped text;
    v_folded text;
    n integer;
begin
    texts := p_texts;
    -- The cheapest test comes first, and the next ones see only what is left. A text with an escape, which may stand
    -- for any character, or with U+0001, which separates texts below, is not looked at further. Characters outside
    -- ASCII, and escapes, may stand for ASCII characters.
    -- Most texts have none, which their JSON tells without an expression.
    v_escaped := replace(to_json(array_to_string(p_texts, ''))::text, '\\', '');
    v_has_controls := strpos(v_escaped, '\u00') > 0 or strpos(v_escaped, '\b') > 0 or strpos(v_escaped, '\f') > 0
        or strpos(v_escaped, E'\x7f') > 0;
    select array_agg(t.n order by t.n), array_agg(t.n) filter (
        where octet_length(t.s) > length(t.s) or strpos(t.s, '%') > 0 or strpos(t.s, '&') > 0
            or v_has_controls and t.s ~ v_controls)
    into numbers, v_wide
    from unnest(p_texts) with ordinality as t (s, n)
    where (strpos(t.s, '\') = 0 or strpos(replace(t.s, '\"', ''), '\') = 0)
      and strpos(t.s, E'\x01') = 0
      and not t.s like any (p_state.quick_likes);
    foreach n in array coalesce(v_wide, '{}') loop
        v_folded := bcp_internal.fold_text(texts[n]);
        -- Letters of ASCII are read in one way only.
        texts[n] := case
            when octet_length(concat(texts[n], v_folded)) > length(concat(texts[n], v_folded))
                then array_to_string(array(
                    select distinct f.s from (values
                        (texts[n]), (v_folded), (bcp_internal.fold_key(texts[n])),
                        (bcp_internal.small_letters(texts[n]))) as f (s)), E'\n')
            when v_folded <> texts[n] then concat(v_folded, E'\n', texts[n])
            else v_folded
        end;
    end loop;
    has_wide := v_wide is not null;
end
$func$;

comment on function bcp_internal.texts_for_gates(text[], bcp_internal.anonymizer_state) is
    'Numbers of the texts that gates can look at, null where there are none; all texts, those with other characters '
    'than ASCII or with escapes in all ways to read them; and whether there are such.';

create or replace function bcp_internal.unclean(
    p_texts text[], p_state bcp_internal.anonymizer_state, p_look_up boolean, out unclean integer[],
    out worded integer[], out unasked integer[], out known jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_texts text[];
    v_gates constant text[] := p_state.digit_gates || p_state.word_gates;
    v_candidates integer[];
    v_has_wide boolean;
    -- The numbers of the texts of a block; the texts themselves, null where something was found; their places.
    v_numbers integer[];
    v_left text[];
    v_places integer[];
    v_clean integer[] := '{}';
    v_lower text collate "C";
    v_found integer[];
    l record;
    n integer;
begin
    worded := '{}';
    known := '{}';
    if p_state.word_gates is null or coalesce(cardinality(p_texts), 0) = 0 then
        unclean := array(select generate_subscripts(p_texts, 1));
        unasked := unclean;
        return;
    end if;
    select t.numbers, t.texts, t.has_wide
    into v_candidates, v_texts, v_has_wide
    from bcp_internal.texts_for_gates(p_texts, p_state) as t;
    unasked := '{}';
    for v_first in 1..coalesce(cardinality(v_candidates), 0) by 1024 loop
        v_numbers := v_candidates[v_first:v_first + 1023];
        v_left := array(select v_texts[u.n] from unnest(v_numbers) with ordinality as u (n, o) order by u.o);
        v_places := array(select generate_subscripts(v_left, 1));
        if v_has_wide then
            -- A character may stand for one that the first test looks for.
            foreach n in array v_places loop
                if v_left[n] like any (p_state.quick_likes) then
                    v_left[n] := null;
                    unasked := unasked || v_numbers[n];
                end if;
            end loop;
        end if;
        v_lower := lower(bcp_internal.joined_flat(v_left));
        if strpos(v_lower, '":') > 0 or strpos(v_lower, '[["') > 0 then
            v_found := bcp_internal.keys_to_mask(v_places, v_left, p_state);
            if v_found <> '{}' then
                foreach n in array v_found loop
                    v_left[n] := null;
                    unasked := unasked || v_numbers[n];
                end loop;
                v_lower := lower(bcp_internal.joined_flat(v_left));
            end if;
        end if;
        for i in 1..cardinality(v_gates) loop
            v_found := bcp_internal.matching_in(v_places, v_lower, v_gates[i]);
            if v_found <> '{}' then
                foreach n in array v_found loop
                    v_left[n] := null;
                    if i > cardinality(p_state.digit_gates) then
                        worded := worded || v_numbers[n];
                    else
                        unasked := unasked || v_numbers[n];
                    end if;
                end loop;
                v_lower := lower(bcp_internal.joined_flat(v_left));
            end if;
        end loop;
        -- What else is a key in text: what stands before a colon that follows no quote or time of day, or before = or
        -- >, in a table, as an option, or as the first of a pair.
        v_found := bcp_internal.matching_in(
            v_places, bcp_internal.joined_flat(v_left),
            '[^"0-9]:|(?:[^0-9T]|[^0-9T]T)[0-9]+:|[0-9]:[^0-9]|[=>|\t\r]|[ \t](?:-|is|was|are|i?like) '
            '|[(\[]''|[(]"|[*][*]:? [`]|[\u2013\u2014\u2192\u00bb\u279c\u21d2]');
        if v_found <> '{}' then
            -- In doubt all texts are found, those of other gates among them.
            v_found := array(select u.n from unnest(v_found) as u (n) where v_left[u.n] is not null);
            if p_look_up then
                l := bcp_internal.labelled(v_found, v_left, p_state);
                v_found := l.numbers;
                known := known || l.known;
            end if;
            foreach n in array v_found loop
                v_left[n] := null;
            end loop;
        end if;
        v_clean := v_clean || array(
            select u.n from unnest(v_numbers, v_left) as u (n, s) where u.s is not null);
    end loop;
    unclean := array(select generate_subscripts(p_texts, 1));
    if v_candidates is null or cardinality(v_candidates) < cardinality(unclean) then
        unasked := unasked || bcp_internal.without(unclean, v_candidates);
    end if;
    unclean := bcp_internal.without(unclean, v_clean);
end
$func$;

comment on function bcp_internal.unclean(text[], bcp_internal.anonymizer_state, boolean) is
    'Numbers of all texts except those of which it is certain that masking the text, or JSON in it, would change '
    'nothing. Of these numbers, worded are those whose text a gate of words matches, and unasked those whose text no '
    'such gate has seen. Without p_look_up any key in text, such as key=value, is taken for a sensitive one; else '
    'known is what has been looked up.';

create or replace function bcp_internal.unclean_texts(p_texts text[], p_state bcp_internal.anonymizer_state)
returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_texts = '{}' then
        return p_texts;
    end if;
    return array(select p_texts[n] from unnest((bcp_internal.unclean(p_texts, p_state, true)).unclean) as n);
end
$func$;

comment on function bcp_internal.unclean_texts(text[], bcp_internal.anonymizer_state) is
    'The texts that bcp_internal.unclean returns the numbers of.';
