-- Gates for JSON documents: which of a batch have nothing to mask, found from their text without unfolding them.

create or replace function bcp_internal.json_blocks(p_docs text[]) returns text[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- JSON has no raw control characters, so none of these can be forged.
    return array(
        select replace(case
            when strpos(b.text, '\') = 0 then b.text
            else replace(replace(b.text, '\\', E'\x01'), '\"', E'\x02')
        end, '": ', E'\x03"')
        from (
            select (n - 1) / 256, concat(string_agg(doc, E'"\n"' order by n), E'"\n"')
            from unnest(p_docs) with ordinality as d (doc, n)
            group by 1
        ) as b (n, text)
        order by b.n);
end
$func$;

comment on function bcp_internal.json_blocks(text[]) is
    'The texts of JSON, 256 joined to one, because splitting many short texts takes three times as long. "\n" with a '
    'raw line end stands after each. Every quote begins or ends a string: U+0001 takes the place of a backslash, '
    'U+0002 that of a quote inside a string, and U+0003 ends a key.';

create or replace function bcp_internal.json_key(p_piece text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return concat('"', replace(replace(rtrim(p_piece, E'\x03'), E'\x01', '\\'), E'\x02', '\"'), '": ');
end
$func$;

comment on function bcp_internal.json_key(text) is
    'A key that bcp_internal.strings_in returned, as it stands in the text of JSON.';

create or replace function bcp_internal.lists_of_strings_in(p_blocks text[])
returns table (block bigint, doc bigint, piece text)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- To the rules a command line that is a list is one text.
    return query
        select l.block, l.doc, translate(
            replace(split_part(split_part(l.piece, E'"\n"', 1), '"]', 1), '", "', ' \t'), E'"\x03', '  ')
        from (
            select
                b.n as block, t.o, t.piece,
                1 + sum((length(t.piece) - length(replace(t.piece, E'"\n"', ''))) / 3) over (
                    partition by b.n order by t.o rows between unbounded preceding and 1 preceding) as doc
            from unnest(p_blocks) with ordinality as b (text, n)
            cross join lateral string_to_table(b.text, '["') with ordinality as t (piece, o)
            where strpos(b.text, '["') > 0
        ) as l
        where l.o > 1;
end
$func$;

comment on function bcp_internal.lists_of_strings_in(text[]) is
    'Each list of strings in blocks of JSON as one piece, with the numbers of its block and of its document there.';

create or replace function bcp_internal.strings_in(p_blocks text[]) returns setof text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return query
        -- Outside strings only a long number may be something to mask. The comma before it marks it: no JSON has what
        -- follows.
        select distinct case when s.o % 2 = 0 then s.piece else concat(', ', s.piece) end
        from unnest(p_blocks) as b (text)
        cross join lateral string_to_table(b.text, '"') with ordinality as s (piece, o)
        where case
            when s.o % 2 = 0 then s.piece <> '' and s.piece <> E'\n'
            else length(s.piece) >= 13 and strpos(translate(s.piece, '012345678', '999999999'), '99999') > 0
        end
        union
        select l.piece from bcp_internal.lists_of_strings_in(p_blocks) as l;
end
$func$;

comment on function bcp_internal.strings_in(text[]) is
    'The pieces of blocks of JSON, each once: strings, keys with U+0003 after them, long numbers, and each list of '
    'strings as one piece. U+0001 stands for \ and U+0002 for a quote.';

create or replace function bcp_internal.documents_with(p_blocks text[], p_starts integer[], p_pieces text[])
returns table (n integer, piece text)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_end constant text := E'
';
begin
    return query
        select distinct (p_starts[f.block] + f.doc)::integer, f.piece
        from (
            select
                b.n, w.piece, 1 + count(*) filter (where w.piece = v_end) over (partition by b.n order by s.o)
            from unnest(p_blocks) with ordinality as b (text, n)
            cross join lateral string_to_table(b.text, '"') with ordinality as s (piece, o)
            join unnest(p_pieces || v_end) as w (piece)
                on w.piece = case
                    when s.o % 2 = 0 then s.piece
                    when length(s.piece) >= 13 then concat(', ', s.piece)
                end
            union all
            select l.block, l.piece, l.doc
            from bcp_internal.lists_of_strings_in(p_blocks) as l
            join unnest(p_pieces) as w (piece) on w.piece = l.piece
        ) as f (block, piece, doc)
        where f.piece <> v_end;
end
$func$;

comment on function bcp_internal.documents_with(text[], integer[], text[]) is
    'Which documents of blocks of JSON have which of these pieces of bcp_internal.strings_in. p_starts has for each '
    'block how many documents come before it.';

create or replace function bcp_internal.documents_in_doubt(p_docs text[], p_max_depth integer, p_pieces text[])
returns integer[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Whether a string begins or ends like what stands between strings.
    v_is_odd constant boolean := exists (
        select from unnest(p_pieces) as r (piece)
        where left(piece, 1) in (':', ',', ']', '}') or right(rtrim(piece, E'\x03'), 1) in ('[', '{', ' '));
begin
    return array(
        select n::integer
        from unnest(p_docs) with ordinality as d (doc, n)
        where octet_length(doc) > 2 * p_max_depth
          and 2 * octet_length(doc) - octet_length(replace(doc, '{', '')) - octet_length(replace(doc, '[', ''))
              > p_max_depth
           or v_is_odd and exists (
               select
               from (
                   select concat(' ', case
                       when strpos(doc, '\') = 0 then doc
                       else replace(replace(doc, '\\', E'\x01'), '\"', E'\x02')
                   end)
               ) as e (text)
               cross join unnest(array['[": ', '{": ', ' ": ', '[", ', '["]', '["}', ' "]', '{"]']) as w (what)
               where strpos(e.text, w.what) > 0));
end
$func$;

comment on function bcp_internal.documents_in_doubt(text[], integer, text[]) is
    'Numbers of the documents that may be nested too deep, or whose strings read like what stands between strings, so '
    'that only masking tells whether something is to be masked.';

create or replace function bcp_internal.likes_of_keys(p_keys text[]) returns text[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return array(
        select concat(
            '%', replace(replace(replace(bcp_internal.json_key(k.key), '\', '\\'), '%', '\%'), '_', '\_'), '%')
        from unnest(p_keys) as k (key));
end
$func$;

comment on function bcp_internal.likes_of_keys(text[]) is
    'Patterns of LIKE for the text of JSON that has one of these keys, given as bcp_internal.strings_in returned them.';

create or replace function bcp_internal.names_apart(
    p_docs text[], p_pieces text[], p_strings text[], p_keys integer[], p_state bcp_internal.anonymizer_state,
    out names text[], out pairs integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_names text[];
    v_values text[];
    v_name_likes text[];
    v_value_likes text[];
begin
    select
        array_agg(p_pieces[k.n]) filter (where plain = any (p_state.name_keys)),
        array_agg(p_pieces[k.n]) filter (where plain = any (p_state.value_keys))
    into v_names, v_values
    from unnest(p_keys) as k (n)
    cross join lateral bcp_internal.plain_key(p_strings[k.n]) as plain
    where plain = any (p_state.name_keys || p_state.value_keys);
    v_name_likes := bcp_internal.likes_of_keys(v_names);
    v_value_likes := bcp_internal.likes_of_keys(v_values);
    pairs := array(
        select n::integer
        from unnest(p_docs) with ordinality as d (doc, n)
        where strpos(doc, '[["') > 0
           or strpos(doc, '": ') > 0 and doc like any (v_name_likes) and doc like any (v_value_likes));
    if pairs = '{}' then
        names := bcp_internal.sensitive_names(
            array(select distinct p_strings[n] from unnest(p_keys) as k (n)), p_state);
        return;
    end if;
    names := bcp_internal.sensitive_names(array(
        with names as materialized (
            select name.piece
            from unnest(bcp_internal.json_blocks(array(
                select p_docs[p.n] from unnest(pairs) with ordinality as p (n, o) order by p.o))) as e (doc)
            cross join lateral (
                select split_part(l.piece, '"', 1)
                from unnest(v_names) as k (name)
                cross join lateral string_to_table(e.doc, concat('"', k.name, '""')) with ordinality as l (piece, o)
                where l.o > 1
                union all
                select s.piece
                from unnest(v_names) as k (name)
                cross join lateral string_to_table(e.doc, concat('"', k.name, '"[')) with ordinality as l (piece, o)
                cross join lateral string_to_table(
                    split_part(split_part(l.piece, E'"\n"', 1), '"]', 1), '"') as s (piece)
                where l.o > 1
                union all
                select split_part(l.piece, '"', 1)
                from string_to_table(e.doc, '["') as l (piece)
                where strpos(e.doc, '[["') > 0
            ) as name (piece)
        )
        select p_strings[n] from unnest(p_keys) as k (n)
        union
        select r.string
        from (select distinct piece from names) as d
        join unnest(p_pieces, p_strings) as r (piece, string) using (piece)), p_state);
end
$func$;

comment on function bcp_internal.names_apart(text[], text[], text[], integer[], bcp_internal.anonymizer_state) is
    'Of the keys in documents, and of the names that stand apart from their value as in {"name": "password", "value": '
    '"x"} or [["password", "x"]], those that are sensitive; and the numbers of the documents with such pairs.';

create or replace function bcp_internal.pieces_of_documents(
    p_docs text[], p_max_depth integer, out docs text[], out nested_in text[], out blocks text[], out starts integer[],
    out raw text[], out strings text[], out in_doubt integer[])
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_docs text[] := p_docs;
    v_blocks text[];
    v_raw text[];
    v_strings text[];
    v_nested text[];
begin
    docs := '{}';
    nested_in := '{}';
    blocks := '{}';
    starts := '{}';
    raw := '{}';
    strings := '{}';
    in_doubt := '{}';
    loop
        v_blocks := bcp_internal.json_blocks(v_docs);
        blocks := blocks || v_blocks;
        starts := starts || array(
            select (cardinality(docs) + 256 * (b.n - 1))::integer from unnest(v_blocks) with ordinality as b (text, n));
        -- The documents of a batch share most of their strings.
        select
            array_agg(d.piece order by d.n),
            -- Not a function: here a call each would cost 4 percent of ingest.
            array_agg(case
                when d.piece = translate(d.piece, E'\\\x01\x02\x03', '') then d.piece
                else concat(
                    '"', replace(replace(rtrim(d.piece, E'\x03'), E'\x01', '\\'), E'\x02', '\"'), '"')::jsonb #>> '{}'
            end order by d.n)
        into v_raw, v_strings
        from (
            select s.piece, s.n
            from bcp_internal.strings_in(v_blocks) with ordinality as s (piece, n)
            where s.piece not in (select unnest(raw))
        ) as d;
        raw := raw || coalesce(v_raw, '{}');
        strings := strings || coalesce(v_strings, '{}');
        in_doubt := in_doubt || array(
            select (cardinality(docs) + d.n)::integer
            from unnest(bcp_internal.documents_in_doubt(v_docs, p_max_depth, raw)) as d (n));
        docs := docs || v_docs;
        exit when v_raw is null;
        select array_agg(r.piece), array_agg(j.value::text)
        into v_nested, v_docs
        from unnest(v_raw, v_strings) as r (piece, string)
        cross join lateral bcp_internal.read_json_text(r.string, p_max_depth) as j
        where left(ltrim(r.string, E' \t\r\n'), 1) in ('{', '[', '"') and j.wraps > 0;
        exit when v_nested is null;
        nested_in := nested_in || v_nested;
    end loop;
end
$func$;

comment on function bcp_internal.pieces_of_documents(text[], integer) is
    'The documents and, after them, those that are JSON in one of their strings, with the piece that each of these is '
    'in (nested_in). Of all documents their blocks, as bcp_internal.json_blocks makes them, how many documents come '
    'before each block, and their pieces, each once: as they stand in blocks (raw) and as they read (strings); and the '
    'numbers that bcp_internal.documents_in_doubt finds.';

create or replace function bcp_internal.unclean_documents(
    p_docs text[], p_texts text[], p_max_depth integer, p_state bcp_internal.anonymizer_state, out numbers integer[],
    out texts text[], out seen bcp_internal.seen_by_gates)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_docs text[];
    v_nested_in text[];
    v_blocks text[];
    v_starts integer[];
    v_raw text[];
    v_strings text[];
    v_apart record;
    -- What the gates find in strings and texts.
    u record;
    -- The pieces in which something was found, by number, and whether it counts in any document or only in those in
    -- which it may be a name.
    v_found integer[];
    v_anywhere boolean[];
    -- Which documents have which of these pieces, or of those that are JSON.
    v_in integer[];
    v_pieces text[];
    v_more integer[];
begin
    texts := '{}';
    if p_state.word_gates is null or p_docs is null then
        numbers := array(select generate_subscripts(p_docs, 1));
        texts := p_texts;
        seen.clean := '{}';
        return;
    end if;
    select p.docs, p.nested_in, p.blocks, p.starts, p.raw, p.strings, p.in_doubt
    into v_docs, v_nested_in, v_blocks, v_starts, v_raw, v_strings, numbers
    from bcp_internal.pieces_of_documents(p_docs, p_max_depth) as p;
    v_apart := bcp_internal.names_apart(
        v_docs, v_raw, v_strings, array(
            select r.n::integer from unnest(v_raw) with ordinality as r (piece, n)
            where right(r.piece, 1) = E'\x03' order by r.n), p_state);
    u := bcp_internal.unclean(v_strings || p_texts, p_state, true);
    select coalesce(array_agg(f.n), '{}'), array_agg(f.is_unclean)
    into v_found, v_anywhere
    from (
        select n, bool_or(is_unclean) as is_unclean
        from (
            select r.n, r.piece <> rtrim(r.piece, E'\x03') as is_unclean
            from unnest(v_raw, v_strings) with ordinality as r (piece, string, n)
            where r.string in (select unnest(v_apart.names))
            union all
            -- The texts come after the strings.
            select g.n, true from unnest(u.unclean) as g (n)
        ) as found
        group by n
    ) as f;
    if p_texts <> '{}' then
        texts := array(
            select p_texts[f.n - coalesce(cardinality(v_strings), 0)] from unnest(v_found) as f (n)
            where f.n > coalesce(cardinality(v_strings), 0));
    end if;
    if v_found <> '{}' or numbers <> '{}' and v_nested_in <> '{}' then
        select array_agg(s.n), array_agg(s.piece)
        into v_in, v_pieces
        from bcp_internal.documents_with(
            v_blocks, v_starts, array(select v_raw[f.n] from unnest(v_found) as f (n)) || v_nested_in) as s;
        numbers := numbers || array(
            select h.n
            from unnest(v_in, v_pieces) as h (n, piece)
            join (select v_raw[f.n] as piece, f.is_anywhere from unnest(v_found, v_anywhere) as f (n, is_anywhere))
                as found using (piece)
            where found.is_anywhere or h.n = any (v_apart.pairs));
    end if;
    -- What is found in JSON in a string is found in the document that has the string.
    v_more := numbers;
    while v_nested_in <> '{}' and v_more <> '{}' loop
        v_more := array(
            select distinct h.n
            from unnest(v_in, v_pieces) as h (n, piece)
            where h.piece in (
                    select v_nested_in[m.n - cardinality(p_docs)] from unnest(v_more) as m (n)
                    where m.n > cardinality(p_docs))
              and h.n not in (select unnest(numbers)));
        numbers := numbers || v_more;
    end loop;
    numbers := array(select distinct d.n from unnest(numbers) as d (n) where d.n <= cardinality(p_docs) order by d.n);
    if numbers <> '{}' or texts <> '{}' then
        seen.clean := array(
            select r.string from unnest(v_strings || p_texts) with ordinality as r (string, n)
            where r.n not in (select unnest(v_found)));
        seen.unclean := array(
            select r.string from unnest(v_strings || p_texts) with ordinality as r (string, n)
            where r.n in (select unnest(u.unclean)));
        seen.labels := u.known;
        seen.plain_keys := array(
            select r.string from unnest(v_raw, v_strings) as r (piece, string)
            where right(r.piece, 1) = E'\x03' and r.string not in (select unnest(v_apart.names)));
        seen.has_pairs := v_apart.pairs <> '{}';
    end if;
end
$func$;

comment on function bcp_internal.unclean_documents(text[], text[], integer, bcp_internal.anonymizer_state) is
    'Numbers of all documents, each given as the text of JSON or of several strings of JSON, except those of which it '
    'is certain that masking would change nothing and raise no error; those of p_texts that masking may change '
    '(texts); and what else the gates saw, for bcp_internal.mask_documents. p_texts are no JSON, and stand for '
    'themselves: to look them up costs a third of splitting them out of a document.';
