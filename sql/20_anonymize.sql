-- The anonymiser: JSON, text and addresses in, the same without personal data out. It fails closed: what it
-- cannot go through raises, and the caller rejects the event. What it looks for is data: bcp.sensitive_keys,
-- bcp.sensitive_key_exceptions, bcp.anonymization_rules; sql/22_anonymize_rules.sql compiles and applies them.
-- Nothing here is parallel safe: reading JSON out of a string takes a subtransaction.

create or replace function bcp_internal.anonymizer_failed(p_sqlstate text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- The message of the cause may repeat a value, its SQLSTATE cannot. Of these classes it is what came that is at
    -- fault: data, limits, a raise. But what is no regular expression or no number is a broken rule or setting.
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
    'Raises ZB005 where the value is at fault, else ZB006; names the SQLSTATE of the cause and no value.';

create or replace function bcp_internal.load_anonymizer() returns bcp_internal.anonymizer_state
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_state bcp_internal.anonymizer_state;
begin
    -- Concatenation takes them out of compressed storage once, not at every use.
    select
        only_row, case when text_gates is not null then text_gates || '{}'::text[] end, text_likes || '{}'::text[],
        digit_gates || '{}'::text[], word_gate || '', key_gates || '{}'::text[], word_gates || '{}'::text[],
        key_likes || '{}'::text[], key_patterns || '{}'::text[], key_types || '{}'::text[],
        exception_likes || '{}'::text[], exception_patterns || '{}'::text[], exception_types || '{}'::text[]
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

comment on function bcp_internal.check_depth(integer, integer) is 'Raises ZB005 where the depth is more than the limit.';

create or replace function bcp_internal.passes_gate(p_text text, p_state bcp_internal.anonymizer_state) returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text collate "C" := p_text;
begin
    return p_state.text_gates is not null
        and not lower(v_text) like any (p_state.text_likes)
        and not lower(v_text) ~ any (p_state.text_gates)
        -- A key in text is followed by one of these, in JSON too; an option may be a string of its own in a list.
        and (
            (strpos(v_text, ':') = 0 and strpos(v_text, '=') = 0 and strpos(v_text, '>') = 0 and strpos(v_text, '"-') = 0)
            or (not lower(v_text) ~ any (p_state.key_gates) and not v_text ~ any (p_state.word_gates)));
end
$func$;

comment on function bcp_internal.passes_gate(text, bcp_internal.anonymizer_state) is
    'True only where no rule can match in a text of ASCII characters, nor a sensitive key be in it if it is JSON.';

create or replace function bcp_internal.is_clean(p_text text, p_max_depth integer, p_state bcp_internal.anonymizer_state)
returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- False wherever in doubt. Other characters than ASCII may look like ASCII, an escape may stand for any
    -- character, and brackets may be levels.
    return octet_length(p_text) = length(p_text)
        and strpos(replace(p_text, '\"', ''), '\') = 0
        and (length(p_text) <= 2 * p_max_depth or length(p_text) - length(translate(p_text, '{[', '')) <= p_max_depth)
        and bcp_internal.passes_gate(p_text, p_state);
end
$func$;

comment on function bcp_internal.is_clean(text, integer, bcp_internal.anonymizer_state) is
    'True only where masking this text, each line of it, or JSON with this text would change nothing and raise nothing.';

create or replace function bcp_internal.narrow_gates(p_text text, p_state bcp_internal.anonymizer_state)
returns bcp_internal.anonymizer_state
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text collate "C" := p_text;
    v_lower constant text collate "C" := lower(p_text collate "C");
    v_state bcp_internal.anonymizer_state := p_state;
begin
    if p_state.text_gates is not null then
        v_state.text_gates := array(select g from unnest(p_state.text_gates) as g where v_lower ~ g);
        v_state.text_likes := array(select l from unnest(p_state.text_likes) as l where v_lower like l);
        -- As in passes_gate.
        if strpos(v_text, ':') = 0 and strpos(v_text, '=') = 0 and strpos(v_text, '>') = 0 and strpos(v_text, '"-') = 0 then
            v_state.key_gates := '{}';
            v_state.word_gates := '{}';
        else
            v_state.key_gates := array(select g from unnest(p_state.key_gates) as g where v_lower ~ g);
            v_state.word_gates := array(select g from unnest(p_state.word_gates) as g where v_text ~ g);
        end if;
    end if;
    return v_state;
end
$func$;

comment on function bcp_internal.narrow_gates(text, bcp_internal.anonymizer_state) is
    'The gates that a text does not pass: each line of it passes all others, so that looking at these is enough.';

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
    select array_agg(key), array_agg(bcp_internal.mask_text(key, p_state))
    into v_keys, v_names
    from jsonb_object_keys(p_object) as key;
    if v_names = v_keys then
        return p_object;
    end if;
    -- Keys that become equal all stay, from the second on with a number; from another number on where a key of
    -- the object happens to have one of those already.
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
    'An object whose keys are masked as text; keys that become equal are numbered.';

create or replace function bcp_internal.mask_number(p_number jsonb, p_state bcp_internal.anonymizer_state) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_digits text;
    v_masked text;
begin
    -- A card's number may come as a number, 4111111111111111 or 4.111111111111111e15.
    if length(p_number::text) < 13 then
        return p_number;
    end if;
    v_digits := trim_scale(p_number::numeric)::text;
    v_masked := bcp_internal.mask_text(v_digits, p_state);
    return case when v_masked = v_digits then p_number else to_jsonb(v_masked) end;
end
$func$;

comment on function bcp_internal.mask_number(jsonb, bcp_internal.anonymizer_state) is 'A number, or the keyed hash of a card whose number it is.';

create or replace function bcp_internal.named_value(p_object jsonb, p_state bcp_internal.anonymizer_state) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_names constant text[] := '{name,Name,key,Key,header,field,k}';
    v_name text;
    v_value text;
begin
    -- Headers, form fields and environments are often lists of {"name": ..., "value": ...}.
    v_value := case when p_object ? 'value' then 'value' when p_object ? 'Value' then 'Value' when p_object ? 'v' then 'v' end;
    if v_value is not null and p_object ?| v_names then
        foreach v_name in array v_names loop
            if jsonb_typeof(p_object -> v_name) = 'string'
                and length(p_object ->> v_name) <= 60
                and bcp_internal.is_sensitive_key(p_object ->> v_name, jsonb_typeof(p_object -> v_value), p_state)
            then
                return v_value;
            end if;
        end loop;
    end if;
    return null;
end
$func$;

comment on function bcp_internal.named_value(jsonb, bcp_internal.anonymizer_state) is
    'The key of an object like {"name": "password", "value": ...} that holds the value of a sensitive name; null where there is none.';

create or replace function bcp_internal.mask_document(
    p_doc jsonb, p_max_depth integer, p_state bcp_internal.anonymizer_state)
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- The nodes of the document, level by level: no function calls itself, since the embedded engine's stack
    -- ends after some fifty calls. Level l is the nodes from v_first[l] to before v_first[l + 1].
    v_value jsonb[] := array[p_doc];
    v_parent integer[] := '{0}';
    v_key text[] := array[null::text];
    v_changed boolean[] := '{false}';
    v_renamed boolean[] := '{false}';
    -- Of strings that are JSON: the string. Its JSON takes its place in v_value.
    v_text text[] := array[null::text];
    v_wraps integer[] := array[null::integer];
    v_first integer[] := '{1,2}';
    v_level integer := 1;
    v_low integer := 1;
    v_high integer := 1;
    v_count integer;
    v_keys text;
    v_new record;
    v_read record;
    v_node jsonb;
    v_masked jsonb;
    v_named text;
    v_options boolean;
    v_follows boolean;
    v_narrow bcp_internal.anonymizer_state;
begin
    loop
        -- Strings and numbers of this level. One look at all of them costs a tenth of one look at each.
        select
            string_agg(v #>> '{}', E'\n') filter (where jsonb_typeof(v) = 'string') as strings,
            bool_or(jsonb_typeof(v) = 'number' and length(v::text) >= 13) as long_numbers
        into v_new
        from unnest(v_value[v_low:v_high]) as v;
        if v_new.long_numbers or not bcp_internal.is_clean(v_new.strings, p_max_depth, p_state) then
            v_narrow := bcp_internal.narrow_gates(v_new.strings, p_state);
            for i in v_low..v_high loop
                if jsonb_typeof(v_value[i]) = 'string' then
                    continue when bcp_internal.is_clean(v_value[i] #>> '{}', p_max_depth, v_narrow);
                    v_read := bcp_internal.read_json_text(v_value[i] #>> '{}', p_max_depth);
                    if v_read.wraps > 0 then
                        v_text[i] := v_value[i] #>> '{}';
                        v_wraps[i] := v_read.wraps;
                        v_value[i] := v_read.value;
                    end if;
                end if;
                v_masked := case jsonb_typeof(v_value[i])
                    when 'string' then to_jsonb(bcp_internal.mask_text(v_value[i] #>> '{}', p_state))
                    when 'number' then bcp_internal.mask_number(v_value[i], p_state)
                    else v_value[i]
                end;
                if v_masked <> v_value[i] then
                    v_value[i] := v_masked;
                    v_changed[i] := true;
                end if;
            end loop;
        end if;
        -- The next level.
        v_count := v_high;
        for i in v_low..v_high loop
            -- By itself: a loop over a query copies the variables in it.
            v_node := v_value[i];
            if jsonb_typeof(v_node) = 'object' then
                v_named := bcp_internal.named_value(v_node, p_state);
                for v_new in select key, value from jsonb_each(v_node) loop
                    v_count := v_count + 1;
                    v_parent[v_count] := i;
                    v_key[v_count] := v_new.key;
                    v_value[v_count] := v_new.value;
                    if v_new.key = v_named then
                        v_changed[v_count] := v_new.value <> '"[REDACTED]"';
                        v_value[v_count] := '"[REDACTED]"';
                    end if;
                end loop;
            elsif jsonb_typeof(v_node) = 'array' then
                v_options := strpos(v_node::text, '"-') > 0;
                v_follows := false;
                for v_new in select value from jsonb_array_elements(v_node) loop
                    v_count := v_count + 1;
                    v_parent[v_count] := i;
                    v_key[v_count] := null;
                    v_value[v_count] := v_new.value;
                    -- A command line as a list: what follows --password.
                    if v_follows and jsonb_typeof(v_new.value) = 'string' and not v_new.value::text like '"-%' then
                        v_changed[v_count] := v_new.value <> '"[REDACTED]"';
                        v_value[v_count] := '"[REDACTED]"';
                    end if;
                    v_follows := v_options and v_new.value::text ~ '^"--?[A-Za-z][A-Za-z_-]{0,60}"$'
                        and bcp_internal.is_sensitive_key(v_new.value #>> '{}', 'string', p_state);
                end loop;
            else
                continue;
            end if;
            perform bcp_internal.check_depth(v_level, p_max_depth);
        end loop;
        exit when v_count = v_high;
        v_low := v_high + 1;
        v_high := v_count;
        v_level := v_level + 1;
        v_first := v_first || v_high + 1;
        v_keys := array_to_string(v_key[v_low:v_high], E'\n');
        continue when v_keys = '';
        -- Its keys.
        if replace(bcp_internal.key_words(v_keys), ' ', '') like any (p_state.key_likes) then
            for i in v_low..v_high loop
                if v_key[i] is not null and bcp_internal.is_sensitive_key(
                    v_key[i],
                    -- A number so long is no count, and may become a string.
                    case when jsonb_typeof(v_value[i]) = 'number' and length(v_value[i]::text) >= 13 then 'string'
                        else jsonb_typeof(v_value[i]) end,
                    p_state)
                then
                    v_changed[i] := coalesce(v_changed[i], false) or v_value[i] <> '"[REDACTED]"';
                    v_value[i] := '"[REDACTED]"';
                end if;
            end loop;
        end if;
        if not bcp_internal.is_clean(v_keys, p_max_depth, p_state) then
            v_narrow := bcp_internal.narrow_gates(v_keys, p_state);
            for i in v_low..v_high loop
                if v_key[i] is not null and not bcp_internal.is_clean(v_key[i], p_max_depth, v_narrow) then
                    v_renamed[v_parent[i]] := true;
                end if;
            end loop;
        end if;
    end loop;

    -- Put together again from the last level to the first, only what has changed.
    for l in reverse v_level..1 loop
        v_low := v_first[l];
        v_high := v_first[l + 1] - 1;
        for i in v_low..v_high loop
            if v_renamed[i] then
                v_masked := bcp_internal.mask_keys(v_value[i], p_state);
                v_changed[i] := coalesce(v_changed[i], false) or v_masked <> v_value[i];
                v_value[i] := v_masked;
            end if;
            if v_wraps[i] is not null then
                -- jsonb keeps the last of equal keys. What an earlier one held is found as text, and then
                -- only what jsonb kept is kept here.
                if v_changed[i] or bcp_internal.mask_text(v_text[i], p_state) <> v_text[i] then
                    v_value[i] := bcp_internal.write_json_text(v_value[i], v_wraps[i]);
                    v_changed[i] := v_value[i] <> to_jsonb(v_text[i]);
                else
                    v_value[i] := to_jsonb(v_text[i]);
                end if;
            end if;
        end loop;
        for v_new in
            select
                parent,
                coalesce(
                    jsonb_object_agg(key, value) filter (where key is not null),
                    jsonb_agg(value order by n)) as value
            from unnest(v_parent[v_low:v_high], v_key[v_low:v_high], v_value[v_low:v_high], v_changed[v_low:v_high])
                with ordinality as node (parent, key, value, changed, n)
            where l > 1
            group by parent
            having bool_or(changed)
        loop
            v_value[v_new.parent] := v_new.value;
            v_changed[v_new.parent] := true;
        end loop;
    end loop;
    return v_value[1];
end
$func$;

comment on function bcp_internal.mask_document(jsonb, integer, bcp_internal.anonymizer_state) is
    'JSON, masked: the values of sensitive keys, then strings, numbers that are cards, and keys; what is JSON in a string as JSON. ZB005 where it is nested too deep.';

create or replace function bcp_internal.anonymize_json(p_doc jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_state bcp_internal.anonymizer_state;
    v_max_depth integer;
begin
    if p_doc is null then
        return null;
    end if;
    v_state := bcp_internal.load_anonymizer();
    v_max_depth := bcp_internal.setting('max_json_depth');
    if bcp_internal.is_clean(p_doc::text, v_max_depth, v_state) then
        return p_doc;
    end if;
    return bcp_internal.mask_document(p_doc, v_max_depth, v_state);
exception
    when sqlstate 'ZB003' or sqlstate 'ZB005' or sqlstate 'ZB006' then
        raise;
    when others then
        perform bcp_internal.anonymizer_failed(sqlstate);
end
$func$;

comment on function bcp_internal.anonymize_json(jsonb) is
    'JSON without personal data. ZB005 where it is nested deeper than the setting max_json_depth or cannot be gone through, ZB006 where the anonymiser is broken: then keep nothing.';

create or replace function bcp_internal.anonymize_text(p_text text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_state bcp_internal.anonymizer_state;
    v_max_depth integer;
begin
    if p_text is null then
        return null;
    end if;
    v_state := bcp_internal.load_anonymizer();
    v_max_depth := bcp_internal.setting('max_json_depth');
    if bcp_internal.is_clean(p_text, v_max_depth, v_state) then
        return p_text;
    end if;
    return bcp_internal.mask_document(to_jsonb(p_text), v_max_depth, v_state) #>> '{}';
exception
    when sqlstate 'ZB003' or sqlstate 'ZB005' or sqlstate 'ZB006' then
        raise;
    when others then
        perform bcp_internal.anonymizer_failed(sqlstate);
end
$func$;

comment on function bcp_internal.anonymize_text(text) is 'Text without personal data; errors as anonymize_json.';

create or replace function bcp_internal.anonymize_ip(p_ip inet) returns inet
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_ip inet := p_ip;
    v_bits integer;
begin
    if family(v_ip) = 6 and v_ip <<= '::ffff:0:0/96' then
        -- An IPv4 address in IPv6 form would lose all of itself to the longer prefix.
        v_ip := set_masklen('0.0.0.0'::inet + (host(v_ip)::inet - '::ffff:0:0'::inet), masklen(v_ip) - 96);
    end if;
    v_bits := bcp_internal.setting(case family(v_ip) when 4 then 'ip_prefix_v4' else 'ip_prefix_v6' end);
    return network(set_masklen(v_ip, least(v_bits, masklen(v_ip))))::inet;
end
$func$;

comment on function bcp_internal.anonymize_ip(inet) is
    'Network of an address, its host part zero, by the settings ip_prefix_v4 and ip_prefix_v6.';

create or replace function bcp_internal.truncate_text(p_text text, p_max_bytes integer) returns text
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_mark constant text := format(' [TRUNCATED %s bytes]', octet_length(p_text));
    v_head text;
begin
    if octet_length(p_text) <= p_max_bytes then
        return p_text;
    end if;
    -- At most one character a byte; then by the share that is too much, until it fits.
    v_head := left(p_text, greatest(p_max_bytes - octet_length(v_mark), 0));
    while octet_length(v_head) + octet_length(v_mark) > greatest(p_max_bytes, octet_length(v_mark)) loop
        v_head := left(v_head, least(
            length(v_head) - 1,
            (length(v_head)::bigint * (p_max_bytes - octet_length(v_mark)) / octet_length(v_head))::integer));
    end loop;
    -- The last word goes if it was cut: half of a long number may look like a card's or a telephone's.
    return regexp_replace(v_head, '"?[^\s"]*$', '') || v_mark;
end
$func$;

comment on function bcp_internal.truncate_text(text, integer) is
    'Text of at most so many bytes, cut at the end of a word and marked with the size it had. Mask first, then cut.';

create or replace function bcp_internal.truncate_json(p_doc jsonb, p_max_bytes integer) returns jsonb
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text := p_doc::text;
    v_bytes constant integer := octet_length(v_text);
    v_budget integer := p_max_bytes;
    v_result jsonb;
begin
    if v_bytes <= p_max_bytes then
        return p_doc;
    end if;
    loop
        v_result := jsonb_build_object(
            '_truncated', true, '_bytes', v_bytes,
            '_head', regexp_replace(bcp_internal.truncate_text(v_text, v_budget), ' ?\[TRUNCATED [0-9]+ bytes\]$', ''));
        -- Quotes are escaped in the head, so it takes more than its own length.
        exit when octet_length(v_result::text) <= p_max_bytes or v_result ->> '_head' = '';
        v_budget := v_budget - greatest(octet_length(v_result::text) - p_max_bytes, 16);
    end loop;
    return v_result;
end
$func$;

comment on function bcp_internal.truncate_json(jsonb, integer) is
    'A document of at most so many bytes as text; a larger one becomes {"_truncated": true, "_bytes": its size, "_head": its beginning as text}. Mask first, then cut.';
