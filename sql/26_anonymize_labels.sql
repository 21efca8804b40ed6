-- Sensitive keys in text that is no JSON: key=value, **Password:** value, a cell of a table, a column of a list.
-- bcp_internal.classify_keys tells which keys are sensitive, and the rules of bcp.anonymization_rules how they are
-- written.

create or replace function bcp_internal.label_name(p_label text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_blank constant text := E' \t';
    -- Without quotes, and without the space between them and the word.
    -- An error of validation has its key on a line of its own.
    v_unquoted constant text := rtrim(split_part(p_label, E'\n', 1), '"''`*\');
    v_ends constant text := rtrim(v_unquoted, v_blank || ':');
    v_key constant text := rtrim(v_ends, v_blank || '=>');
    -- Where a hint in brackets begins: Password (required).
    v_hint constant integer := case right(v_key, 1)
        when ')' then strpos(reverse(v_key), '( ')
        when ']' then strpos(reverse(v_key), '[ ')
        else 0
    end;
    v_word text;
    v_name text;
begin
    if v_hint > 0 then
        return left(v_key, -v_hint - 1);
    end if;
    if strpos(p_label, '<') = 0 then
        -- A declaration has a type: API_KEY: str = "x".
        if right(v_ends, 1) = '=' and strpos(v_key, ':') > 0 then
            return split_part(v_key, ':', 1);
        end if;
        -- Without an expression, of which PostgreSQL keeps only 32 compiled.
        foreach v_word in array '{is,was,are,like,ilike}'::text[] loop
            continue when v_ends = v_unquoted or lower(right(v_ends, length(v_word) + 1) collate "C")
                not in (' ' || v_word, E'\t' || v_word);
            v_name := rtrim(left(v_ends, -length(v_word)), v_blank);
            return case when v_name <> '' then v_name else p_label end;
        end loop;
        return p_label;
    end if;
    -- Of a tag the attributes count that name it: <entry key="password">, but not <label for="password">.
    if left(p_label, 1) = '<' and strpos(p_label, '=') > 0 then
        return regexp_replace(
            p_label,
            '\s(?!(?:name|key|id|class|label|field|property)\s*=)[A-Za-z_:.-]+\s*=\s*(?:"[^"]*"|''[^'']*'')', '', 'g');
    end if;
    return regexp_replace(p_label, '(.)(?:<.*|[ \t]+(?:is|was|are|i?like)[ \t:]+["''`*\\]*)$', '\1', 'i');
end
$func$;

comment on function bcp_internal.label_name(text) is 'A key in text without what separates it from its value.';

create or replace function bcp_internal.column_names_in(p_text text) returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text collate "C" := p_text;
    -- Most texts have one separator or two, and to count one in each line costs more than to look for it once.
    v_has constant boolean[] := array[
        strpos(v_text, ',') > 0, strpos(v_text, E'\t') > 0, strpos(v_text, '|') > 0, strpos(v_text, ';') > 0,
        v_text ~ '[│┃]'];
begin
    if strpos(replace(v_text, E'\n\x01\n', ''), E'\n') = 0 or v_text !~ '[,\t|;│┃][^\n\x01]*\n[^\x01]' then
        return;
    end if;
    return query
        select btrim(c.name)
        from unnest(bcp_internal.copies_in(v_text)) with ordinality as p (part, n)
        cross join lateral unnest(bcp_internal.copied_columns(p.part)) as c (name)
        where p.n % 2 = 0;
    -- A table is lines with equally many cells, and bcp_internal.mask_tables takes the first of them for the names. To
    -- ask about the cells of all lines would cost more than all else.
    return query
        select btrim(c.cell)
        from (
            select
                l.line, l.cells, lag(l.cells) over (order by l.n) as before, lead(l.cells) over (order by l.n) as after
            from (
                select t.line, t.n, array[
                    case when v_has[1] then length(t.line) - length(replace(t.line, ',', '')) else 0 end,
                    case when v_has[2] then length(t.line) - length(replace(t.line, E'\t', '')) else 0 end,
                    case when v_has[3] then length(t.line) - length(replace(t.line, '|', '')) else 0 end,
                    case when v_has[4] then length(t.line) - length(replace(t.line, ';', '')) else 0 end,
                    case when v_has[5] then length(t.line) - length(translate(t.line, '│┃', '')) else 0 end
                    ] as cells
                from bcp_internal.table_lines(v_text) as t
            ) as l
        ) as h
        cross join lateral string_to_table(translate(h.line, E'\t|;│┃', ',,,,,'), ',') as c (cell)
        where (h.cells[1] > 0 and h.cells[1] = h.after[1] and h.cells[1] is distinct from h.before[1]
                or h.cells[2] > 0 and h.cells[2] = h.after[2] and h.cells[2] is distinct from h.before[2]
                or h.cells[3] > 0 and h.cells[3] = h.after[3] and h.cells[3] is distinct from h.before[3]
                or h.cells[4] > 0 and h.cells[4] = h.after[4] and h.cells[4] is distinct from h.before[4]
                or h.cells[5] > 0 and h.cells[5] = h.after[5] and h.cells[5] is distinct from h.before[5])
          and length(c.cell) <= 60;
end
$func$;

comment on function bcp_internal.column_names_in(text) is
    'What may be names of columns in a text: the cells of the first lines of tables. A cell in quotes that contains a '
    'separator comes in pieces.';

create or replace function bcp_internal.labels_in(p_text text) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text collate "C" := p_text;
    v_lower constant text collate "C" := lower(v_text);
begin
    return array(
        select p.piece
        from bcp_internal.anonymizer_rules r
        cross join lateral unnest(bcp_internal.split_at_matches(v_text, r.pattern, false))
            with ordinality as p (piece, o)
        where r.validation = 'sensitive_key' and (r.likes is null or v_lower like any (r.likes)) and p.o % 2 = 0
        union
        select bcp_internal.column_names_in(v_text));
end
$func$;

comment on function bcp_internal.labels_in(text) is
    'All keys before values in a text, as the rules that look for one find them, and names of columns, each once.';

create or replace function bcp_internal.sensitive_labels(
    p_text text, p_state bcp_internal.anonymizer_state, p_known jsonb default null, out labels jsonb, out known jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_labels constant text[] := bcp_internal.labels_in(p_text);
    v_new text[] := v_labels;
    -- The name of each new label; each name once; those that are sensitive, and what to do with their values.
    v_names text[];
    v_asked text[];
    v_found text[];
    v_ways jsonb[];
begin
    labels := '{}';
    known := p_known;
    if p_known <> '{}' then
        labels := coalesce((
            select jsonb_object_agg(l, p_known -> l)
            from unnest(v_labels) as l
            where jsonb_typeof(p_known -> l) <> 'null'), '{}');
        v_new := array(select l from unnest(v_labels) as l where not p_known ? l);
    end if;
    if v_new = '{}' then
        return;
    end if;
    v_names := array(select bcp_internal.label_name(l) from unnest(v_new) with ordinality as u (l, o) order by o);
    v_asked := array(select distinct name from unnest(v_names) as name);
    select array_agg(v_asked[c.n]), array_agg(jsonb_build_array(c.action, c.kind, c.value_pattern))
    into v_found, v_ways
    from bcp_internal.classify_keys(
        v_asked, array_fill('string'::text, array[cardinality(v_asked)]), p_state, true) as c;
    if v_found is not null then
        -- A key of a number is one of a string, too: bcp.sensitive_keys has none for numbers alone, and no exception
        -- counts for strings alone.
        labels := labels || (
            select jsonb_object_agg(l.label, w.ways)
            from unnest(v_new, v_names) as l (label, name)
            join (
                select t.name, jsonb_object_agg(t.type, t.way) as ways
                from (
                    select s.name, 'string', s.way from unnest(v_found, v_ways) as s (name, way)
                    union all
                    select v_found[c.n], 'number', jsonb_build_array(c.action, c.kind, c.value_pattern)
                    from bcp_internal.classify_keys(
                        v_found, array_fill('number'::text, array[cardinality(v_found)]), p_state, true) as c
                ) as t (name, type, way)
                group by t.name
            ) as w using (name));
    end if;
    known := p_known || (select jsonb_object_agg(l, null) from unnest(v_new) as l) || labels;
end
$func$;

comment on function bcp_internal.sensitive_labels(text, bcp_internal.anonymizer_state, jsonb) is
    'The sensitive keys before values in a text, as the rules that look for one find them, with what separates them '
    'from the value: an object that has for each what to do with a string and with a number, as [action, kind, '
    'value_pattern]. Whoever asks again gives, and gets, those that are known: null where one is not sensitive.';

create or replace function bcp_internal.mark_values(
    p_parts text[], p_labels jsonb, p_marks text, out marked text, out ways jsonb[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_parts text[] := p_parts;
    v_way jsonb;
    v_value text;
    v_place integer;
begin
    ways := '{}';
    for i in 2..cardinality(v_parts) by 2 loop
        v_way := p_labels -> v_parts[i];
        if v_way is not null then
            -- A value in front of a key is taken for its first word: pass: 12 fail: 0.
            v_value := case when v_parts[i + 1] = '' then v_parts[i + 2] else v_parts[i + 1] end;
            v_way := v_way -> case
                when translate(left(v_value, 1), '-.0123456789', '') = '' and v_value ~ '^-?[0-9.]{1,12}($|[^0-9A-Za-z.])'
                then 'number' else 'string' end;
        end if;
        if v_way is not null then
            v_place := array_position(ways, v_way);
            if v_place is null then
                ways := ways || v_way;
                v_place := cardinality(ways);
            end if;
            v_place := 2 * v_place
                - case when left(ltrim(left(v_parts[i], 8), '\'), 1) in ('"', '''') then 1 else 0 end;
            -- Where there are too many ways to mark, the rest are masked as secrets.
            v_parts[i] := v_parts[i] || substr(p_marks, least(v_place, 63), 1);
        end if;
    end loop;
    marked := array_to_string(v_parts, '');
end
$func$;

comment on function bcp_internal.mark_values(text[], jsonb, text) is
    'A text, split at the matches of a rule, with a mark before each value to mask, which is what follows a key of '
    'p_labels, and the ways to mask them: for way n mark 2 n - 1 stands for what follows a key in quotes, and mark 2 n '
    'for all else.';

create or replace function bcp_internal.values_that_stay(
    p_parts text[], p_ways jsonb[], p_marks text, p_rule bcp_internal.anonymizer_rules)
returns boolean[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Characters that separate values below.
    v_marking constant text := E'\n\r\x01\x02';
    v_lines text[] := '{}';
    v_different text[];
    v_looked_at text[];
    v_value text;
begin
    for i in 2..cardinality(p_parts) by 2 loop
        v_value := btrim(substr(p_parts[i], 2), '"''`\');
        v_lines[i / 2] := case
            when v_value = p_rule.replacement
                or (strpos(v_value, '#k') > 0 and v_value ~ '^[a-z][a-z0-9]*#k[0-9]+#[b-v]{16}$'
                    and p_ways[(strpos(p_marks, left(p_parts[i], 1)) + 1) / 2] ->> 0 = 'hash')
                then E'\x02'
            else concat(
                translate(right(p_parts[i - 1], 30), v_marking, '    '), E'\x01',
                translate(substr(p_parts[i], 2), v_marking, '    '), E'\x01',
                translate(left(p_parts[i + 1], 30), v_marking, '    '))
        end;
    end loop;
    if p_rule.value_exceptions is not null and v_lines <> '{}' then
        -- All are looked at together, one line for each that differs.
        v_different := array(select distinct line from unnest(v_lines) as line);
        v_looked_at := string_to_array(regexp_replace(
            lower(array_to_string(v_different, E'\n') collate "C"), p_rule.value_exceptions, E'\x02', 'gn'), E'\n');
        -- If a match took the end of a line, the lines no longer tell which values they belong to: then none stays.
        if cardinality(v_looked_at) <> cardinality(v_different) then
            return array_fill(false, array[cardinality(v_lines)]);
        end if;
        return array(
            select strpos(d.looked_at, E'\x02') > 0
            from unnest(v_lines) with ordinality as l (line, n)
            join unnest(v_different, v_looked_at) as d (line, looked_at) using (line)
            order by l.n);
    end if;
    return array(
        select strpos(l.line, E'\x02') > 0 from unnest(v_lines) with ordinality as l (line, n) order by l.n);
end
$func$;

comment on function bcp_internal.values_that_stay(text[], jsonb[], text, bcp_internal.anonymizer_rules) is
    'For each marked value, which are the even ones of the parts, whether it stays: it is masked already, or is no '
    'value but the name of one, as in password=os.getenv("DB_PASSWORD").';

create or replace function bcp_internal.quote_before(p_value text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Without the letters before a string: b"x", f'x', @"x".
    v_value constant text := ltrim(left(p_value, 2), 'bBrRuUfF@$') || substr(p_value, 3);
    v_inner constant text := ltrim(v_value, '\');
begin
    if left(v_inner, 1) in ('"', '''', '`') then
        return left(v_value, length(v_value) - length(v_inner) + 1);
    end if;
    return null;
end
$func$;

comment on function bcp_internal.quote_before(text) is
    'The quote that a value begins with, with the backslashes before it; null where it begins with none.';

create or replace function bcp_internal.mask_values_of_keys(
    p_text text, p_rule bcp_internal.anonymizer_rules, p_labels jsonb)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_marks text;
    m record;
    v_parts text[];
    v_stays boolean[];
    v_way jsonb;
    v_place integer;
    v_value text;
    v_quote text;
begin
    v_parts := bcp_internal.split_at_matches(p_text, p_rule.pattern, false);
    if not exists (
        select from unnest(v_parts) with ordinality as p (piece, o) where p.o % 2 = 0 and p_labels ? p.piece)
    then
        return p_text;
    end if;
    -- Only after a sensitive key may a value be taken whole: after any other key, the value has keys of its own. So the
    -- places of the values to mask are marked first, by private characters that are not in the text.
    v_marks := array_to_string(array(
        select chr(p.n)
        from (select generate_series(57344, 63743) as n) as p
        where strpos(p_text, chr(p.n)) = 0
        limit 64), '');
    -- A text that has nearly all of the 6,400 private characters was made to hide something.
    if length(v_marks) < 64 then
        return p_rule.replacement;
    end if;
    m := bcp_internal.mark_values(v_parts, p_labels, v_marks);
    if m.ways = '{}' then
        return p_text;
    end if;
    v_parts := bcp_internal.split_at_matches(m.marked, format('[%s](?:%s)', v_marks, p_rule.value_pattern), false);
    v_stays := bcp_internal.values_that_stay(v_parts, m.ways, v_marks, p_rule);
    for i in 2..cardinality(v_parts) by 2 loop
        v_place := strpos(v_marks, left(v_parts[i], 1));
        v_value := substr(v_parts[i], 2);
        v_way := case when v_place < 63 then m.ways[(v_place + 1) / 2] else '["redact", "secret", null]' end;
        if not v_stays[i / 2]
            and (
                v_way ->> 2 is null
                or regexp_replace(v_value, '^[bBrRuUfF@$]{0,2}\\*["''`]+|\\*["''`]+$', '', 'g') ~ (v_way ->> 2))
        then
            -- A string stays a string, so that JSON that was cut short can still be read.
            v_quote := coalesce(
                bcp_internal.quote_before(v_value), case when v_place % 2 = 1 then '"' end, '');
            v_value := concat(v_quote, case v_way ->> 0
                when 'hash' then bcp_internal.pseudonym(
                    v_way ->> 1, regexp_replace(v_value, '^[bBrRuUfF@$]{0,2}\\*["''`]+|\\*["''`]+$', '', 'g'))
                else p_rule.replacement end, v_quote);
        end if;
        v_parts[i] := v_value;
    end loop;
    return translate(array_to_string(v_parts, ''), v_marks, '');
end
$func$;

comment on function bcp_internal.mask_values_of_keys(text, bcp_internal.anonymizer_rules, jsonb) is
    'Text in which the values after sensitive keys are masked, as a rule with validation sensitive_key finds them.';
