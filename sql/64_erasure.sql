-- Erasing a person: the procedure, the forms of an id, the expressions that find them, and a document without them.

create or replace procedure bcp.erase_user(p_user_id text, p_note text default null)
-- The search_path is set as in bcp_internal.refresh_aggregate.
language plpgsql
as $proc$
declare
    v_erasure pg_catalog.uuid;
    v_step record;
    v_rows bigint;
begin
    set local search_path = pg_catalog, pg_temp;
    v_erasure := bcp_internal.begin_erasure(p_user_id, p_note);
    commit;
    set local search_path = pg_catalog, pg_temp;
    for v_step in select c.table_name, c.range_start, c.range_end from bcp_internal.event_chunks() c loop
        v_rows := bcp_internal.erase_chunk(v_erasure, v_step.table_name, v_step.range_start, v_step.range_end);
        if v_rows > 0 then
            raise notice '% from %: % rows', v_step.table_name, v_step.range_start, v_rows;
            commit;
            set local search_path = pg_catalog, pg_temp;
            perform bcp_internal.compress_again(v_step.table_name, v_step.range_start, v_step.range_end);
        end if;
        commit;
        set local search_path = pg_catalog, pg_temp;
    end loop;
    perform bcp_internal.erase_tables(v_erasure);
    commit;
    set local search_path = pg_catalog, pg_temp;
    perform bcp_internal.erase_restored_tables(v_erasure);
    commit;
    call bcp_internal.refresh_pending();
    set local search_path = pg_catalog, pg_temp;
    for v_step in select a.name from bcp_internal.aggregates() a loop
        perform bcp_internal.erase_aggregate(v_erasure, v_step.name);
        commit;
        set local search_path = pg_catalog, pg_temp;
    end loop;
    for v_step in select s.schema_name, s.relation_name from bcp_internal.named_statistics(v_erasure) s loop
        perform bcp_internal.renew_statistics(v_step.schema_name, v_step.relation_name);
        commit;
        set local search_path = pg_catalog, pg_temp;
    end loop;
    for v_step in select u.table_name, u.sqlstate from bcp_internal.unreached_tables(v_erasure) u loop
        raise warning 'not reached: %, SQLSTATE %', v_step.table_name, v_step.sqlstate;
    end loop;
    v_rows := bcp_internal.end_erasure(v_erasure);
    raise notice 'receipt %, archives to be rewritten: %', v_erasure, v_rows;
end
$proc$;

comment on procedure bcp.erase_user is
    'Erases a user: deletes the calls, errors, sessions and everything else that is theirs, and writes [ERASED] where '
    'rows of other people name them, chunk by chunk. p_user_id is the id as the application sends it, or as it is '
    'stored. bcp.erasure_plan says beforehand what it would delete. Called again, it continues where it was '
    'interrupted. bcp.find_erasure returns the id of the receipt in bcp.erasures, which names restored tables that it '
    'could not reach. Archives are rewritten after it. Only the role that migrated the database may call it. ZB002 for '
    'an empty id.';

create or replace function bcp_internal.erasure_forms(p_user_id text) returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_forms text[] := array[p_user_id];
    v_made text[];
    v_key integer;
begin
    if p_user_id is null or btrim(p_user_id) = '' or length(p_user_id) > 500 then
        raise exception using errcode = 'ZB002', message = 'p_user_id is empty or longer than 500 characters';
    end if;
    for v_key in select key_id from bcp_internal.anonymization_keys order by key_id loop
        -- This is what ingest made of the id while that key was in use. The key is current only until the exception.
        begin
            update bcp_internal.anonymization_keys set retired_at = now() where retired_at is null;
            update bcp_internal.anonymization_keys set retired_at = null where key_id = v_key;
            v_made := array[bcp_internal.anonymize_text(p_user_id)] || array(
                -- And what ingest made of the id under a key whose values are hashed, such as to or login.
                select distinct bcp_internal.pseudonym(kind, p_user_id)
                from bcp.sensitive_keys
                where action = 'hash' and bcp_internal.is_in_force(enabled, pack)
                  and (value_pattern is null or p_user_id ~ value_pattern));
            raise exception using errcode = 'raise_exception';
        exception
            when raise_exception then
                v_forms := v_forms || v_made;
        end;
    end loop;
    if exists (select from unnest(v_forms) as f where f ~ '\[(REDACTED|ERASED)\]') then
        raise exception using
            errcode = 'ZB002',
            message = 'p_user_id is stored as [REDACTED], so that nobody''s rows can be told from another''s',
            hint = 'Find the rule that redacts it: select bcp_internal.anonymize_text(...).';
    end if;
    return array(select distinct f from unnest(v_forms) as f where f is not null order by f);
end
$func$;

comment on function bcp_internal.erasure_forms is
    'The id of a user as given, and as ingest stores it with each key for hashes: as text, and under a key whose '
    'values are hashed. ZB002 if it is empty, too long or redacted.';

create or replace function bcp_internal.spelled(p_form text) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
    -- A character may be escaped in JSON, and once more in JSON inside a string. An e-mail address means the same
    -- person in capitals, in a URL and in HTML: the anonymiser does likewise.
    select string_agg(
        case
            when a.is_address and c ~ '[A-Za-z]' then '[' || lower(c collate "C") || upper(c collate "C") || ']'
            when c ~ '[A-Za-z0-9 _:#-]' then c
            when a.is_address and c = '@' then '(?:%(?:25)*40|\\+(?:u00|x)40|&#64;|&#x40;|&commat;|@)'
            when a.is_address and c = '.' then '(?:%(?:25)*2[eE]|\\+u002[eE]|\.)'
            when c = '.' then '\.'
            when c = '\' then '(?:\\+u005[cC]|\\+)'
            else format(
                '(?:%s|%s|%s%s%s)', h.escaped, replace(upper(h.escaped), 'U', 'u'),
                '\\+' || nullif(translate(c, E'\b\f\n\r\t', 'bfnrt'), c) || '|',
                case when c in ('"', '/') then '\\*' end, concat(case when c ~ '[!-~]' then '\' end, c))
        end, '' order by n)
    from string_to_table(p_form, null) with ordinality as t (c, n)
    cross join lateral (select strpos(p_form, '@') > 0) as a (is_address)
    cross join lateral (
        select case
            when ascii(c) < 65536 then '\\+u' || lpad(to_hex(ascii(c)), 4, '0')
            else '\\+u' || to_hex(55296 + ((ascii(c) - 65536) >> 10)) || '\\+u'
                || to_hex(56320 + ((ascii(c) - 65536) & 1023))
        end
    ) as h (escaped)
$func$;

comment on function bcp_internal.spelled is 'A regular expression for an id, however it is escaped.';

create or replace function bcp_internal.erasure_likes(p_form text, p_before text, p_after text) returns text[]
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when strpos(p_form, '@') > 0 then
            array['%@%', '%\%%40%', '%\\u0040%', '%\\x40%', '%&#%', '%&commat;%']
        else array(
            select distinct p_before || string_agg(
                case
                    when c ~ '[A-Za-z0-9 :#.-]' then c
                    when c = '_' then '\_'
                    when ascii(c) < 128 then '%'
                    when k.kind = 'plain' then c
                    when k.kind = 'lower' then h.escaped
                    else replace(upper(h.escaped), 'U', 'u')
                end, '' order by n) || p_after
            from string_to_table(p_form, null) with ordinality as t (c, n)
            cross join lateral (
                -- One or several backslashes come before it.
                select case
                    when ascii(c) < 65536 then 'u' || lpad(to_hex(ascii(c)), 4, '0')
                    else 'u' || to_hex(55296 + ((ascii(c) - 65536) >> 10)) || '%u'
                        || to_hex(56320 + ((ascii(c) - 65536) & 1023))
                end
            ) as e (code)
            cross join lateral (select '%' || e.code) as h (escaped)
            cross join (values ('plain'), ('lower'), ('upper')) as k (kind)
            group by k.kind)
    end
$func$;

comment on function bcp_internal.erasure_likes is
    'Patterns for like, one of which matches wherever bcp_internal.spelled does, with what stands before and after it.';

create or replace function bcp_internal.erasure_rule(
    p_forms text[], out json_values text, out keys text, out numbers text, out texts text, out names text,
    out likes text[], out name_likes text[], out hint text)
language sql immutable
set search_path = pg_catalog, pg_temp
as $func$
    -- An id of 16 characters or more, such as a keyed hash or a UUID, is replaced wherever it stands. An id of 8 to 15
    -- characters, or an address, is replaced only as a whole word: no digit, _, - or letter of an alphabet that puts
    -- spaces between words may stand next to it, except for the letter that ends an escape such as \n. A shorter id, or
    -- one of digits, is replaced only as a whole string of JSON: in text, between quotes and before no colon. Letters
    -- are listed, because those of [[:alnum:]] depend on the locale. bcp_analytics/collector/spool/_mentions.py does
    -- the same for events on disk.
    with ids as materialized (
        select
            f, f ~ '^[0-9.eE+-]+$' as is_number, strpos(f, '@') > 0 as is_address, length(f) >= 16 as is_long,
            length(f) < 8 or length(f) < 16 and f ~ '^[0-9.eE+-]+$' as is_short, bcp_internal.spelled(f) as spelled,
            case when f ~ '^[0-9A-Za-z\u00c0-\u052f_-]' then
                -- Or the end of an escaped character, if that character cannot belong to a word.
                '(?:%s|(?<=\\[bfnrt])|(?<=\\u(?:00[0-9A-Ba-b]|05[3-9A-Fa-f]|0[6-9A-Fa-f][0-9A-Fa-f]'
                '|[1-9A-Fa-f][0-9A-Fa-f]{2})[0-9A-Fa-f]))'
            end as before,
            case when f ~ '[0-9A-Za-z\u00c0-\u052f_-]$' then '(?!%s[0-9A-Za-z\u00c0-\u052f_-])' end as after
        from unnest(p_forms) as f
    ), patterns as materialized (
        select
            i.*,
            case
                when is_short then '(?<=")' || spelled || '(?=\\*"(?![ \t\r\n]*:))'
                when is_address then concat(
                    format(before, '(?<![0-9A-Za-z\u00c0-\u052f_+-])(?<![0-9A-Za-z\u00c0-\u052f_+-]\.)'), spelled,
                    format(after, '\.?'))
                when is_long and is_number then '(?<![0-9])' || spelled || '(?![0-9])'
                when is_long then spelled
                else concat(format(before, '(?<![0-9A-Za-z\u00c0-\u052f_-])'), spelled, format(after, ''))
            end as pattern
        from ids i
    )
    select
        string_agg(pattern || case when is_short then '|\A' || spelled || '\Z' else '' end, '|'),
        string_agg(pattern, '|') filter (where not is_short),
        string_agg(pattern, '|') filter (where is_long and is_number),
        string_agg(pattern, '|'),
        string_agg(pattern, '|') filter (where is_long),
        array(
            select distinct l
            from patterns p
            cross join lateral unnest(case
                when p.is_short then
                    bcp_internal.erasure_likes(p.f, '%"', '"%') || bcp_internal.erasure_likes(p.f, '%"', '\\%')
                else bcp_internal.erasure_likes(p.f, '%', '%')
            end) as l),
        array(
            select distinct l
            from patterns p
            cross join lateral unnest(bcp_internal.erasure_likes(p.f, '%', '%')) as l
            where p.is_long),
        string_agg(spelled, '|')
    from patterns
$func$;

comment on function bcp_internal.erasure_rule is
    'Regular expressions for what names a person: for strings of JSON, its keys, its numbers, for text, and for names '
    'of tools and the like; each is null if nothing can match. Then patterns for like, one of which matches wherever '
    'those do: for documents and text, and for names. And hint, an expression for the text of documents that also '
    'matches wherever those do.';

create or replace function bcp_internal.erased_text(p_text text, p_pattern text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case when p_pattern is null then p_text else regexp_replace(p_text, p_pattern, '[ERASED]', 'g') end
$func$;

comment on function bcp_internal.erased_text is
    'A text with [ERASED] in place of every match of an expression of bcp_internal.erasure_rule.';

create or replace function bcp_internal.erased_keys(p_object jsonb, p_pattern text) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_keys constant text[] := array(select jsonb_object_keys(p_object));
    v_result jsonb;
    v_skip integer := 0;
begin
    -- As in bcp_internal.mask_keys, keys that become equal all stay: from the second on they get a number, and if the
    -- object already has a key with one of those numbers, they get others.
    loop
        select jsonb_object_agg(case when n = 1 then name else name || '#' || n + v_skip end, p_object -> key)
        into v_result
        from (
            select key, name, row_number() over (partition by name order by name <> key, key collate "C") as n
            from unnest(v_keys) as key
            cross join lateral bcp_internal.erased_text(key, p_pattern) as name
        ) as numbered;
        if (select count(*) from jsonb_object_keys(v_result)) = cardinality(v_keys) then
            return v_result;
        end if;
        v_skip := v_skip + cardinality(v_keys);
    end loop;
end
$func$;

comment on function bcp_internal.erased_keys is
    'An object, which must not be empty, with [ERASED] in its keys; keys that become equal are numbered.';

create or replace function bcp_internal.nested_json(p_text text, out value jsonb, out wraps integer)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    select r.value, r.wraps into value, wraps
    from bcp_internal.read_json_text(p_text, bcp_internal.setting('max_json_depth')::integer) as r;
exception
    -- Ingest rejects documents that are nested deeper; in the outline that it keeps of them this is text.
    when sqlstate 'ZB005' then
        wraps := 0;
end
$func$;

comment on function bcp_internal.nested_json is
    'As bcp_internal.read_json_text, but a text that is nested too deep counts as no JSON.';

create or replace function bcp_internal.document_nodes(
    p_doc jsonb, out nodes jsonb[], out parents integer[], out keys text[], out levels integer[], out wrapped integer[],
    out wrapped_texts text[], out wraps integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, and finding an element then counts from its start.
set plan_cache_mode = force_generic_plan
as $func$
declare
    v_low integer := 1;
    v_high integer := 1;
    v_text record;
    v_next record;
begin
    nodes := array[p_doc];
    parents := '{0}';
    keys := array[null];
    levels := '{1,2}';
    wrapped := '{}';
    wrapped_texts := '{}';
    wraps := '{}';
    loop
        for v_text in
            select v_low - 1 + e.n as n, e.v #>> '{}' as s, r.value, r.wraps
            from unnest(nodes[v_low:v_high]) with ordinality as e (v, n)
            cross join lateral bcp_internal.nested_json(e.v #>> '{}') as r
            where jsonb_typeof(e.v) = 'string'
              and left(ltrim(e.v #>> '{}', E' \t\r\n'), 1) in ('{', '[', '"')
        loop
            if v_text.wraps > 0 then
                wrapped := wrapped || v_text.n::integer;
                wrapped_texts := wrapped_texts || v_text.s;
                wraps := wraps || v_text.wraps;
                nodes[v_text.n] := v_text.value;
            end if;
        end loop;
        with containers as materialized (
            select (v_low - 1 + e.n)::integer as n, e.v, jsonb_typeof(e.v) as type
            from unnest(nodes[v_low:v_high]) with ordinality as e (v, n)
            where jsonb_typeof(e.v) in ('object', 'array')
        ), children as (
            select o.n, c.ordinal, c.key, c.value
            from containers o
            cross join lateral jsonb_each(case o.type when 'object' then o.v else '{}' end)
                with ordinality as c (key, value, ordinal)
            union all
            select o.n, c.ordinal, null, c.value
            from containers o
            cross join lateral jsonb_array_elements(case o.type when 'array' then o.v else '[]' end)
                with ordinality as c (value, ordinal)
            order by 1, 2
        )
        select array_agg(c.n) as parents, array_agg(c.key) as keys, array_agg(c.value) as docs
        into v_next
        from children c;
        exit when v_next.parents is null;
        parents := parents || v_next.parents;
        keys := keys || v_next.keys;
        nodes := nodes || v_next.docs;
        v_low := v_high + 1;
        v_high := cardinality(nodes);
        levels := levels || v_high + 1;
    end loop;
end
$func$;

comment on function bcp_internal.document_nodes is
    'All values in a document, level by level: nodes, the place of the parent of each, and its key if the parent is an '
    'object. levels has the place of the first node of each level, and at its end the place after the last node. A '
    'string that holds JSON is replaced by that: wrapped has its place, wrapped_texts the text, and wraps how often it '
    'is wrapped.';

create or replace function bcp_internal.erased_json(p_doc jsonb, p_values text, p_keys text, p_numbers text)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, and finding an element then counts from its start.
set plan_cache_mode = force_generic_plan
as $func$
declare
    v_tree record;
    v_value jsonb[];
    v_changed boolean[];
    v_low integer;
    v_high integer;
    v_node record;
begin
    if p_doc is null then
        return null;
    end if;
    v_tree := bcp_internal.document_nodes(p_doc);
    v_value := v_tree.nodes;
    v_changed := array_fill(false, array[cardinality(v_value)]);
    for v_node in
        select
            e.n,
            case t.type
                when 'number' then '0'
                else to_jsonb(bcp_internal.erased_text(e.v #>> '{}', p_values))
            end as erased
        from unnest(v_value) with ordinality as e (v, n)
        cross join lateral jsonb_typeof(e.v) as t (type)
        where case t.type when 'string' then e.v #>> '{}' ~ p_values when 'number' then e.v::text ~ p_numbers end
    loop
        v_value[v_node.n] := v_node.erased;
        v_changed[v_node.n] := true;
    end loop;
    -- Puts the document together again from the last level to the first, but only the nodes that have changed.
    for l in reverse cardinality(v_tree.levels) - 1..1 loop
        v_low := v_tree.levels[l];
        v_high := v_tree.levels[l + 1] - 1;
        for v_node in
            select w.n, w.s, w.wraps
            from unnest(v_tree.wrapped, v_tree.wrapped_texts, v_tree.wraps) as w (n, s, wraps)
            where w.n between v_low and v_high
        loop
            -- The text may name the person where its jsonb does not: of equal keys, jsonb keeps only the last.
            v_changed[v_node.n] := v_changed[v_node.n] or v_node.s ~ p_values;
            v_value[v_node.n] := case when v_changed[v_node.n]
                then bcp_internal.write_json_text(v_value[v_node.n], v_node.wraps) else to_jsonb(v_node.s) end;
        end loop;
        exit when l = 1;
        for v_node in
            with nodes as materialized (
                select parent, key, value, changed, n, coalesce(key ~ p_keys, false) as is_named
                from unnest(
                    v_tree.parents[v_low:v_high], v_tree.keys[v_low:v_high], v_value[v_low:v_high],
                    v_changed[v_low:v_high]) with ordinality as node (parent, key, value, changed, n)
            )
            select
                parent, bool_or(is_named) as is_named,
                coalesce(
                    jsonb_object_agg(key, value) filter (where key is not null), jsonb_agg(value order by n)) as value
            from nodes
            where parent in (select parent from nodes where changed or is_named)
            group by parent
        loop
            v_value[v_node.parent] := case when v_node.is_named
                then bcp_internal.erased_keys(v_node.value, p_keys) else v_node.value end;
            v_changed[v_node.parent] := true;
        end loop;
    end loop;
    return v_value[1];
end
$func$;

comment on function bcp_internal.erased_json is
    'A document without matches of the expressions of bcp_internal.erasure_rule: they become [ERASED] in strings and '
    'keys, also of JSON inside strings, and numbers become 0. No value is lost: keys that become equal are numbered.';
