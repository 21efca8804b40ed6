-- Sensitive names in the first line of a table, in an insert statement or in a tag of HTML, and the values that
-- belong to them.

create or replace function bcp_internal.split_cells(p_line text, p_separator text) returns text[]
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if strpos(p_line, '"') = 0 then
        return string_to_array(p_line, p_separator);
    end if;
    -- A cell in quotes may contain the separator.
    return array(
        select m[1]
        from regexp_matches(
            p_line || p_separator, format('([ \t]*"(?:[^"]|"")*"[^%1$s]*|[^%1$s]*)[%1$s]', p_separator), 'g') as m);
end
$func$;

comment on function bcp_internal.split_cells(text, text) is 'The cells of a line of a table.';

create or replace function bcp_internal.is_ruler(p_line text) returns boolean
language sql immutable parallel safe
as $func$
    -- Without a search_path of its own, so that it is inlined: it is asked about every line.
    select p_line operator(pg_catalog.~) '^[-+=: \t\r|\u2500-\u257f]*[+|\u2500-\u257f][-+=: \t\r|\u2500-\u257f]*$'
$func$;

comment on function bcp_internal.is_ruler(text) is
    'Whether a line only draws a table: the line under its names, or the frame around it. A line of hyphens alone may '
    'underline a heading.';

create or replace function bcp_internal.table_lines(p_text text) returns table (n bigint, line text)
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Most texts have no line that draws, and one look at all of them tells it.
    with drawn as materialized (
        select p_text collate "C"
            ~ '(?n)^[-+=: \t\r|\u2500-\u257f]*[+|\u2500-\u257f][-+=: \t\r|\u2500-\u257f]*$' as has_rulers
    )
    select t.n, t.line
    from string_to_table(p_text, E'\n') with ordinality as t (line, n)
    where not (select has_rulers from drawn)
    union all
    -- Two lines that draw, one after the other, are the end of one table and the beginning of the next.
    select l.n, l.line
    from (
        select r.*, lag(r.is_ruler) over (order by r.n) as was_ruler, lead(r.line) over (order by r.n) as next_line
        from (
            select t.n, t.line, bcp_internal.is_ruler(t.line) as is_ruler
            from string_to_table(p_text, E'\n') with ordinality as t (line, n)
            where (select has_rulers from drawn)
        ) as r
    ) as l
    where not (l.is_ruler and l.was_ruler is not true and l.next_line ~ '[|│┃]')
$func$;

comment on function bcp_internal.table_lines(text) is
    'Numbers and lines of a text, without those that draw a table whose cells bars separate.';

create or replace function bcp_internal.mask_tables(
    p_text text, p_rule bcp_internal.anonymizer_rules, p_state bcp_internal.anonymizer_state)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_lines text[] := string_to_array(p_text, E'\n');
    v_separator text;
    v_numbers integer[];
    v_masked text[];
begin
    foreach v_separator in array array[',', E'\t', '|', ';', '│'] loop
        continue when strpos(p_text, v_separator) = 0;
        -- A table is lines with equally many cells, whose first line tells what they are. Around names, the bars of a
        -- frame may be heavy.
        with lines as materialized (
            select l.n, l.line, row_number() over (order by l.n) as place,
                length(l.line) - length(replace(translate(l.line, '┃', '│'), v_separator, '')) as cells
            from bcp_internal.table_lines(p_text) as l
        ), blocks as (
            select *, place - row_number() over (partition by cells order by place) as block
            from lines
            where cells > 0
        ), tables as (
            select *, first_value(n) over t as header, translate(first_value(line) over t, '┃', '│') as names,
                count(*) over (partition by cells, block) as height
            from blocks
            window t as (partition by cells, block order by n)
        ), named as materialized (
            -- Each column twice: what strings it has, and what short numbers. A count of tokens is no token.
            select header, cardinality(h.cells) as width, array_agg(c.n) as columns
            from (
                select distinct header, bcp_internal.split_cells(names, v_separator) as cells
                from tables
                where height > 1 and length(names) <= 2000
            ) as h
            cross join lateral (
                select array_agg(case when u.cell ~ '^[^0-9]{1,50}$' then btrim(u.cell, E' \t\r"''`*_~') else '' end
                                 order by u.i) as names
                from unnest(h.cells || h.cells) with ordinality as u (cell, i)
            ) as k
            cross join lateral bcp_internal.classify_keys(
                k.names,
                array_fill('string'::text, array[cardinality(h.cells)])
                || array_fill('number'::text, array[cardinality(h.cells)]), p_state) as c
            where c.value_pattern is null
            group by header, h.cells
        )
        select array_agg(t.n::integer), array_agg((
            select string_agg(case
                    when o + case
                            when cell ~ '^[ \t]*(?:[0-9]{1,7}|[0-9]*[.][0-9]+)[ \t\r]*$' then m.width
                            else 0
                        end = any (m.columns)
                        and btrim(cell, E' \t\r"') <> ''
                        and cell !~ '^[ \t]*\[REDACTED\][ \t]*$'
                        then concat(
                            substring(cell from '^[ \t]*["''`]?'), p_rule.replacement,
                            substring(cell from '["''`]?[ \t\r]*$'))
                    else cell
                end, v_separator order by o)
            from unnest(bcp_internal.split_cells(t.line, v_separator)) with ordinality as u (cell, o)))
        into v_numbers, v_masked
        from tables t
        join named m using (header)
        where t.n > t.header and t.line !~ '^[ |:=+-]*\r?$';
        -- Not a loop over a query: there PL/pgSQL passes arrays flat, and finds their elements by counting.
        for i in 1..coalesce(cardinality(v_numbers), 0) loop
            v_lines[v_numbers[i]] := v_masked[i];
        end loop;
    end loop;
    return array_to_string(v_lines, E'\n');
end
$func$;

comment on function bcp_internal.mask_tables(text, bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state) is
    'Text in which those columns of tables are redacted that have a sensitive name. Commas, tabs, semicolons, bars or '
    'those of a frame separate columns.';

create or replace function bcp_internal.mask_insert(
    p_statement text, p_rule bcp_internal.anonymizer_rules, p_state bcp_internal.anonymizer_state)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_split constant text[] := regexp_match(p_statement, '^([^(]*\(([^()]*)\)[^(]*)(.*)$');
    v_names text[];
    v_columns integer[];
begin
    v_names := string_to_array(v_split[2], ',');
    v_columns := array(
        select c.n
        from bcp_internal.classify_keys(v_names, array_fill('string'::text, array[cardinality(v_names)]), p_state) as c
        where c.value_pattern is null);
    if v_columns = '{}' then
        return p_statement;
    end if;
    return v_split[1] || (
        select string_agg(case
                when piece !~ '^[(),]' and btrim(piece) <> '' and place = any (v_columns)
                    and lower(btrim(piece)) not in ('null', 'default', '?')
                    and piece !~ '^\s*(?:[:$%@]|''\[REDACTED\]'')'
                    then '''' || p_rule.replacement || ''''
                else piece
            end, '' order by n)
        from (
            select n, piece, 1 + count(*) filter (where piece = ',') over (partition by opened order by n) as place
            from (
                select n, piece, count(*) filter (where left(piece, 1) = '(') over (order by n) as opened
                from (
                    select m[1] as piece, n
                    from regexp_matches(v_split[3], '(''(?:[^'']|'''')*''?|\(|\)[\s,]*|,|[^(),'']+)', 'g')
                        with ordinality as r (m, n)
                ) as pieces
            ) as tuples
        ) as places);
end
$func$;

comment on function bcp_internal.mask_insert(text, bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state) is
    'A statement insert into t (name, password) values (...), with the values for sensitive columns redacted.';

create or replace function bcp_internal.mask_tags(
    p_tags text[], p_rule bcp_internal.anonymizer_rules, p_state bcp_internal.anonymizer_state)
returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_pattern constant text := '[A-Za-z_:.-]+\s*=\s*\\*(?:"[^"]*"?|''[^'']*''?|[^\s"''<>]+)';
    -- Attributes that name something, one row each: its tag, and its value.
    v_tags text[];
    v_values text[];
    -- Each value once, and which of them are sensitive keys.
    v_asked text[];
    v_found integer[];
begin
    select array_agg(a.tag), array_agg(a.value)
    into v_tags, v_values
    from (
        select t.tag, split_part(m[1], '=', 1) as name,
            btrim(substr(m[1], strpos(m[1], '=') + 1), E' "''\\') as value
        from (select distinct tag from unnest(p_tags) as u (tag)) as t
        cross join lateral regexp_matches(t.tag, v_pattern, 'g') as m
    ) as a
    join bcp.name_value_keys k on k.name_key = bcp_internal.plain_key(a.name)
    where 'value' = any (k.value_keys);
    v_asked := array(select distinct value from unnest(v_values) as value);
    v_found := array(
        select c.n
        from bcp_internal.classify_keys(v_asked, array_fill('string'::text, array[cardinality(v_asked)]), p_state) as c
        where c.value_pattern is null);
    if v_found = '{}' then
        return p_tags;
    end if;
    return array(
        select coalesce(f.masked, t.tag)
        from unnest(p_tags) with ordinality as t (tag, n)
        left join (
            select d.tag, regexp_replace(
                d.tag, '(\m(?:value|content|data)\s*=\s*)(?:(\\*["''])[^"''\\]*|[^\s"''<>\\]+)',
                '\1\2' || p_rule.replacement, 'gi') as masked
            from (
                select distinct a.tag
                from unnest(v_tags, v_values) as a (tag, value)
                where a.value in (select v_asked[f.n] from unnest(v_found) as f (n))
            ) as d
        ) as f using (tag)
        order by t.n);
end
$func$;

comment on function bcp_internal.mask_tags(text[], bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state) is
    'Tags of HTML or XML, with the value of each redacted of which another attribute names something sensitive: '
    '<input type="password" value="...">.';
