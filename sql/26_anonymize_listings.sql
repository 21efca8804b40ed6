-- Values whose names stand further off: cells of tables of HTML, rows of COPY, and parameters of SQL statements.

create or replace function bcp_internal.sensitive_columns(p_names text[], p_state bcp_internal.anonymizer_state)
returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    return array(
        select c.n
        from bcp_internal.classify_keys(
            p_names, array_fill('string'::text, array[cardinality(p_names)]), p_state) as c
        where c.value_pattern is null);
end
$func$;

comment on function bcp_internal.sensitive_columns(text[], bcp_internal.anonymizer_state) is
    'Numbers of the names whose values are masked whatever they are, if they are text.';

create or replace function bcp_internal.mask_cells_of_html(
    p_text text, p_rule bcp_internal.anonymizer_rules, p_state bcp_internal.anonymizer_state)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Rows after their tag, and of a row the cells after theirs.
    v_rows text[] := bcp_internal.split_at_matches(p_text, '<[Tt][Rr](?:\s[^<>]*)?>', false);
    v_cells text[];
    v_columns integer[] := '{}';
begin
    for i in 3..cardinality(v_rows) by 2 loop
        -- A row of nothing but headings begins a table.
        if v_rows[i] ~ '<[Tt][Hh][\s>]' then
            if v_rows[i] ~ '<[Tt][Dd][\s>]' then
                v_columns := '{}';
            else
                v_columns := bcp_internal.sensitive_columns(array(
                    select left(btrim(regexp_replace(h.cell, '<[^<>]*>', '', 'g'), E' \t\r\n'), 60)
                    from regexp_split_to_table(v_rows[i], '<[Tt][Hh](?:\s[^<>]*)?>') with ordinality as h (cell, n)
                    where h.n > 1
                    order by h.n), p_state);
            end if;
        elsif v_columns <> '{}' then
            v_cells := bcp_internal.split_at_matches(v_rows[i], '<[Tt][Dd](?:\s[^<>]*)?>', false);
            for c in 3..cardinality(v_cells) by 2 loop
                if (c - 1) / 2 = any (v_columns) and btrim(split_part(v_cells[c], '</', 1), E' \t\r\n') <> '' then
                    v_cells[c] := p_rule.replacement
                        || coalesce(substring(v_cells[c] from '</[Tt][DdRr].*$'), '');
                elsif (c - 1) / 2 = any (v_columns) and v_cells[c] ~ '^<(?!/[Tt][DdRr])' then
                    v_cells[c] := coalesce(
                        regexp_replace(v_cells[c], '^.*?(</[Tt][DdRr])', p_rule.replacement || '\1'), '');
                end if;
            end loop;
            v_rows[i] := array_to_string(v_cells, '');
        end if;
        -- The next table has headings of its own, or none.
        if v_rows[i] ~ '</[Tt][Aa][Bb][Ll][Ee]' then
            v_columns := '{}';
        end if;
    end loop;
    return array_to_string(v_rows, '');
end
$func$;

comment on function bcp_internal.mask_cells_of_html(
    text, bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state) is
    'Text in which those cells of tables of HTML are redacted that are below a heading that is a sensitive name.';

create or replace function bcp_internal.copied_columns(p_statement text) returns text[]
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
begin
    return array(
        select btrim(name, E' \t\r\n"')
        from string_to_table(substring(p_statement from '\(([^()]*)\)'), ',') with ordinality as c (name, n)
        order by n);
end
$func$;

comment on function bcp_internal.copied_columns(text) is 'The columns that a COPY statement names.';

create or replace function bcp_internal.copies_in(p_text text) returns text[]
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
begin
    if strpos(p_text, 'COPY ') = 0 then
        return array[p_text];
    end if;
    return bcp_internal.split_at_matches(
        p_text, '\mCOPY [^();\n]{1,200}\([^()]*\) FROM (?:stdin|STDIN)[^;\n]{0,200};\r?\n', false);
end
$func$;

comment on function bcp_internal.copies_in(text) is
    'The text between statements COPY ... FROM stdin, and these statements, in turn.';

create or replace function bcp_internal.mask_copies(
    p_text text, p_rule bcp_internal.anonymizer_rules, p_state bcp_internal.anonymizer_state)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_parts text[] := bcp_internal.copies_in(p_text);
    v_columns integer[];
    -- Where the rows end.
    v_end integer;
begin
    for i in 3..cardinality(v_parts) by 2 loop
        v_columns := bcp_internal.sensitive_columns(bcp_internal.copied_columns(v_parts[i - 1]), p_state);
        v_end := strpos(E'\n' || v_parts[i], E'\n\\.') - 1;
        if v_end < 0 then
            v_end := length(v_parts[i]);
        end if;
        if v_columns <> '{}' and v_end > 0 then
            v_parts[i] := (
                -- An empty line has no cells, and stays.
                select string_agg(coalesce((
                    select string_agg(
                        case when n = any (v_columns) and cell not in ('\N', '') then p_rule.replacement else cell end,
                        E'\t' order by n)
                    from string_to_table(line, E'\t') with ordinality as c (cell, n)), ''), E'\n' order by o)
                from string_to_table(left(v_parts[i], v_end), E'\n') with ordinality as l (line, o)
            ) || substr(v_parts[i], v_end + 1);
        end if;
    end loop;
    return array_to_string(v_parts, '');
end
$func$;

comment on function bcp_internal.mask_copies(text, bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state) is
    'Text in which those columns of COPY ... FROM stdin are redacted that have a sensitive name.';

create or replace function bcp_internal.mask_listings(
    p_text text, p_rule bcp_internal.anonymizer_rules, p_state bcp_internal.anonymizer_state)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text text collate "C" := p_text;
begin
    if strpos(v_text, '<th') > 0 or strpos(v_text, '<TH') > 0 then
        v_text := bcp_internal.mask_cells_of_html(v_text, p_rule, p_state);
    end if;
    if strpos(v_text, 'COPY ') > 0 then
        v_text := bcp_internal.mask_copies(v_text, p_rule, p_state);
    end if;
    return v_text;
end
$func$;

comment on function bcp_internal.mask_listings(text, bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state) is
    'Text in which the cells of tables of HTML and the rows of COPY are redacted that have a sensitive name.';

create or replace function bcp_internal.parameter_names(p_statement text) returns text[]
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_place constant text := '(?:\?|%s|[$:@][pP]?[0-9]{1,3})';
    v_parts constant text[] := bcp_internal.split_at_matches(p_statement, v_place, false);
    v_insert constant text[] := regexp_match(
        p_statement, '\m[iI][nN][sS][eE][rR][tT]\s+[iI][nN][tT][oO]\s[^()]*\(([^()]*)\)\s*[vV][aA][lL][uU][eE][sS]\s*\(');
    v_columns constant text[] := string_to_array(v_insert[1], ',');
    v_names text[] := '{}';
    v_name text;
    n integer;
begin
    for i in 2..cardinality(v_parts) by 2 loop
        n := coalesce(nullif(bcp_internal.only_digits(v_parts[i]), '')::integer, i / 2);
        v_name := substring(
            v_parts[i - 1] from '([A-Za-z_][A-Za-z0-9_.]*)["`\]]?\s*(?:=|<>|!=|\m[iI]?[lL][iI][kK][eE])\s*(?:[A-Za-z_0-9]+\(\s*)?$');
        if v_name is null and v_columns <> '{}' then
            v_name := btrim(v_columns[(i / 2 - 1) % cardinality(v_columns) + 1], E' \t\r\n"`[]');
        end if;
        if n between 1 and 1000 then
            v_names[n] := v_name;
        end if;
    end loop;
    return v_names;
end
$func$;

comment on function bcp_internal.parameter_names(text) is
    'For each parameter of a SQL statement the column that it is compared with or goes into, as far as that shows.';

create or replace function bcp_internal.mask_parameters(p_value jsonb, p_state bcp_internal.anonymizer_state)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_value jsonb := p_value;
    v_statement text;
    v_names text[];
    v_columns integer[];
    v_key text;
begin
    select s.value #>> '{}'
    into v_statement
    from jsonb_each(p_value) as s
    where lower(s.key) in ('sql', 'query', 'statement', 'stmt', 'text', 'command') and jsonb_typeof(s.value) = 'string'
      and s.value #>> '{}' ~ '[?$:@%]' and length(s.value #>> '{}') <= 20000
    order by s.key
    limit 1;
    if v_statement is null then
        return p_value;
    end if;
    v_names := array(
        select coalesce(left(name, 60), '')
        from unnest(bcp_internal.parameter_names(v_statement)) with ordinality as u (name, n)
        order by n);
    if v_names = '{}' then
        return p_value;
    end if;
    v_columns := bcp_internal.sensitive_columns(v_names, p_state);
    if v_columns = '{}' then
        return p_value;
    end if;
    for v_key in
        select p.key
        from jsonb_each(p_value) as p
        where lower(p.key) in ('params', 'parameters', 'args', 'arguments', 'values', 'binds', 'bindings', 'vars')
          and jsonb_typeof(p.value) = 'array'
    loop
        v_value := jsonb_set(v_value, array[v_key], coalesce((
            select jsonb_agg(case
                    -- One set of parameters for each time that the statement is run.
                    when jsonb_typeof(e.value) = 'array' then coalesce((
                        select jsonb_agg(case
                                when i.n = any (v_columns) and jsonb_typeof(i.value) in ('string', 'number')
                                then '"[REDACTED]"' else i.value end order by i.n)
                        from jsonb_array_elements(e.value) with ordinality as i (value, n)), '[]')
                    when e.n = any (v_columns) and jsonb_typeof(e.value) in ('string', 'number')
                    then '"[REDACTED]"' else e.value
                end order by e.n)
            from jsonb_array_elements(p_value -> v_key) with ordinality as e (value, n)), '[]'));
    end loop;
    return v_value;
end
$func$;

comment on function bcp_internal.mask_parameters(jsonb, bcp_internal.anonymizer_state) is
    'An object of a SQL statement and its parameters, {"sql": "update u set password = $1", "params": ["x"]}, masked; '
    'any other object as it is.';
