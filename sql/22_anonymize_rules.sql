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
            while length(bcp_internal.only_digits(v_value)) > 15 and v_value ~ '[^0-9][0-9]+$' loop
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
        when 'identifier' then
            if not bcp_internal.is_identifier(p_rule.kind, v_value) then
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
    v_marks := array(
        -- In a list of columns a series stops with the limit.
        select chr(n) from (select generate_series(57344, 63743) as n) as private where strpos(p_text, chr(n)) = 0 limit 2);
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

create or replace function bcp_internal.apply_rule(
    p_text text, p_rule bcp_internal.anonymizer_rules, p_state bcp_internal.anonymizer_state)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text collate "C" := p_text;
    v_parts text[];
    v_matches text[];
    i integer := 0;
begin
    if p_rule.validation = 'sensitive_key' then
        return case when v_text ~ p_rule.pattern then bcp_internal.mask_values_of_keys(v_text, p_rule, p_state) else p_text end;
    elsif p_rule.action = 'redact' and p_rule.validation = 'none' then
        return regexp_replace(v_text, p_rule.pattern, p_rule.replacement, 'g');
    end if;
    -- What stands between the matches, and the matches, in turn.
    v_parts := regexp_split_to_array(v_text, p_rule.pattern);
    if cardinality(v_parts) > 1 then
        for v_matches in select m from regexp_matches(v_text, p_rule.pattern, 'g') as m loop
            i := i + 1;
            v_parts[i] := v_parts[i] || bcp_internal.mask_match(v_matches, p_rule);
        end loop;
    end if;
    return array_to_string(v_parts, '');
end
$func$;

comment on function bcp_internal.apply_rule(text, bcp_internal.anonymizer_rules, bcp_internal.anonymizer_state) is
    'Text after a rule has been applied once.';

create or replace function bcp_internal.keyed_texts(p_texts text[], p_state bcp_internal.anonymizer_state)
returns integer[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_keyed integer[];
    v_ascii integer[];
begin
    if p_state.word_gate is null then
        return array(select generate_subscripts(p_texts, 1));
    end if;
    -- A gate knows no look-alikes.
    select
        coalesce(array_agg(n) filter (where octet_length(s) > length(s)), '{}'),
        coalesce(array_agg(n) filter (where octet_length(s) = length(s) and greatest(strpos(s, ':'), strpos(s, '='), strpos(s, '>')) > 0), '{}')
    into v_keyed, v_ascii
    from unnest(p_texts) with ordinality as t (s, n);
    return v_keyed
        || bcp_internal.matching(v_ascii, p_texts, p_state.key_gate, true)
        || bcp_internal.matching(v_ascii, p_texts, p_state.key_word_gate, false);
end
$func$;

comment on function bcp_internal.keyed_texts(text[], bcp_internal.anonymizer_state) is
    'Numbers of the texts in which a sensitive key and its value may be.';

create or replace function bcp_internal.settle_texts(p_texts text[], p_state bcp_internal.anonymizer_state) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_texts text[] := p_texts;
    -- Numbers of the texts that a rule may still change, and what this round has made of them.
    v_active integer[] := array(select generate_subscripts(p_texts, 1));
    v_now text[];
    v_lower text[];
    v_all integer[];
    v_digits integer[];
    v_keyed integer[];
    v_hits record;
    v_new text[];
    n integer;
begin
    -- What one rule leaves may be what another looks for; at the end nothing is left to find, so masking
    -- twice is masking once.
    for v_round in 1..8 loop
        exit when v_active = '{}';
        v_now := array(select v_texts[a] from unnest(v_active) with ordinality as active (a, o) order by o);
        v_lower := array(select lower(s collate "C") from unnest(v_now) with ordinality as t (s, o) order by o);
        v_all := array(select generate_subscripts(v_now, 1));
        v_digits := case
            when p_state.word_gate is null then v_all else bcp_internal.matching(v_all, v_lower, p_state.digit_gate, false) end;
        v_keyed := bcp_internal.keyed_texts(v_now, p_state);
        for v_hits in
            -- Where a rule may match: what costs a tenth of its pattern.
            select r as rule, array_agg(t.n order by t.n) as numbers
            from bcp_internal.anonymizer_rules r
            join unnest(v_lower) with ordinality as t (s, n)
                on (r.validation <> 'sensitive_key' or t.n = any (v_keyed))
                and (not r.is_digits or t.n = any (v_digits))
                and (r.likes is null or t.s like any (r.likes))
                and (r.hint is null or t.s ~ r.hint)
            group by r.ordinal
            order by r.ordinal
        loop
            v_new := array(
                select bcp_internal.apply_rule(v_now[h], v_hits.rule, p_state)
                from unnest(v_hits.numbers) with ordinality as hit (h, o) order by o);
            for i in 1..cardinality(v_new) loop
                v_now[v_hits.numbers[i]] := v_new[i];
            end loop;
        end loop;
        v_all := v_active;
        v_active := '{}';
        for i in 1..cardinality(v_all) loop
            n := v_all[i];
            if v_now[i] <> v_texts[n] then
                v_texts[n] := v_now[i];
                v_active := v_active || n;
            end if;
        end loop;
    end loop;
    foreach n in array v_active loop
        v_texts[n] := '[REDACTED]';
    end loop;
    return v_texts;
end
$func$;

comment on function bcp_internal.settle_texts(text[], bcp_internal.anonymizer_state) is
    'Texts after the rules have been applied until none changes them; [REDACTED] where that does not end.';

create or replace function bcp_internal.mask_texts(p_texts text[], p_state bcp_internal.anonymizer_state) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_texts text[];
    v_numbers integer[];
    v_folded text[];
    v_masked text[];
begin
    v_texts := bcp_internal.settle_texts(p_texts, p_state);
    -- Only where its look-alike has something to mask does the look-alike take the text's place.
    select array_agg(n order by n), array_agg(folded order by n)
    into v_numbers, v_folded
    from unnest(v_texts) with ordinality as t (s, n)
    cross join lateral bcp_internal.fold_text(s) as folded
    where octet_length(s) > length(s) and folded <> s;
    if v_numbers is not null then
        v_masked := bcp_internal.settle_texts(v_folded, p_state);
        for i in 1..cardinality(v_numbers) loop
            if v_masked[i] <> v_folded[i] then
                v_texts[v_numbers[i]] := v_masked[i];
            end if;
        end loop;
    end if;
    return v_texts;
end
$func$;

comment on function bcp_internal.mask_texts(text[], bcp_internal.anonymizer_state) is
    'Texts after all rules, also where letters and digits are written with look-alikes.';

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

create or replace function bcp_internal.gate_expression(p_key_pattern text, p_letter text, p_first text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- With anything but letters and digits between.
    select p_first || coalesce(string_agg('[^A-Za-z0-9]*' || format(p_letter, c, upper(c)), '' order by n), '')
    from string_to_table(substr(p_key_pattern, 2), null) with ordinality as letter (c, n)
$func$;

comment on function bcp_internal.gate_expression(text, text, text) is
    'Regular expression of the text of a sensitive key: its first character, and the others in a format, %s for as they are, [%s%s] for small ones and capitals.';

create or replace function bcp_internal.is_in_force(p_enabled boolean, p_pack text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select p_enabled and (p_pack is null or exists (select from bcp.anonymization_packs where name = p_pack and enabled))
$func$;

comment on function bcp_internal.is_in_force(boolean, text) is
    'Whether a key or rule counts: it is enabled, and so is its pack if it has one.';

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
    perform bcp_internal.check_rule(r) from bcp.anonymization_rules r where bcp_internal.is_in_force(r.enabled, r.pack);

    delete from bcp_internal.anonymizer_rules;
    insert into bcp_internal.anonymizer_rules (
        ordinal, name, kind, pattern, value_pattern, likes, hint, is_digits, validation, action, replacement)
    select
        row_number() over (order by ordinal, name), name, kind, pattern, value_pattern,
        (
            -- A key in text is followed by one of three characters.
            select array_agg('%' || regexp_replace(w, '[%_]', '\\\&', 'g') || '%')
            from unnest(case when validation = 'sensitive_key' then '{:,=,>}' else words end) as w
        ),
        hint, coalesce(hint ~ '\[' and hint !~ '[a-z]{2}', false), validation, action, replacement
    from bcp.anonymization_rules
    where bcp_internal.is_in_force(enabled, pack);

    -- Gates: what a rule's hint is a branch of, or without a hint its words. Those of digits cost less apart.
    select
        coalesce(string_agg(branch, '|') filter (where is_digits), v_never),
        case when not bool_or(branch is null) then coalesce(string_agg(branch, '|') filter (where not is_digits), v_never) end,
        coalesce(array_agg('%' || branch || '%') filter (where branch ~ '^[@#&=~^|]$'), '{}')
    into v_state.digit_gate, v_state.word_gate, v_state.quick_likes
    from (
        select distinct coalesce(r.hint, regexp_replace(w, '[^a-z0-9 @#&=~|]', '\\\&', 'g')), c.is_digits
        from bcp_internal.anonymizer_rules c
        join bcp.anonymization_rules r using (name)
        left join lateral unnest(r.words) as w on r.hint is null
        where r.validation <> 'sensitive_key'
    ) as branches (branch, is_digits);
    with loose as (
        select distinct key_pattern from bcp.sensitive_keys where bcp_internal.is_in_force(enabled, pack) and match_mode <> 'word'
    )
    select coalesce(string_agg(bcp_internal.gate_expression(key_pattern, '%s', left(key_pattern, 1)), '|'), v_never) into v_state.key_gate
    from loose l
    -- Where one pattern is in another, finding the shorter one will do.
    where not exists (
        select from loose o where o.key_pattern <> l.key_pattern and strpos(l.key_pattern, o.key_pattern) > 0);
    -- A whole word in text as it came begins where no letter is before it, or with a capital, and no small letter goes
    -- on after it.
    select coalesce(
        format('(?:(?<![A-Za-z])(?:%s)|%s)(?![a-z])',
            string_agg(bcp_internal.gate_expression(key_pattern, '[%s%s]', left(key_pattern, 1)), '|'),
            string_agg(bcp_internal.gate_expression(key_pattern, '[%s%s]', upper(left(key_pattern, 1))), '|')), v_never)
    into v_state.key_word_gate
    from bcp.sensitive_keys
    where bcp_internal.is_in_force(enabled, pack) and match_mode = 'word';

    select
        coalesce(array_agg('%' || key_pattern || '%'), '{}'), coalesce(array_agg(expression), '{}'),
        coalesce(array_agg(value_type), '{}')
    into v_state.key_likes, v_state.key_patterns, v_state.key_types
    from bcp.sensitive_keys, bcp_internal.key_expression(key_pattern, match_mode) as expression
    where bcp_internal.is_in_force(enabled, pack);
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
create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.anonymization_packs
    for each statement execute function bcp_internal.compile_anonymizer_trigger();

-- Made from what the tables hold at this moment, after every load of these files; a key only once.
select bcp_internal.compile_anonymizer();
select bcp_internal.create_anonymization_key()
where not exists (select from bcp_internal.anonymization_keys where retired_at is null);
