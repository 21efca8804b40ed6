-- The anonymiser takes JSON, text and addresses, and returns the same without personal data. It fails closed: where it
-- cannot go through a value it raises an error, and the caller rejects the event. What it looks for is data, in
-- bcp.sensitive_keys, bcp.sensitive_key_exceptions and bcp.anonymization_rules; sql/27_anonymize_compile.sql compiles
-- these, and sql/22_anonymize_rules.sql applies them.
--
-- Nothing here is parallel safe, because reading JSON out of a string takes a subtransaction.

create or replace function bcp_internal.anonymizer_failed(p_sqlstate text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- The message of the cause may repeat a value; its SQLSTATE cannot. An error of these classes (data, limits, a
    -- raise) is the fault of the value. But text that is no regular expression, or no number, comes from a broken rule
    -- or setting.
    if left(p_sqlstate, 2) in ('22', '54', 'P0') and p_sqlstate not in ('2201B', '22P02') then
        raise exception using
            errcode = 'ZB005',
            message = format('the anonymiser cannot go through it: SQLSTATE %s', p_sqlstate);
    end if;
    raise exception using
        errcode = 'ZB006',
        message = format('the anonymiser failed with SQLSTATE %s, so nothing of the value is kept', p_sqlstate),
        hint = 'Look for a rule edited lately: select * from bcp.anonymization_rules, and bcp.sensitive_keys.';
end
$func$;

comment on function bcp_internal.anonymizer_failed(text) is
    'Raises ZB005 where the value is at fault, else ZB006. The message names the SQLSTATE of the cause and no value.';

create or replace function bcp_internal.load_anonymizer() returns bcp_internal.anonymizer_state
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_state bcp_internal.anonymizer_state;
begin
    -- Concatenation takes each value out of compressed storage once, instead of at every use.
    select
        only_row, quick_likes || '{}'::text[], digit_gates || '{}'::text[],
        case when word_gates is not null then word_gates || '{}'::text[] end, key_map || '{}', part_map || '{}',
        exception_map || '{}', before_map || '{}', after_map || '{}', key_starts || '{}', key_parts || '',
        hashed || '', name_keys || '{}'::text[], value_keys || '{}'::text[], version
    into v_state
    from bcp_internal.anonymizer_state;
    if not found then
        raise exception using
            errcode = 'ZB006',
            message = 'the anonymiser''s rules are not compiled',
            hint = 'select bcp_internal.compile_anonymizer();';
    end if;
    return v_state;
end
$func$;

comment on function bcp_internal.load_anonymizer() is 'The compiled rules; ZB006 where there are none.';

create or replace function bcp_internal.check_depth(p_depth integer, p_max_depth integer) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_depth > p_max_depth then
        raise exception using
            errcode = 'ZB005',
            message = format('the JSON is nested deeper than %s levels', p_max_depth),
            hint = 'The setting max_json_depth is the limit; JSON inside of strings counts.';
    end if;
end
$func$;

comment on function bcp_internal.check_depth(integer, integer) is
    'Raises ZB005 where the depth is more than the limit.';

create or replace function bcp_internal.mask_keys(p_object jsonb, p_state bcp_internal.anonymizer_state) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_result jsonb;
    v_names text[];
    v_keys text[];
    v_skip integer := 0;
begin
    v_keys := array(select jsonb_object_keys(p_object));
    v_names := bcp_internal.mask_texts(v_keys, p_state);
    if v_names = v_keys then
        return p_object;
    end if;
    -- Keys that become equal all stay: from the second on each gets a number, and a higher number where the object
    -- already has a key with that one.
    loop
        select jsonb_object_agg(case when n = 1 then name else name || '#' || n + v_skip end, p_object -> key)
        into v_result
        from (
            select key, name, row_number() over (partition by name order by name <> key, key) as n
            from unnest(v_keys, v_names) as renamed (key, name)
        ) as numbered;
        if (select count(*) from jsonb_object_keys(v_result)) = cardinality(v_keys) then
            return v_result;
        end if;
        v_skip := v_skip + cardinality(v_keys);
    end loop;
end
$func$;

comment on function bcp_internal.mask_keys(jsonb, bcp_internal.anonymizer_state) is
    'The object with its keys masked as text; keys that become equal are numbered.';

create or replace function bcp_internal.unfold_documents(
    p_docs jsonb[], p_max_depth integer, p_seen bcp_internal.seen_by_gates,
    p_state bcp_internal.anonymizer_state, out nodes jsonb[], out parents integer[],
    out keys text[], out changed boolean[], out first integer[], out wrapped integer[], out wrapped_texts text[],
    out wraps integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_low integer := 1;
    v_high integer := cardinality(p_docs);
    v_node record;
    v_next record;
begin
    -- One statement per level costs a fraction of one per node. And no function calls itself: the embedded engine's
    -- stack ends after some fifty calls.
    nodes := p_docs;
    parents := array_fill(0, array[v_high]);
    keys := array_fill(null::text, array[v_high]);
    changed := array_fill(false, array[v_high]);
    first := array[1, v_high + 1];
    wrapped := '{}';
    wrapped_texts := '{}';
    wraps := '{}';
    loop
        -- A string that is JSON is masked as that JSON.
        for v_node in
            select v_low - 1 + e.n as n, e.v #>> '{}' as s, r.value, r.wraps
            from unnest(nodes[v_low:v_high]) with ordinality as e (v, n)
            cross join lateral bcp_internal.read_json_text(e.v #>> '{}', p_max_depth) as r
            where jsonb_typeof(e.v) = 'string'
              and left(ltrim(e.v #>> '{}', E' \t\r\n'), 1) in ('{', '[', '"')
        loop
            if v_node.wraps > 0 then
                wrapped := wrapped || v_node.n::integer;
                wrapped_texts := wrapped_texts || v_node.s;
                wraps := wraps || v_node.wraps;
                nodes[v_node.n] := v_node.value;
            end if;
        end loop;
        for v_node in
            select v_low - 1 + l.n as n, r.masked
            from bcp_internal.lists_in(nodes[v_low:v_high]) as l
            cross join lateral bcp_internal.mask_lists(l.value, p_state) as r (masked)
            where r.masked <> l.value
        loop
            nodes[v_node.n] := v_node.masked;
            changed[v_node.n] := true;
        end loop;
        with level as materialized (
            select (v_low - 1 + n)::integer as n, v, jsonb_typeof(v) as type
            from unnest(nodes[v_low:v_high]) with ordinality as node (v, n)
            where jsonb_typeof(v) in ('object', 'array')
        ), children as (
            select n, ordinal, key, value
            from level
            cross join lateral jsonb_each(case type when 'object' then v else '{}' end)
                with ordinality as c (key, value, ordinal)
            union all
            select n, ordinal, null, value
            from level
            cross join lateral jsonb_array_elements(case type when 'array' then v else '[]' end)
                with ordinality as c (value, ordinal)
            order by 1, 2
        )
        select array_agg(n) as parents, array_agg(key) as keys, array_agg(value) as docs
        into v_next
        from children;
        exit when v_next.parents is null;
        perform bcp_internal.check_depth(cardinality(first) - 1, p_max_depth);
        parents := parents || v_next.parents;
        keys := keys || v_next.keys;
        nodes := nodes || v_next.docs;
        changed := changed || array_fill(false, array[cardinality(v_next.docs)]);
        v_low := v_high + 1;
        v_high := cardinality(nodes);
        first := first || v_high + 1;
        for v_node in
            select v_low - 1 + k.n as n, k.masked
            from bcp_internal.mask_members(v_next.parents, v_next.keys, v_next.docs, p_seen, p_state) as k
        loop
            changed[v_node.n] := true;
            nodes[v_node.n] := v_node.masked;
        end loop;
    end loop;
end
$func$;

comment on function bcp_internal.unfold_documents(
    jsonb[], integer, bcp_internal.seen_by_gates, bcp_internal.anonymizer_state) is
    'The nodes of documents, level by level, with the values of sensitive keys and whole lists already masked: level l '
    'is the nodes from first[l] to before first[l + 1]. Of each node its parent''s number (0 for a document itself), '
    'its key (null in a list) and whether masking changed it. Strings that are JSON have that JSON in their place: '
    'wrapped has their numbers, wrapped_texts their texts, wraps how often they were JSON in a string. ZB005 where a '
    'document is nested too deep.';

create or replace function bcp_internal.mask_strings(
    p_nodes jsonb[], p_parents integer[], p_keys text[], p_seen bcp_internal.seen_by_gates,
    p_state bcp_internal.anonymizer_state, out numbers integer[], out masked jsonb[], out renamed integer[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_texts text[];
    v_found text[];
    v_others text[];
    v_masked text[];
begin
    numbers := '{}';
    masked := '{}';
    renamed := '{}';
    -- A number of 13 digits or more may be a card's: 4111111111111111, or 4.111111111111111e15.
    v_texts := array(
        select s
        from (
            select v #>> '{}' from unnest(p_nodes) as v where jsonb_typeof(v) = 'string'
            union
            select trim_scale(v::numeric)::text
            from unnest(p_nodes) as v
            where jsonb_typeof(v) = 'number' and length(v::text) >= 13
            union
            select key from unnest(p_keys) as key where key is not null
        ) as t (s)
        where s not in (select unnest(p_seen.clean)));
    v_found := array(select s from unnest(v_texts) as s where s in (select unnest(p_seen.unclean)));
    v_others := array(select s from unnest(v_texts) as s where s not in (select unnest(v_found)));
    -- What was found before need not be asked again. A few others cost less with these, as the rules ask the gates.
    if v_found = '{}' or cardinality(v_others) > 200 then
        v_others := bcp_internal.unclean_texts(v_others, p_state);
    end if;
    v_found := v_found || v_others;
    if v_found = '{}' then
        return;
    end if;
    v_masked := bcp_internal.mask_texts(v_found, p_state, p_seen.labels);
    select coalesce(array_agg(e.n::integer), '{}'), coalesce(array_agg(to_jsonb(f.masked)), '{}')
    into numbers, masked
    from unnest(p_nodes) with ordinality as e (v, n)
    join unnest(v_found, v_masked) as f (s, masked)
        on f.s = case
            when jsonb_typeof(e.v) = 'string' then e.v #>> '{}'
            when jsonb_typeof(e.v) = 'number' and length(e.v::text) >= 13 then trim_scale(e.v::numeric)::text
        end
    where f.masked <> f.s;
    renamed := array(
        select distinct n.parent
        from unnest(p_keys, p_parents) as n (key, parent)
        join unnest(v_found, v_masked) as f (key, masked) using (key)
        where f.masked <> f.key);
end
$func$;

comment on function bcp_internal.mask_strings(
    jsonb[], integer[], text[], bcp_internal.seen_by_gates, bcp_internal.anonymizer_state) is
    'Of the nodes of bcp_internal.unfold_documents the numbers of those whose string, or number that is a card, the '
    'rules change; what takes their place; and the numbers of the objects that have a key to mask. What the gates saw '
    'before (p_seen) is not asked again.';

create or replace function bcp_internal.fold_documents(
    p_nodes jsonb[], p_parents integer[], p_keys text[], p_changed boolean[], p_first integer[], p_wrapped integer[],
    p_wrapped_texts text[], p_wraps integer[], p_renamed integer[], p_state bcp_internal.anonymizer_state)
returns jsonb[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_nodes jsonb[] := p_nodes;
    v_changed boolean[] := p_changed;
    v_low integer;
    v_high integer;
    v_found text[];
    v_masked text[];
    v_node record;
begin
    for l in reverse cardinality(p_first) - 1..1 loop
        v_low := p_first[l];
        v_high := p_first[l + 1] - 1;
        for v_node in select n from unnest(p_renamed) as n where n between v_low and v_high loop
            v_changed[v_node.n] := true;
            v_nodes[v_node.n] := bcp_internal.mask_keys(v_nodes[v_node.n], p_state);
        end loop;
        -- Of equal keys jsonb keeps the last, so an earlier one may hold a secret that no node has. Therefore the text
        -- of what seems unchanged is looked at too; where it has something to mask, what jsonb kept takes its place.
        v_found := bcp_internal.unclean_texts(array(
            select distinct s
            from unnest(p_wrapped, p_wrapped_texts) as w (n, s)
            where n between v_low and v_high and not v_changed[n]), p_state);
        v_masked := case when v_found <> '{}' then bcp_internal.mask_texts(v_found, p_state) end;
        for v_node in
            select w.n, w.s, w.wraps, f.masked
            from unnest(p_wrapped, p_wrapped_texts, p_wraps) as w (n, s, wraps)
            left join unnest(v_found, v_masked) as f (s, masked) using (s)
            where w.n between v_low and v_high
        loop
            if v_changed[v_node.n] or v_node.masked <> v_node.s then
                v_nodes[v_node.n] := bcp_internal.write_json_text(v_nodes[v_node.n], v_node.wraps);
                v_changed[v_node.n] := v_nodes[v_node.n] <> to_jsonb(v_node.s);
            else
                v_nodes[v_node.n] := to_jsonb(v_node.s);
            end if;
        end loop;
        exit when l = 1;
        for v_node in
            with nodes as materialized (
                select *
                from unnest(
                    p_parents[v_low:v_high], p_keys[v_low:v_high], v_nodes[v_low:v_high], v_changed[v_low:v_high])
                    with ordinality as node (parent, key, value, changed, n)
            )
            select
                parent,
                coalesce(
                    jsonb_object_agg(key, value) filter (where key is not null), jsonb_agg(value order by n)) as value
            from nodes
            where parent in (select parent from nodes where changed)
            group by parent
        loop
            v_nodes[v_node.parent] := v_node.value;
            v_changed[v_node.parent] := true;
        end loop;
    end loop;
    return v_nodes[1:p_first[2] - 1];
end
$func$;

comment on function bcp_internal.fold_documents(
    jsonb[], integer[], text[], boolean[], integer[], integer[], text[], integer[], integer[],
    bcp_internal.anonymizer_state) is
    'The documents whose nodes bcp_internal.unfold_documents returned, after some have changed: put together again '
    'from the last level to the first, and only what changed. p_renamed has the numbers of the objects with keys to '
    'mask.';

create or replace function bcp_internal.mask_documents(
    p_docs jsonb[], p_max_depth integer, p_seen bcp_internal.seen_by_gates, p_state bcp_internal.anonymizer_state)
returns jsonb[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    t record;
    s record;
    v_nodes jsonb[];
    v_changed boolean[];
    v_node record;
begin
    t := bcp_internal.unfold_documents(p_docs, p_max_depth, p_seen, p_state);
    s := bcp_internal.mask_strings(t.nodes, t.parents, t.keys, p_seen, p_state);
    v_nodes := t.nodes;
    v_changed := t.changed;
    for v_node in select n, masked from unnest(s.numbers, s.masked) as u (n, masked) loop
        v_nodes[v_node.n] := v_node.masked;
        v_changed[v_node.n] := true;
    end loop;
    return bcp_internal.fold_documents(
        v_nodes, t.parents, t.keys, v_changed, t.first, t.wrapped, t.wrapped_texts, t.wraps, s.renamed, p_state);
end
$func$;

comment on function bcp_internal.mask_documents(
    jsonb[], integer, bcp_internal.seen_by_gates, bcp_internal.anonymizer_state) is
    'Documents, masked: the values of sensitive keys, then strings, numbers that are cards, and keys. A string that is '
    'JSON is masked as JSON and stays a string. p_seen is what bcp_internal.unclean_documents saw of these documents. '
    'ZB005 where a document is nested too deep.';

create or replace function bcp_internal.anonymize_documents(p_docs jsonb[]) returns jsonb[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- In a custom plan an array is a constant, and PostgreSQL finds an element of it by counting from its start.
set plan_cache_mode = force_generic_plan
-- The planner expects many rows from functions that return few, and then compiles the query, which takes a second.
set jit = off
as $func$
declare
    v_state bcp_internal.anonymizer_state;
    v_max_depth integer;
    v_docs jsonb[] := p_docs;
    u record;
    v_unclean integer[];
    v_masked jsonb[];
begin
    v_state := bcp_internal.load_anonymizer();
    v_max_depth := bcp_internal.setting('max_json_depth');
    u := bcp_internal.unclean_documents(array(
        select coalesce(doc::text, '') from unnest(p_docs) with ordinality as d (doc, n) order by n
            ), '{}', v_max_depth, v_state);
    v_unclean := u.numbers;
    if v_unclean = '{}' then
        return p_docs;
    end if;
    v_masked := bcp_internal.mask_documents(
        array(select p_docs[n] from unnest(v_unclean) with ordinality as u (n, o) order by o), v_max_depth, u.seen,
        v_state);
    for i in 1..cardinality(v_unclean) loop
        v_docs[v_unclean[i]] := v_masked[i];
    end loop;
    return v_docs;
exception
    when sqlstate 'ZB003' or sqlstate 'ZB005' or sqlstate 'ZB006' then
        raise;
    when others then
        perform bcp_internal.anonymizer_failed(sqlstate);
end
$func$;

comment on function bcp_internal.anonymize_documents(jsonb[]) is
    'Documents without personal data, in their order. ZB005 where one is nested deeper than the setting max_json_depth '
    'or cannot be gone through; ZB006 where the anonymiser is broken: then keep nothing.';

create or replace function bcp_internal.anonymize_json(p_doc jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select (bcp_internal.anonymize_documents(array[p_doc]))[1]
$func$;

comment on function bcp_internal.anonymize_json(jsonb) is
    'One document without personal data; errors are those of bcp_internal.anonymize_documents.';

create or replace function bcp_internal.anonymize_text(p_text text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select (bcp_internal.anonymize_documents(array[to_jsonb(p_text)]))[1] #>> '{}'
$func$;

comment on function bcp_internal.anonymize_text(text) is
    'Text without personal data; errors are those of bcp_internal.anonymize_documents.';

create or replace function bcp_internal.cut_ip(p_ip inet, p_bits_v4 integer, p_bits_v6 integer) returns inet
language sql immutable parallel safe
-- No search_path: with one it could not be inlined; every name is qualified instead.
as $func$
    select case
        when pg_catalog.family(p_ip) operator(pg_catalog.=) 4 then pg_catalog.network(
            pg_catalog.set_masklen(p_ip, least(p_bits_v4, pg_catalog.masklen(p_ip))))::pg_catalog.inet
        when not p_ip operator(pg_catalog.<<=) '::ffff:0:0/96'::pg_catalog.inet then pg_catalog.network(
            pg_catalog.set_masklen(p_ip, least(p_bits_v6, pg_catalog.masklen(p_ip))))::pg_catalog.inet
        -- An IPv4 address in IPv6 form would lose all of itself to the longer prefix.
        else pg_catalog.network(pg_catalog.set_masklen(
            '0.0.0.0'::pg_catalog.inet operator(pg_catalog.+) (
                pg_catalog.host(p_ip)::pg_catalog.inet operator(pg_catalog.-) '::ffff:0:0'::pg_catalog.inet),
            least(p_bits_v4, pg_catalog.masklen(p_ip) operator(pg_catalog.-) 96)))::pg_catalog.inet
    end
$func$;

comment on function bcp_internal.cut_ip(inet, integer, integer) is
    'Network of an address, its host part zero: so many bits of an IPv4 address, also of one in IPv6 form, and so many '
    'of any other IPv6 address.';

create or replace function bcp_internal.anonymize_ip(p_ip inet) returns inet
language sql stable strict
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.cut_ip(
        p_ip, bcp_internal.setting('ip_prefix_v4')::integer, bcp_internal.setting('ip_prefix_v6')::integer)
$func$;

comment on function bcp_internal.anonymize_ip(inet) is
    'Network of an address, by the settings ip_prefix_v4 and ip_prefix_v6.';
