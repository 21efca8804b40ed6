-- Checks the anonymiser's rules and keys, and compiles them to what it reads. They are data: bcp.sensitive_keys,
-- bcp.sensitive_key_exceptions, bcp.name_value_keys, bcp.anonymization_rules, bcp.anonymization_packs.

create or replace function bcp_internal.check_rule(p_rule bcp.anonymization_rules) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_groups text[];
    v_problem text;
begin
    begin
        -- With an empty branch added it matches the empty text, and the result shows how many groups it has.
        v_groups := regexp_match('', p_rule.pattern || '|');
        v_problem := case
            when '' ~ p_rule.pattern then 'it matches the empty text'
            when (p_rule.action = 'hash' or p_rule.validation <> 'none')
                and v_groups <> '{""}' and cardinality(v_groups) <> 2
                then 'it has capture groups, but not the two of what to keep and what to mask'
            when p_rule.validation = 'sensitive_key'
                and (v_groups <> '{""}' or regexp_match('', p_rule.value_pattern || '|') <> '{""}')
                then 'it has capture groups'
            when '' ~ p_rule.value_pattern then 'its value may be the empty text'
            when '' ~ p_rule.value_exceptions then 'its exceptions match every value'
            when '' ~ p_rule.hint then 'its hint matches every text'
            when p_rule.hint is not null and not bcp_internal.fits_gate(p_rule.hint)
                then 'its hint has anchors, options, quotes, backslashes or line ends'
            when exists (select from unnest(p_rule.words) as w where w <> lower(w) or w ~ '^$|["\\\n]')
                then 'one of its words is empty, has capitals, quotes, backslashes or line ends'
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
    -- A gate looks at the text of JSON, where a string begins and ends anywhere and quotes and backslashes are escaped;
    -- and the pattern becomes one branch among many there.
    select replace(p_pattern, '[^', '[') !~ '["^$]|\\\\|\\[AZ1-9]|^\(\?[a-z]|^\*\*\*'
        -- Texts are joined without line ends.
        and regexp_replace(p_pattern, '\[\^[^]]*\]', '', 'g') !~ '\n|\\n'
$func$;

comment on function bcp_internal.fits_gate(text) is 'Whether a regular expression may be a branch of the gate.';

create or replace function bcp_internal.is_in_force(p_enabled boolean, p_pack text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select p_enabled
        and (p_pack is null or exists (select from bcp.anonymization_packs where name = p_pack and enabled))
$func$;

comment on function bcp_internal.is_in_force(boolean, text) is
    'Whether a key or rule counts: it is enabled, and so is its pack, if it has one.';

create or replace function bcp_internal.shapes_of_hint(p_hint text) returns text[]
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_tokens constant text[] := array(
        select m[1]
        from regexp_matches(
            p_hint,
            '(\\u[0-9A-Fa-f]{4}|\\.|\[\^?\]?[^]]*\]|\{[0-9]+\}|\{[0-9]+,[0-9]*\}|.)', 'g') as m);
    v_token text;
    -- How deep in groups this is, the pattern so far, and the last of it, which a quantifier may repeat.
    v_depth integer := 0;
    v_shape text := '%';
    v_last text := '';
    v_shapes text[] := '{}';
begin
    -- Classes of characters by name, escapes with a number, and brackets in brackets are not looked into.
    if p_hint ~ '\[[^]]*\[[:.=]|\\\]|\\[xUc0-9]|^[*]{3}' then
        return null;
    end if;
    foreach v_token in array v_tokens || '|'::text loop
        if v_token = '(' then
            v_depth := v_depth + 1;
        elsif v_token = ')' then
            v_depth := v_depth - 1;
        end if;
        if v_depth > 0 then
            continue;
        elsif v_token = ')' then
            -- What a group matches is not looked into.
            v_shape := v_shape || v_last;
            v_last := '%';
        elsif v_token in ('?', '*') then
            v_last := '%';
        elsif v_token = '+' then
            v_last := v_last || '%';
        elsif v_token like '{_%}' then
            v_last := repeat(v_last, substring(v_token from '[0-9]+')::integer)
                || case when strpos(v_token, ',') > 0 then '%' else '' end;
        elsif v_token = '|' then
            v_shapes := v_shapes || regexp_replace(v_shape || v_last || '%', '%+', '%', 'g');
            v_shape := '%';
            v_last := '';
        elsif v_token in ('\m', '\M', '\y', '\Y', '\A', '\Z') then
            continue;
        elsif v_token in ('^', '$') then
            return null;
        else
            v_shape := v_shape || v_last;
            v_last := case
                when v_token ~ '^(?:\[(?:[0-9]-[0-9]|[0-9])+\]|[0-9])$' then '9'
                when v_token ~ '^[a-z :;,@=&#°-]$' then v_token
                when v_token ~ '^\\[.:;,/+-]$' then right(v_token, 1)
                when v_token ~ '^\[[^]%_\\^]\]$' then substr(v_token, 2, 1)
                else '_'
            end;
        end if;
    end loop;
    -- Where a branch asks for hardly anything, every text would have to be looked at anyway.
    if exists (select from unnest(v_shapes) as s where length(translate(s, '%_', '')) < 2) then
        return null;
    end if;
    return v_shapes;
end
$func$;

comment on function bcp_internal.shapes_of_hint(text) is
    'Patterns of LIKE of which every text that a hint matches has one, once 9 has taken the place of all its digits; '
    'null where they would say nothing. PostgreSQL keeps only 32 compiled expressions, and LIKE needs none.';

create or replace function bcp_internal.parts_of_rule(p_rule bcp.anonymization_rules)
returns table (part bigint, pattern text, replacement text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_options constant text := coalesce(substring(p_rule.pattern from '^\(\?[a-z]+\)'), '');
    v_token text;
    v_depth integer := 0;
    v_part text := '';
    v_parts text[] := '{}';
    v_groups integer[];
begin
    if length(p_rule.pattern) > 3000 and p_rule.validation = 'none'
        -- Of a rule that hashes, groups tell what to hash.
        and (p_rule.action = 'redact' or regexp_match('', p_rule.pattern || '|') = '{""}')
        -- A way that would rather match little does so only where the whole pattern begins with it; what refers to a
        -- group would have to be rewritten; and classes of characters by name are not looked into.
        and p_rule.pattern !~ '[*+?}][?]|\\[1-9]|\[[^]]*\[[:.=]|^[*]{3}'
        and strpos(p_rule.replacement, '\\') = 0
    then
        for v_token in
            select m[1]
            from regexp_matches(
                substr(p_rule.pattern, length(v_options) + 1), '(\\.|\[\^?\]?[^]]*\]|.)', 'g') as m
        loop
            v_depth := v_depth + case v_token when '(' then 1 when ')' then -1 else 0 end;
            if v_token = '|' and v_depth = 0 then
                v_parts := v_parts || v_part;
                v_part := '';
            else
                v_part := v_part || v_token;
            end if;
        end loop;
    end if;
    -- Few ways that are long, and not a list of words: each way is one more expression to apply.
    if cardinality(v_parts) not between 1 and 9 then
        return query select 1::bigint, p_rule.pattern, p_rule.replacement;
        return;
    end if;
    v_parts := v_parts || v_part;
    v_groups := array(
        select case when g.found = '{""}' then 0 else cardinality(g.found) end
        from unnest(v_parts) with ordinality as p (way, n)
        cross join lateral regexp_match('', concat(v_options, p.way, '|')) as g (found)
        order by p.n);
    for i in 1..cardinality(v_parts) loop
        part := i;
        pattern := v_options || v_parts[i];
        replacement := p_rule.replacement;
        -- The groups of a way are numbered from 1; those of the others match nothing.
        for v_number in 1..9 loop
            v_depth := v_number - coalesce((select sum(g) from unnest(v_groups[1:i - 1]) as g), 0);
            replacement := replace(
                replacement, '\' || v_number,
                case when v_depth between 1 and v_groups[i] then '\' || v_depth else '' end);
        end loop;
        return next;
    end loop;
end
$func$;

comment on function bcp_internal.parts_of_rule(bcp.anonymization_rules) is
    'The pattern and the replacement of a rule; where the pattern is long and has 2 to 10 ways to match, one row per '
    'way. PostgreSQL follows all ways at every character and begins anew after each match, so to apply them one by one '
    'takes a sixth of the time, and to compile them a twentieth.';

create or replace function bcp_internal.compile_rules() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    delete from bcp_internal.anonymizer_rules;
    insert into bcp_internal.anonymizer_rules (
        ordinal, name, kind, pattern, value_pattern, value_exceptions, likes, hint, hint_ordinal, shapes, is_digits,
        has_groups, validation, action, replacement)
    select
        n, name, kind, pattern, value_pattern, value_exceptions,
        (select array_agg('%' || regexp_replace(w, '[%_]', '\\\&', 'g') || '%') from unnest(words) as w),
        hint,
        -- A rule of digits is tried by its shapes alone: its hint would be one more expression to keep compiled, and
        -- PostgreSQL keeps only 32.
        case when hint is not null and not (is_digits and shapes is not null) then min(n) over (partition by hint) end,
        shapes,
        is_digits, regexp_match('', pattern || '|') <> '{""}', validation, action, replacement
    from (
        select
            r.ordinal, r.name, r.kind, p.pattern, r.value_pattern, r.value_exceptions, r.words, r.hint, r.validation,
            r.action, p.replacement, row_number() over (order by r.ordinal, r.name, p.part) as n,
            bcp_internal.shapes_of_hint(r.hint) as shapes,
            coalesce(r.hint ~ '\[' and r.hint !~ '[a-z]{2}', false) as is_digits
        from bcp.anonymization_rules r
        cross join lateral bcp_internal.parts_of_rule(r) as p
        where bcp_internal.is_in_force(r.enabled, r.pack)
    ) as r;
$func$;

comment on function bcp_internal.compile_rules() is
    'Writes bcp_internal.anonymizer_rules from those rows of bcp.anonymization_rules that are in force: one row per '
    'part of a rule that bcp_internal.parts_of_rule returns.';

create or replace function bcp_internal.compile_gates(
    out digit_gates text[], out word_gates text[], out quick_likes text[])
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- A gate has a branch for the hint of each rule, or for each of its words where it has no hint. Branches of digits
    -- cost less apart from those of words, and those of words in pieces. A long hint stands alone: then gate and hint
    -- are one expression to PostgreSQL, which compiles it once. Branches of digits that ask for letters, too, stand
    -- apart, because their states multiply with those of the others. Rules about sensitive keys need no branch, since
    -- the keys are looked up.
    with branches as materialized (
        select distinct
            coalesce(r.hint, regexp_replace(w, '[^a-z0-9 @#&=~|]', '\\\&', 'g')) as branch, c.is_digits
        from bcp_internal.anonymizer_rules c
        join bcp.anonymization_rules r using (name)
        left join lateral unnest(r.words) as w on r.hint is null
        where r.validation not in ('sensitive_key', 'table')
    ), pieces as (
        select is_digits, string_agg(branch, '|' order by branch) as gate
        from (
            select
                branch, is_digits, part,
                sum(length(branch) + 1) over (partition by is_digits, part order by branch) / 1000 as n
            from branches
            cross join lateral (
                select case
                    when length(branch) > 300 then branch
                    when is_digits and branch ~ '[a-z]-[a-z]' then ''
                end
            ) as p (part)
            -- LIKE finds a single character, and whoever reads these gates has looked for it before.
            where branch !~ '^[@#&=~^|]$'
        ) as b
        group by is_digits, part, n
    )
    select
        array(select gate from pieces where is_digits order by gate),
        case
            when not bool_or(branch is null) then array(select gate from pieces where not is_digits order by gate)
        end,
        coalesce(array_agg('%' || branch || '%') filter (where branch ~ '^[@#&=~^|]$'), '{}')
    from branches
$func$;

comment on function bcp_internal.compile_gates() is
    'The gates of bcp_internal.anonymizer_state, from bcp_internal.anonymizer_rules.';

create or replace function bcp_internal.compile_keys(
    out key_map jsonb, out part_map jsonb, out exception_map jsonb, out before_map jsonb, out after_map jsonb,
    out key_starts jsonb, out key_parts text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    select
        coalesce(jsonb_object_agg(key_pattern, ways), '{}'),
        coalesce(jsonb_object_agg(key_pattern, 1) filter (where ways @> '[{"mode": "contains"}]'), '{}')
    into key_map, part_map
    from (
        select key_pattern, jsonb_agg(jsonb_build_object(
            'mode', match_mode, 'type', value_type, 'action', action, 'kind', kind, 'value', value_pattern)
            order by match_mode) as ways
        from bcp.sensitive_keys
        where bcp_internal.is_in_force(enabled, pack)
        group by key_pattern
    ) as k;
    select coalesce(jsonb_object_agg(key_pattern, ways), '{}')
    into exception_map
    from (
        select
            key_pattern,
            jsonb_agg(jsonb_build_object('mode', match_mode, 'type', value_type) order by match_mode) as ways
        from bcp.sensitive_key_exceptions
        where enabled and match_mode not in ('before', 'after')
        group by key_pattern
    ) as k;
    select
        coalesce(jsonb_object_agg(key_pattern, value_type) filter (where match_mode = 'before'), '{}'),
        coalesce(jsonb_object_agg(key_pattern, value_type) filter (where match_mode = 'after'), '{}')
    into before_map, after_map
    from bcp.sensitive_key_exceptions
    where enabled and match_mode in ('before', 'after');
    select coalesce(jsonb_object_agg(distinct left(pattern, 3), 1), '{}')
    into key_starts
    from jsonb_object_keys(key_map) as pattern;
    -- Where there is none, an expression that matches nothing.
    select coalesce(string_agg(pattern, '|'), '(?!)')
    into key_parts
    from (
        select jsonb_object_keys(part_map) as pattern
        union
        select key_pattern from bcp.sensitive_key_exceptions where enabled and match_mode = 'contains'
    ) as p;
end
$func$;

comment on function bcp_internal.compile_keys() is
    'The maps of sensitive keys of bcp_internal.anonymizer_state, from bcp.sensitive_keys and its exceptions.';

create or replace function bcp_internal.compile_anonymizer() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_kinds text;
begin
    if getdatabaseencoding() <> 'UTF8' then
        raise exception using
            errcode = 'ZB006', message = 'the anonymiser needs a database in UTF8',
            hint = 'create database ... encoding ''UTF8''';
    end if;
    perform bcp_internal.check_rule(r)
    from bcp.anonymization_rules r
    where bcp_internal.is_in_force(r.enabled, r.pack);
    perform bcp_internal.compile_rules();
    select string_agg(distinct kind, '|')
    into v_kinds
    from (
        select kind from bcp.anonymization_rules where action = 'hash'
        union all
        select kind from bcp.sensitive_keys where action = 'hash'
    ) as k;
    delete from bcp_internal.anonymizer_state;
    delete from bcp_internal.clean_sources;
    insert into bcp_internal.anonymizer_state (
        quick_likes, digit_gates, word_gates, key_map, part_map, exception_map, before_map, after_map, key_starts,
        key_parts, hashed, name_keys, value_keys)
    select
        g.quick_likes, g.digit_gates, g.word_gates, k.key_map, k.part_map, k.exception_map, k.before_map, k.after_map,
        k.key_starts, k.key_parts, coalesce('(?:(?:' || v_kinds || ')#k[0-9]+#)+[b-v]{16}(?:#[0-9]+)?', '(?!)'),
        array(select distinct name_key from bcp.name_value_keys order by 1),
        array(select distinct value_key from bcp.name_value_keys, unnest(value_keys) as value_key order by 1)
    from bcp_internal.compile_gates() as g, bcp_internal.compile_keys() as k;
end
$func$;

comment on function bcp_internal.compile_anonymizer() is
    'Checks the anonymiser''s rules and compiles them to bcp_internal.anonymizer_state and '
    'bcp_internal.anonymizer_rules. Triggers call it. ZB006 where a rule cannot be used.';

create or replace function bcp_internal.rules_digest() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select encode(sha256(convert_to(concat_ws(
        E'\n',
        (select (to_jsonb(s) - 'version')::text from bcp_internal.anonymizer_state s),
        (select jsonb_agg(r order by r.ordinal)::text from bcp_internal.anonymizer_rules r),
        (select jsonb_agg(k order by k.name_key)::text from bcp.name_value_keys k),
        bcp_internal.setting('ip_prefix_v4'), bcp_internal.setting('ip_prefix_v6')), 'UTF8')), 'hex')
$func$;

comment on function bcp_internal.rules_digest() is
    'SHA-256, in hex, of everything that decides what the anonymiser masks.';

-- Whoever may edit the rules does not need the right to write what they are compiled to.
create or replace function bcp_internal.compile_anonymizer_trigger() returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $func$
begin
    perform bcp_internal.compile_anonymizer();
    return null;
end
$func$;

comment on function bcp_internal.compile_anonymizer_trigger() is
    'Calls bcp_internal.compile_anonymizer() after each statement that edits the rules.';

create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.sensitive_keys
    for each statement execute function bcp_internal.compile_anonymizer_trigger();
create or replace trigger compile_anonymizer
    after insert or update or delete or truncate on bcp.sensitive_key_exceptions
    for each statement execute function bcp_internal.compile_anonymizer_trigger();
create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.anonymization_rules
    for each statement execute function bcp_internal.compile_anonymizer_trigger();
create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.anonymization_packs
    for each statement execute function bcp_internal.compile_anonymizer_trigger();
create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.name_value_keys
    for each statement execute function bcp_internal.compile_anonymizer_trigger();

-- Compiled from what the tables hold now, after every load of these files. The key is made only once.
select bcp_internal.compile_anonymizer();
select bcp_internal.create_anonymization_key()
where not exists (select from bcp_internal.anonymization_keys where retired_at is null);
