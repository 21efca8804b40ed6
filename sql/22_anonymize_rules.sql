-- How the anonymiser's rules are applied to text. The rules are rows of bcp.anonymization_rules, compiled by
-- sql/27_anonymize_compile.sql.

create or replace function bcp_internal.split_at_matches(p_text text, p_pattern text, p_has_groups boolean)
returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text collate "C" := p_text;
    -- The mark must not be in the text, and no end of the mark may be its beginning, so that it is found exactly where
    -- it was put.
    v_mark text := E'\x02\x03';
begin
    while strpos(v_text, v_mark) > 0 loop
        v_mark := replace(v_mark, E'\x03', E'.\x03');
    end loop;
    -- Every caller that has to know where an expression matches uses this function, because PostgreSQL compiles an
    -- expression twice if it is used with captures and without.
    return string_to_array(
        regexp_replace(
            v_text, p_pattern,
            v_mark || case when p_has_groups then '\1' || v_mark || '\2' else '\&' end || v_mark, 'g'),
        v_mark);
end
$func$;

comment on function bcp_internal.split_at_matches(text, text, boolean) is
    'The text between the matches of an expression and the matches, in turn; for an expression with groups both groups '
    'instead of the match.';

create or replace function bcp_internal.mask_match(
    p_kept text, p_value text, p_rule bcp_internal.anonymizer_rules)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_value text := p_value;
    v_rest text := '';
begin
    if p_rule.value_exceptions is not null and v_value ~ p_rule.value_exceptions then
        return p_kept || v_value;
    end if;
    case p_rule.validation
        when 'luhn' then
            if p_rule.action = 'hash' then
                return p_kept || bcp_internal.mask_card(p_rule.kind, v_value);
            elsif bcp_internal.mask_card(p_rule.kind, v_value) = v_value then
                return p_kept || v_value;
            end if;
        when 'phone' then
            -- Other numbers may follow. While there are too many digits, the last group is not part of the telephone
            -- number.
            while length(bcp_internal.only_digits(v_value)) > 15 and v_value ~ '^(?:[+]|00).*[^0-9][0-9]+$' loop
                v_value := regexp_replace(v_value, '[^0-9]+[0-9]+$', '');
            end loop;
            v_rest := substr(p_value, length(v_value) + 1);
            if not bcp_internal.is_phone(v_value) then
                return p_kept || p_value;
            end if;
        when 'iban' then
            if not bcp_internal.is_iban(v_value) then
                return p_kept || v_value;
            end if;
        when 'identifier' then
            if not bcp_internal.is_identifier(p_rule.kind, v_value) then
                return p_kept || v_value;
            end if;
        else
            null;
    end case;
    return p_kept || case
        when p_rule.action <> 'hash' then p_rule.replacement
        -- What a rule has hashed may look to it like what it looks for, such as the name of a folder.
        when strpos(v_value, '#k') > 0 and v_value ~ '^[a-z][a-z0-9]*#k[0-9]+#[b-v]{16}$' then v_value
        else bcp_internal.pseudonym(p_rule.kind, v_value)
    end || v_rest;
end
$func$;

comment on function bcp_internal.mask_match(text, text, bcp_internal.anonymizer_rules) is
    'What takes the place of a match of a rule, whose first part is kept: the match itself where it fails the '
    'validation of the rule.';

create or replace function bcp_internal.apply_rule(
    p_text text, p_rule bcp_internal.anonymizer_rules, p_labels jsonb, p_state bcp_internal.anonymizer_state)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text collate "C" := p_text;
    v_parts text[];
    v_tags text[];
begin
    if p_rule.validation = 'sensitive_key' then
        return bcp_internal.mask_values_of_keys(v_text, p_rule, p_labels);
    elsif p_rule.validation = 'table' then
        return case
            when strpos(v_text, E'\n') > 0 and v_text ~ p_rule.pattern
                then bcp_internal.mask_listings(
                    bcp_internal.mask_tables(v_text, p_rule, p_state), p_rule, p_state)
            else bcp_internal.mask_listings(v_text, p_rule, p_state)
        end;
    elsif p_rule.action = 'redact' and p_rule.validation = 'none' then
        return regexp_replace(v_text, p_rule.pattern, p_rule.replacement, 'g');
    end if;
    v_parts := bcp_internal.split_at_matches(v_text, p_rule.pattern, p_rule.has_groups);
    if p_rule.has_groups then
        for i in 2..cardinality(v_parts) by 3 loop
            v_parts[i + 1] := bcp_internal.mask_match(v_parts[i], v_parts[i + 1], p_rule);
            v_parts[i] := '';
        end loop;
    else
        v_tags := case when p_rule.validation = 'tag' then bcp_internal.mask_tags(
            array(select t.tag from unnest(v_parts) with ordinality as t (tag, n) where t.n % 2 = 0 order by t.n),
            p_rule, p_state) end;
        for i in 2..cardinality(v_parts) by 2 loop
            v_parts[i] := case p_rule.validation
                when 'insert' then bcp_internal.mask_insert(v_parts[i], p_rule, p_state)
                when 'tag' then v_tags[i / 2]
                else bcp_internal.mask_match('', v_parts[i], p_rule)
            end;
        end loop;
    end if;
    return array_to_string(v_parts, '');
end
$func$;

comment on function bcp_internal.apply_rule(
    text, bcp_internal.anonymizer_rules, jsonb, bcp_internal.anonymizer_state) is
    'Text after a rule has been applied once. p_state may be null where the validation of the rule is not table, '
    'insert or tag.';

create or replace function bcp_internal.are_among(p_numbers integer[], p_count integer) returns boolean[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_are boolean[] := array_fill(false, array[p_count]);
    n integer;
begin
    foreach n in array p_numbers loop
        v_are[n] := true;
    end loop;
    return v_are;
end
$func$;

comment on function bcp_internal.are_among(integer[], integer) is
    'Of each number from 1 to p_count whether it is among the numbers; asking one by one would go through all of them.';

create or replace function bcp_internal.found_by_gates(
    p_texts text[], p_lower text[], p_state bcp_internal.anonymizer_state, out digits integer[], out hard integer[],
    out worded integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_all constant integer[] := array(select generate_subscripts(p_texts, 1));
    -- Without the gates of the rules that most texts are here for: e-mail addresses and numbers.
    v_other_gates bcp_internal.anonymizer_state := p_state;
    u record;
    v_gate text;
begin
    if p_state.word_gates is null then
        digits := v_all;
        hard := v_all;
        worded := v_all;
        return;
    end if;
    digits := '{}';
    foreach v_gate in array p_state.digit_gates loop
        digits := digits || bcp_internal.matching(bcp_internal.without(v_all, digits), p_lower, v_gate, false);
    end loop;
    -- Where the other gates find nothing, no other rule can match: to try it costs as much as those that do, and makes
    -- PostgreSQL forget the expressions that are used most.
    v_other_gates.quick_likes := '{}';
    v_other_gates.digit_gates := '{}';
    u := bcp_internal.unclean(p_texts, v_other_gates, false);
    hard := u.unclean;
    worded := u.worded;
    if u.unasked <> '{}' then
        foreach v_gate in array p_state.word_gates loop
            worded := worded || bcp_internal.matching(u.unasked, p_lower, v_gate, false);
        end loop;
    end if;
end
$func$;

comment on function bcp_internal.found_by_gates(text[], text[], bcp_internal.anonymizer_state) is
    'Numbers of the texts, which also come in lower case, in which rules of digits may match (digits); those that any '
    'other rule may change (hard); and those of them in which such a rule finds its words, and not only a sensitive '
    'key (worded).';

create or replace function bcp_internal.rules_to_apply(
    p_lower text[], p_worded integer[], p_digits integer[], p_keyed integer[], p_quick_likes text[])
returns table (rule bcp_internal.anonymizer_rules, numbers integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- With 9 in place of every digit.
    v_shapes constant text[] := array(
        select translate(s, '012345678', '999999999') from unnest(p_lower) with ordinality as t (s, o) order by o);
begin
    return query
    -- Look first where a rule may match, which costs a tenth of its pattern. Rules share hints, so each hint is looked
    -- for once in all texts.
    with tried as materialized (
        select r.ordinal, r.hint_ordinal, t.o::integer
        from bcp_internal.anonymizer_rules r
        join unnest(
            p_lower, v_shapes, bcp_internal.are_among(p_worded, cardinality(p_lower)),
            bcp_internal.are_among(p_digits, cardinality(p_lower)),
            bcp_internal.are_among(p_keyed, cardinality(p_lower))
        ) with ordinality as t (s, shape, is_worded, has_digits, is_keyed, o)
            on case
                when r.is_digits then t.has_digits
                when r.validation in ('sensitive_key', 'table') then t.is_keyed
                else t.is_worded or r.hint is null and r.likes && p_quick_likes
            end
            and (r.likes is null or t.s like any (r.likes))
            and (r.shapes is null or t.shape like any (r.shapes))
    ), hinted as materialized (
        select r.ordinal as hint_ordinal, m.o
        from (
            select t.hint_ordinal, array_agg(distinct t.o order by t.o) as numbers from tried t group by t.hint_ordinal
        ) as h
        join bcp_internal.anonymizer_rules r on r.ordinal = h.hint_ordinal
        cross join lateral unnest(bcp_internal.matching(h.numbers, p_lower, r.hint, false)) as m (o)
    )
    select r, hit.numbers
    from (
        select t.ordinal, array_agg(t.o order by t.o) as numbers
        from tried t
        left join hinted h on h.hint_ordinal = t.hint_ordinal and h.o = t.o
        where t.hint_ordinal is null or h.o is not null
        group by t.ordinal
    ) as hit
    join bcp_internal.anonymizer_rules r using (ordinal)
    order by r.ordinal;
end
$func$;

comment on function bcp_internal.rules_to_apply(text[], integer[], integer[], integer[], text[]) is
    'The rules that may match texts, which are in lower case, in their order, with the numbers of these texts. Of the '
    'texts p_worded, p_digits and p_keyed are those in which gates of words, gates of digits and sensitive keys were '
    'found.';

create or replace function bcp_internal.settle_texts(
    p_texts text[], p_state bcp_internal.anonymizer_state, p_labels jsonb default null)
returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_texts text[] := p_texts;
    -- Numbers of the texts that a rule may still change, and what this round has made of them.
    v_active integer[] := array(select generate_subscripts(p_texts, 1));
    v_now text[];
    v_lower text[];
    -- What the gates found.
    g record;
    -- Sensitive keys in the texts, those of the rounds before too, and numbers of the texts that have one.
    v_labels jsonb;
    v_known jsonb := coalesce(p_labels, '{}');
    v_keyed integer[];
    v_hits record;
    -- The compiled rules are large, and few rules need them.
    v_state bcp_internal.anonymizer_state;
    v_new text[];
    v_changed integer[];
    n integer;
begin
    -- What one rule leaves may be what another one looks for. The rounds end when no rule finds anything, so masking
    -- twice gives the same as masking once.
    for v_round in 1..8 loop
        exit when v_active = '{}';
        v_now := array(select v_texts[a] from unnest(v_active) with ordinality as active (a, o) order by o);
        v_lower := array(select lower(s collate "C") from unnest(v_now) with ordinality as t (s, o) order by o);
        g := bcp_internal.found_by_gates(v_now, v_lower, p_state);
        v_labels := '{}';
        if g.hard <> '{}' then
            select l.labels, l.known
            into v_labels, v_known
            from bcp_internal.sensitive_labels(
                bcp_internal.joined(array(select v_now[h.n] from unnest(g.hard) as h (n))), p_state, v_known) as l;
        end if;
        v_keyed := case when v_labels = '{}' then '{}' else array(
            select h.n from unnest(g.hard) as h (n)
            where exists (select from jsonb_object_keys(v_labels) as l where strpos(v_now[h.n], l) > 0)) end;
        for v_hits in
            select rule, numbers
            from bcp_internal.rules_to_apply(v_lower, g.worded, g.digits, v_keyed, p_state.quick_likes)
        loop
            v_state := case when (v_hits.rule).validation in ('table', 'insert', 'tag') then p_state end;
            v_new := array(
                select bcp_internal.apply_rule(v_now[h], v_hits.rule, v_labels, v_state)
                from unnest(v_hits.numbers) with ordinality as hit (h, o) order by o);
            for i in 1..cardinality(v_new) loop
                v_now[v_hits.numbers[i]] := v_new[i];
            end loop;
        end loop;
        v_changed := '{}';
        for i in 1..cardinality(v_active) loop
            n := v_active[i];
            if v_now[i] <> v_texts[n] then
                v_texts[n] := v_now[i];
                v_changed := v_changed || n;
            end if;
        end loop;
        v_active := v_changed;
    end loop;
    foreach n in array v_active loop
        v_texts[n] := '[REDACTED]';
    end loop;
    return v_texts;
end
$func$;

comment on function bcp_internal.settle_texts(text[], bcp_internal.anonymizer_state, jsonb) is
    'The texts after the rules have been applied until none changes them; [REDACTED] where that does not end. p_labels '
    'are keys before values that bcp_internal.sensitive_labels has looked up before.';

create or replace function bcp_internal.mask_texts(
    p_texts text[], p_state bcp_internal.anonymizer_state, p_labels jsonb default null)
returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_texts text[];
    v_numbers integer[];
    v_folded text[];
    v_masked text[];
begin
    v_texts := bcp_internal.settle_texts(p_texts, p_state, p_labels);
    -- The version with plain letters takes the place of the text only where it has something to mask.
    select array_agg(n order by n), array_agg(folded order by n)
    into v_numbers, v_folded
    from unnest(v_texts) with ordinality as t (s, n)
    cross join lateral bcp_internal.fold_text(s) as folded
    where folded <> s;
    if v_numbers is not null then
        v_masked := bcp_internal.settle_texts(v_folded, p_state, p_labels);
        for i in 1..cardinality(v_numbers) loop
            if v_masked[i] <> v_folded[i] then
                v_texts[v_numbers[i]] := v_masked[i];
            end if;
        end loop;
    end if;
    return v_texts;
end
$func$;

comment on function bcp_internal.mask_texts(text[], bcp_internal.anonymizer_state, jsonb) is
    'The texts after all rules, which also see letters and digits that are written with look-alikes. p_labels is that '
    'of bcp_internal.settle_texts.';
