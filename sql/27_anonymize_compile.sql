-- The anonymiser's rules and keys, checked and compiled to what it reads. The rules themselves are data:
-- bcp.sensitive_keys, bcp.sensitive_key_exceptions, bcp.name_value_keys, bcp.anonymization_rules, bcp.anonymization_packs.

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
            when '' ~ p_rule.value_exceptions then 'its exceptions match every value'
            when '' ~ p_rule.hint then 'its hint matches every text'
            when p_rule.hint is not null and not bcp_internal.fits_gate(p_rule.hint) then 'its hint has anchors, options, quotes, backslashes or line ends'
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
    -- The gate looks at JSON as text, where a string begins and ends anywhere and quotes and backslashes are
    -- escaped, and one pattern is a branch among many there.
    select replace(p_pattern, '[^', '[') !~ '["^$]|\\\\|\\[AZ1-9]|^\(\?[a-z]|^\*\*\*'
        -- Texts are joined without their line ends.
        and regexp_replace(p_pattern, '\[\^[^]]*\]', '', 'g') !~ '\n|\\n'
$func$;

comment on function bcp_internal.fits_gate(text) is 'Whether a regular expression may be a branch of the gate.';

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
        ordinal, name, kind, pattern, value_pattern, value_exceptions, likes, hint, hint_ordinal, is_digits, has_groups, validation, action, replacement)
    select
        n, name, kind, pattern, value_pattern, value_exceptions,
        (select array_agg('%' || regexp_replace(w, '[%_]', '\\\&', 'g') || '%') from unnest(words) as w),
        hint, case when hint is not null then min(n) over (partition by hint) end, coalesce(hint ~ '\[' and hint !~ '[a-z]{2}', false), regexp_match('', pattern || '|') <> '{""}', validation, action, replacement
    from (
        select *, row_number() over (order by ordinal, name) as n
        from bcp.anonymization_rules
        where bcp_internal.is_in_force(enabled, pack)
    ) as r;

    -- Gates: what a rule's hint is a branch of, or without a hint its words. Those of digits cost less apart, those of words
    -- in pieces; a long one alone, so that it and the rule's hint are one expression to PostgreSQL, compiled once. Rules about sensitive keys need none: the keys are looked up.
    with branches as materialized (
        select distinct coalesce(r.hint, regexp_replace(w, '[^a-z0-9 @#&=~|]', '\\\&', 'g')) as branch, c.is_digits
        from bcp_internal.anonymizer_rules c
        join bcp.anonymization_rules r using (name)
        left join lateral unnest(r.words) as w on r.hint is null
        where r.validation not in ('sensitive_key', 'table')
    ), pieces as (
        select string_agg(branch, '|' order by branch) as gate
        from (
            select branch, alone, sum(length(branch) + 1) over (partition by alone order by branch) / 500 as n
            from branches
            cross join lateral (select case when length(branch) > 300 then branch end) as l (alone)
            where not is_digits
        ) as b
        group by alone, n
    )
    select
        coalesce(string_agg(branch, '|') filter (where is_digits), v_never),
        case when not bool_or(branch is null) then array(select gate from pieces order by gate) end,
        coalesce(array_agg('%' || branch || '%') filter (where branch ~ '^[@#&=~^|]$'), '{}')
    into v_state.digit_gate, v_state.word_gates, v_state.quick_likes
    from branches;

    select
        coalesce(jsonb_object_agg(key_pattern, ways), '{}'),
        coalesce(jsonb_object_agg(key_pattern, 1) filter (where ways @> '[{"mode": "contains"}]'), '{}')
    into v_state.key_map, v_state.part_map
    from (
        select key_pattern, jsonb_agg(jsonb_build_object(
            'mode', match_mode, 'type', value_type, 'action', action, 'kind', kind, 'value', value_pattern)
            order by match_mode) as ways
        from bcp.sensitive_keys
        where bcp_internal.is_in_force(enabled, pack)
        group by key_pattern
    ) as k;
    select coalesce(jsonb_object_agg(key_pattern, ways), '{}')
    into v_state.exception_map
    from (
        select key_pattern, jsonb_agg(jsonb_build_object('mode', match_mode, 'type', value_type) order by match_mode) as ways
        from bcp.sensitive_key_exceptions
        where enabled and match_mode not in ('before', 'after')
        group by key_pattern
    ) as k;
    select
        coalesce(jsonb_object_agg(key_pattern, value_type) filter (where match_mode = 'before'), '{}'),
        coalesce(jsonb_object_agg(key_pattern, value_type) filter (where match_mode = 'after'), '{}')
    into v_state.before_map, v_state.after_map
    from bcp.sensitive_key_exceptions
    where enabled and match_mode in ('before', 'after');
    select coalesce(jsonb_object_agg(distinct left(pattern, 3), 1), '{}')
    into v_state.key_starts
    from jsonb_object_keys(v_state.key_map) as pattern;
    select coalesce(string_agg(pattern, '|'), v_never)
    into v_state.key_parts
    from (
        select jsonb_object_keys(v_state.part_map) as pattern
        union
        select key_pattern from bcp.sensitive_key_exceptions where enabled and match_mode = 'contains'
    ) as p;
    select '(?:(?:' || string_agg(distinct kind, '|') || ')#k[0-9]+#)+[b-v]{16}(?:#[0-9]+)?'
    into v_state.hashed
    from (
        select kind from bcp.anonymization_rules where action = 'hash'
        union all
        select kind from bcp.sensitive_keys where action = 'hash'
    ) as k;
    v_state.hashed := coalesce(v_state.hashed, v_never);
    select coalesce(array_agg(distinct name_key), '{}'), coalesce(array_agg(distinct value_key), '{}')
    into v_state.name_keys, v_state.value_keys
    from bcp.name_value_keys, unnest(value_keys) as value_key;

    delete from bcp_internal.anonymizer_state;
    v_state.only_row := true;
    insert into bcp_internal.anonymizer_state select v_state.*;
end
$func$;

comment on function bcp_internal.compile_anonymizer() is
    'Checks the anonymiser''s rules and compiles them to bcp_internal.anonymizer_state and anonymizer_rules; triggers call it. ZB006 where a rule cannot be used.';

create or replace function bcp_internal.rules_digest() returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select encode(sha256(convert_to(concat_ws(
        E'\n',
        (select to_jsonb(s)::text from bcp_internal.anonymizer_state s),
        (select jsonb_agg(r order by r.ordinal)::text from bcp_internal.anonymizer_rules r),
        (select jsonb_agg(k order by k.name_key)::text from bcp.name_value_keys k),
        bcp_internal.setting('ip_prefix_v4'), bcp_internal.setting('ip_prefix_v6')), 'UTF8')), 'hex')
$func$;

comment on function bcp_internal.rules_digest() is 'SHA-256 of all that decides what the anonymiser masks, in hex.';

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
create or replace trigger compile_anonymizer after insert or update or delete or truncate on bcp.name_value_keys
    for each statement execute function bcp_internal.compile_anonymizer_trigger();

-- Made from what the tables hold at this moment, after every load of these files; a key only once.
select bcp_internal.compile_anonymizer();
select bcp_internal.create_anonymization_key()
where not exists (select from bcp_internal.anonymization_keys where retired_at is null);
