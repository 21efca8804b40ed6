-- The anonymiser's rules: how they are applied to text, and how they are checked and compiled. The rules
-- themselves are data: bcp.sensitive_keys, bcp.sensitive_key_exceptions, bcp.anonymization_rules.

create or replace function bcp_internal.mask_match(
    p_match text[], p_rule bcp_internal.anonymizer_rules)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_kept constant text := case when cardinality(p_match) = 2 then p_match[1] else '' end;
    v_value text := p_match[cardinality(p_match)];
    v_rest text := '';
begin
    case p_rule.validation
        when 'luhn' then
            if p_rule.action = 'hash' then
                return v_kept || bcp_internal.mask_card(p_rule.kind, v_value);
            elsif bcp_internal.mask_card(p_rule.kind, v_value) = v_value then
                return v_kept || v_value;
            end if;
        when 'phone' then
            -- Other numbers may follow: groups from the end are not part of it while there are too many digits.
            while length(regexp_replace(v_value, '[^0-9]', '', 'g')) > 15 and v_value ~ '[^0-9][0-9]+$' loop
                v_value := regexp_replace(v_value, '[^0-9]+[0-9]+$', '');
            end loop;
            v_rest := substr(p_match[cardinality(p_match)], length(v_value) + 1);
            if not bcp_internal.is_phone(v_value) then
                return v_kept || v_value || v_rest;
            end if;
        when 'iban' then
            if not bcp_internal.is_iban(v_value) then
                return v_kept || v_value;
            end if;
        else
            null;
    end case;
    return v_kept || case p_rule.action
        when 'hash' then bcp_internal.pseudonym(p_rule.kind, v_value)
        else p_rule.replacement
    end || v_rest;
end
$func$;

comment on function bcp_internal.mask_match(text[], bcp_internal.anonymizer_rules) is
    'What takes the place of a match of a rule: the match itself where it fails the rule''s validation.';

create or replace function bcp_internal.mask_values_of_keys(
    p_text text, p_rule bcp_internal.anonymizer_rules, p_state bcp_internal.anonymizer_state)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text text collate "C" := p_text;
    v_marks text[];
begin
    -- Only after a sensitive key may a value be taken whole: after any other, what it holds has keys of its
    -- own. So the values to mask are marked first, with private characters that are not in the text: one for
    -- what follows a key in quotes, one for all else.
    v_marks := array(select chr(n) from generate_series(57344, 63743) as n where strpos(p_text, chr(n)) = 0 limit 2);
    select string_agg(part || coalesce(key, '') || case
            when key is null or not bcp_internal.is_sensitive_key(
                key, case when next_part ~ '^-?[0-9.]{1,12}($|[^0-9A-Za-z.])' then 'number' else 'string' end, p_state) then ''
            when key ~ '^\\*["'']' then v_marks[1]
            else v_marks[2]
        end, '' order by n)
    into v_text
    from (
        select part, key[1] as key, left(lead(part) over (order by n), 40) as next_part, n
        from rows from (
            regexp_split_to_table(v_text, p_rule.pattern), regexp_matches(v_text, p_rule.pattern, 'g')
        ) with ordinality as piece (part, key, n)
    ) as pieces;
    if strpos(v_text, v_marks[1]) = 0 and strpos(v_text, v_marks[2]) = 0 then
        return p_text;
    end if;
    -- What was a string stays one, so that JSON cut short still reads.
    select string_agg(part || case
            when value is null then ''
            else coalesce(quote, '') || p_rule.replacement || coalesce(quote, '')
        end, '' order by n)
    into v_text
    from (
        select part, value[1] as value, n, coalesce(
            substring(value[1] from '^.[bBrRuU]{0,2}(\\*["''])'), case when left(value[1], 1) = v_marks[1] then '"' end) as quote
        from rows from (
            regexp_split_to_table(v_text, format('[%s%s](?:%s)', v_marks[1], v_marks[2], p_rule.value_pattern)),
            regexp_matches(v_text, format('[%s%s](?:%s)', v_marks[1], v_marks[2], p_rule.value_pattern), 'g')
        ) with ordinality as piece (part, value, n)
    ) as pieces;
    return translate(v_text, v_marks[1] || v_marks[2], '');
end
$func$;

comment on function bcp_internal.mask_values_of_keys(text, bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state) is
    'Text in which the values after sensitive keys, as a rule with validation sensitive_key finds them, are redacted.';

create or replace function bcp_internal.apply_rules(p_text text, p_state bcp_internal.anonymizer_state) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text text collate "C" := p_text;
    v_rule bcp_internal.anonymizer_rules;
begin
    for v_rule in
        select *
        from bcp_internal.anonymizer_rules
        where case
            when p_state.text_gates is null then true
            when validation = 'sensitive_key' then p_state.key_gates <> '{}' or p_state.word_gates <> '{}'
            when gate is not null then gate = any (p_state.text_gates)
            else likes && p_state.text_likes
        end
        order by ordinal
    loop
        -- The hint first, which costs a tenth of the pattern.
        continue when lower(v_text) !~ v_rule.hint or v_text !~ v_rule.pattern;
        if v_rule.validation = 'sensitive_key' then
            v_text := bcp_internal.mask_values_of_keys(v_text, v_rule, p_state);
        elsif v_rule.action = 'redact' and v_rule.validation = 'none' then
            v_text := regexp_replace(v_text, v_rule.pattern, v_rule.replacement, 'g');
        else
            -- What stands between the matches, and the matches, in turn.
            select string_agg(part || coalesce(bcp_internal.mask_match(match, v_rule), ''), '' order by n)
            into v_text
            from rows from (
                regexp_split_to_table(v_text, v_rule.pattern), regexp_matches(v_text, v_rule.pattern, 'g')
            ) with ordinality as piece (part, match, n);
        end if;
    end loop;
    return v_text;
end
$func$;

comment on function bcp_internal.apply_rules(text, bcp_internal.anonymizer_state) is 'Text after every enabled rule has been applied once.';

create or replace function bcp_internal.settle_text(p_text text, p_state bcp_internal.anonymizer_state) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text text := p_text;
    v_before text;
    v_narrow bcp_internal.anonymizer_state;
begin
    -- What one rule leaves may be what another looks for; at the end nothing is left to find, so masking
    -- twice is masking once.
    for i in 1..8 loop
        v_before := v_text;
        -- Gates tell nothing of text with look-alikes.
        v_narrow := case
            when octet_length(v_text) = length(v_text) then bcp_internal.narrow_gates(v_text, p_state) else p_state end;
        v_text := bcp_internal.apply_rules(v_text, v_narrow);
        if v_text = v_before then
            return v_text;
        end if;
    end loop;
    return '[REDACTED]';
end
$func$;

comment on function bcp_internal.settle_text(text, bcp_internal.anonymizer_state) is
    'Text after the rules have been applied until none changes it; [REDACTED] where that does not end.';

create or replace function bcp_internal.mask_text(p_text text, p_state bcp_internal.anonymizer_state) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_masked text;
    v_folded text;
    v_result text;
begin
    if octet_length(p_text) = length(p_text) then
        if bcp_internal.passes_gate(p_text, p_state) then
            return p_text;
        end if;
        return bcp_internal.settle_text(p_text, p_state);
    end if;
    v_folded := bcp_internal.fold_text(p_text);
    if bcp_internal.passes_gate(p_text, p_state)
        and bcp_internal.passes_gate(v_folded, p_state)
        and bcp_internal.passes_gate(bcp_internal.fold_key(p_text), p_state)
    then
        return p_text;
    end if;
    v_masked := bcp_internal.settle_text(p_text, p_state);
    -- Only where its look-alike has something to mask does the look-alike take the text's place.
    v_folded := bcp_internal.fold_text(v_masked);
    if v_folded = v_masked then
        return v_masked;
    end if;
    v_result := bcp_internal.settle_text(v_folded, p_state);
    return case when v_result = v_folded then v_masked else v_result end;
end
$func$;

comment on function bcp_internal.mask_text(text, bcp_internal.anonymizer_state) is
    'Text after all rules, also where letters and digits are written with look-alikes.';

create or replace function bcp_internal.check_rule(p_rule bcp.anonymization_rules) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_groups text[];
    v_problem text;
begin
    begin
        -- With an empty branch it matches nothing, and says how many groups it has.
        v_groups := regexp_match('', p_rule.pattern || '|');
        v_problem := case
            when '' ~ p_rule.pattern then 'it matches the empty text'
            when (p_rule.action = 'hash' or p_rule.validation <> 'none') and v_groups <> '{""}' and cardinality(v_groups) <> 2
                then 'it has capture groups, but not the two of what to keep and what to mask'
            when p_rule.validation = 'sensitive_key' and (v_groups <> '{""}' or regexp_match('', p_rule.value_pattern || '|') <> '{""}')
                then 'it has capture groups'
            when '' ~ p_rule.value_pattern then 'its value may be the empty text'
            when '' ~ p_rule.hint then 'its hint matches every text'
            when p_rule.hint is not null and not bcp_internal.fits_gate(p_rule.hint) then 'its hint has anchors, options, quotes or backslashes'
            when exists (select from unnest(p_rule.words) as w where w <> lower(w) or w ~ '^$|["\\]')
                then 'one of its words is empty, has capitals, quotes or backslashes'
        end;
    exception
        when invalid_regular_expression then
            v_problem := 'it is no regular expression: ' || sqlerrm;
    end;
    if v_problem is not null then
        raise exception using
            errcode = 'ZB006',
            message = format('rule %s of bcp.anonymization_rules cannot be used: %s', p_rule.name, v_problem),
            hint = 'The comments on its columns say what a pattern may be.';
    end if;
end
$func$;

comment on function bcp_internal.check_rule(bcp.anonymization_rules) is 'Raises ZB006 where a rule cannot be used.';

create or replace function bcp_internal.fits_gate(p_pattern text) returns boolean
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- The gate looks at JSON as text, where a string begins and ends anywhere and quotes and backslashes are
    -- escaped, and one pattern is a branch among many there.
    select replace(p_pattern, '[^', '[') !~ '["^$]|\\\\|\\[AZ1-9]|^\(\?[a-z]|^\*\*\*'
$func$;

comment on function bcp_internal.fits_gate(text) is 'Whether a regular expression may be a branch of the gate.';

create or replace function bcp_internal.key_expression(p_key_pattern text, p_match_mode text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- For the output of bcp_internal.key_words.
    select case p_match_mode
        when 'contains' then v_spaced
        when 'part' then p_key_pattern || '|(?<![a-z])' || v_spaced || '(?![a-z])'
        when 'word' then '(?<![a-z])' || v_spaced || '(?![a-z])'
        else '^ ?' || v_spaced || ' ?$'
    end
    from regexp_replace(p_key_pattern, '(.)(?=.)', '\1 ?', 'g') as v_spaced
$func$;

comment on function bcp_internal.key_expression(text, text) is 'Regular expression of a row of bcp.sensitive_keys or of its exceptions.';

create or replace function bcp_internal.gate_expression(p_key_pattern text, p_match_mode text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- With anything but letters and digits between. Of a whole word in text as it came: it begins where no
    -- letter is before it, or with a capital, and no small letter goes on after it.
    select case
        when p_match_mode <> 'word' then string_agg(c, '[^a-z0-9]*' order by n)
        else
            case when left(p_key_pattern, 1) ~ '[a-z]'
                then format('(?:%s|(?<![A-Za-z])%s)', upper(left(p_key_pattern, 1)), left(p_key_pattern, 1))
                else left(p_key_pattern, 1)
            end
            || string_agg(format('[^A-Za-z0-9]*[%s%s]', c, upper(c)), '' order by n) filter (where n > 1) || '(?![a-z])'
    end
    from string_to_table(p_key_pattern, null) with ordinality as letter (c, n)
$func$;

comment on function bcp_internal.gate_expression(text, text) is
    'Regular expression that matches every text in which a sensitive key of this pattern can be: in lower case, but as it came where the mode is word.';

create or replace function bcp_internal.compile_anonymizer() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Matches nothing, for what has no rows.
    v_never constant text := '(?!)';
    v_state bcp_internal.anonymizer_state;
begin
    if getdatabaseencoding() <> 'UTF8' then
        raise exception using
            errcode = 'ZB006', message = 'the anonymiser needs a database in UTF8', hint = 'create database ... encoding ''UTF8''';
    end if;
    perform bcp_internal.check_rule(r) from bcp.anonymization_rules r where enabled;

    delete from bcp_internal.anonymizer_rules;
    insert into bcp_internal.anonymizer_rules (
        ordinal, name, kind, pattern, value_pattern, likes, hint, validation, action, replacement)
    select
        row_number() over (order by ordinal, name), name, kind, pattern, value_pattern,
        (
            -- A key in text is followed by one of three characters.
            select array_agg('%' || regexp_replace(w, '[%_]', '\\\&', 'g') || '%')
            from unnest(case when validation = 'sensitive_key' then '{:,=,>}' else words end) as w
        ),
        hint, validation, action, replacement
    from bcp.anonymization_rules
    where enabled;

    -- Gates. Of digits an expression each, since together they cost several times what they do alone. Of words
    -- two at a time, since many expressions outgrow PostgreSQL's cache of 32. A sensitive key in text is found by the
    -- gates for keys.
    update bcp_internal.anonymizer_rules r set gate = g.gate
    from (
        select ordinal, string_agg(hint, '|') over (partition by words, case when words then n / 2 else n end) as gate
        from (
            select ordinal, hint, hint ~ '[a-z]{2}' as words, row_number() over (partition by hint ~ '[a-z]{2}' order by ordinal) as n
            from bcp_internal.anonymizer_rules
            where hint is not null and validation <> 'sensitive_key'
        ) as hints
    ) as g
    where g.ordinal = r.ordinal;
    v_state.digit_gates := array(
        select gate from bcp_internal.anonymizer_rules where gate = hint and hint !~ '[a-z]{2}' order by ordinal);
    select case when not coalesce(bool_or(gate is null and likes is null), false) then
        coalesce(array_agg(distinct gate) filter (where gate is not null), '{}') end
    into v_state.text_gates
    from bcp_internal.anonymizer_rules
    where validation <> 'sensitive_key';
    v_state.text_likes := array(
        select distinct unnest(c.likes)
        from bcp_internal.anonymizer_rules c join bcp.anonymization_rules r using (name)
        where r.hint is null and c.likes is not null and r.validation <> 'sensitive_key');
    select coalesce(string_agg(branch, '|'), v_never) into v_state.word_gate
    from (
        select hint from bcp.anonymization_rules
        where enabled and validation <> 'sensitive_key' and hint ~ '[a-z]{2}'
        union all
        select distinct regexp_replace(w, '[^a-z0-9 ]', '\\\&', 'g')
        from bcp.anonymization_rules r cross join unnest(r.words) as w
        where r.enabled and r.validation <> 'sensitive_key' and r.hint is null
    ) as branches (branch);
    v_state.key_gates := array(
        with loose as (
            select distinct key_pattern from bcp.sensitive_keys where enabled and match_mode <> 'word'
        ), shortest as (
            -- Where one pattern is in another, finding the shorter one will do.
            select key_pattern, row_number() over (order by key_pattern) as n from loose l
            where not exists (
                select from loose o where o.key_pattern <> l.key_pattern and strpos(l.key_pattern, o.key_pattern) > 0)
        )
        select string_agg(bcp_internal.gate_expression(key_pattern, 'contains'), '|') from shortest group by n / 18);
    v_state.word_gates := array(
        select string_agg(bcp_internal.gate_expression(key_pattern, 'word'), '|')
        from (
            select key_pattern, row_number() over (order by key_pattern) as n
            from bcp.sensitive_keys where enabled and match_mode = 'word'
        ) as words
        group by n / 16);

    select
        coalesce(array_agg('%' || key_pattern || '%'), '{}'), coalesce(array_agg(expression), '{}'),
        coalesce(array_agg(value_type), '{}')
    into v_state.key_likes, v_state.key_patterns, v_state.key_types
    from bcp.sensitive_keys, bcp_internal.key_expression(key_pattern, match_mode) as expression
    where enabled;
    select
        coalesce(array_agg('%' || key_pattern || '%'), '{}'), coalesce(array_agg(expression), '{}'),
        coalesce(array_agg(value_type), '{}')
    into v_state.exception_likes, v_state.exception_patterns, v_state.exception_types
    from bcp.sensitive_key_exceptions, bcp_internal.key_expression(key_pattern, match_mode) as expression
    where enabled;

    delete from bcp_internal.anonymizer_state;
    v_state.only_row := true;
    insert into bcp_internal.anonymizer_state select v_state.*;
end
$func$;

comment on function bcp_internal.compile_anonymizer() is
    'Checks the anonymiser''s rules and compiles them to bcp_internal.anonymizer_state and anonymizer_rules; triggers call it. ZB006 where a rule cannot be used.';

-- Whoever may edit the rules need not be able to write what they are compiled to.
create or replace function bcp_internal.compile_anonymizer_trigger() returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $func$
begin
    perform bcp_internal.compile_anonymizer();
    return null;
end
$func$;

comment on function bcp_internal.compile_anonymizer_trigger() is 'bcp_internal.compile_anonymizer() after each statement that edits the rules.';

create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.sensitive_keys
    for each statement execute function bcp_internal.compile_anonymizer_trigger();
create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.sensitive_key_exceptions
    for each statement execute function bcp_internal.compile_anonymizer_trigger();
create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.anonymization_rules
    for each statement execute function bcp_internal.compile_anonymizer_trigger();

-- Made from what the tables hold at this moment, after every load of these files; a key only once.
select bcp_internal.compile_anonymizer();
select bcp_internal.create_anonymization_key()
where not exists (select from bcp_internal.anonymization_keys where retired_at is null);
