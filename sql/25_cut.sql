-- Cuts text and documents to size. Masking takes time in proportion to the size, so a value that is much too large is
-- cut twice: before masking to a multiple of what is kept (cut_text, cut_json), and after masking to what is kept,
-- marked with the size that it had when it came (truncate_text, truncate_json).

create or replace function bcp_internal.head_of(p_text text, p_max_bytes integer) returns text
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Start with one character per byte, and shorten by the share that is too much until it fits.
    v_head text := left(p_text, greatest(p_max_bytes, 0));
begin
    while octet_length(v_head) > greatest(p_max_bytes, 0) loop
        v_head := left(v_head, least(
            length(v_head) - 1, (length(v_head)::bigint * p_max_bytes / octet_length(v_head))::integer));
    end loop;
    return v_head;
end
$func$;

comment on function bcp_internal.head_of(text, integer) is
    'The beginning of a text: whole characters, at most so many bytes.';

create or replace function bcp_internal.without_last_word(p_head text) returns text
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Half a word may be half a secret, which no rule finds, and half a number may look like another one. Text without
    -- blanks, such as base64, Chinese or escaped lines, is one word: of such a word only a thousand characters are
    -- removed, not all.
    select left(p_head, length(p_head) - length(substring(right(p_head, 1000) from '[^\s"]*$')))
$func$;

comment on function bcp_internal.without_last_word(text) is
    'The beginning of a text up to its last word, which may have been cut in two; where that word is longer than a '
    'thousand characters, without the last thousand.';

create or replace function bcp_internal.cut_text(p_text text, p_max_bytes integer) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when octet_length(p_text) <= p_max_bytes then p_text
        else bcp_internal.without_last_word(bcp_internal.head_of(p_text, p_max_bytes))
    end
$func$;

comment on function bcp_internal.cut_text(text, integer) is
    'The beginning of a text, at most so many bytes, without a word that was cut in two. It is for text that is to be '
    'masked and then truncated.';

create or replace function bcp_internal.close_json(
    p_head text, p_max_depth integer,
    out closed text, out opening text, out content text, out closing text, out is_deeper boolean)
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_head text := p_head;
    v_plain text;
    v_brackets text;
    v_before text;
    v_in_string boolean;
    v_last integer;
begin
    -- Remove an escape that was cut in two.
    v_head := left(
        v_head,
        length(v_head) - coalesce(length(substring(right(v_head, 6) from '\\u[0-9a-fA-F]{0,3}$')), 0));
    if (length(v_head) - length(rtrim(v_head, '\'))) % 2 = 1 then
        v_head := left(v_head, length(v_head) - 1);
    end if;
    -- Without escapes every quote begins or ends a string, and without strings brackets that form a pair disappear. The
    -- brackets that are left are those that the cut left open.
    v_plain := replace(replace(v_head, '\\', '__'), '\"', '__');
    v_in_string := (length(v_plain) - length(replace(v_plain, '"', ''))) % 2 = 1;
    v_brackets := regexp_replace(regexp_replace(v_plain, '"[^"]*(?:"|$)', '', 'g'), '[^][{}]+', '', 'g');
    for i in 1..p_max_depth + 1 loop
        v_before := v_brackets;
        v_brackets := replace(replace(v_brackets, '[]', ''), '{}', '');
        exit when v_brackets = v_before;
    end loop;
    is_deeper := v_brackets <> v_before or length(v_brackets) > p_max_depth;
    if is_deeper then
        return;
    end if;
    closing := translate(reverse(v_brackets), '{[', '}]');
    -- A number or word that was cut is not the one that was there. So outside strings it is removed, with the comma
    -- before it.
    opening := case
        when v_in_string then v_head
        else rtrim(rtrim(v_head, '+-.0123456789Eaeflnrstu'), E' \t\r\n,')
    end;
    closed := opening || case when v_in_string then '"' else '' end || closing;
    -- The place of the last quote.
    v_last := length(v_plain) - strpos(reverse(v_plain), '"') + 1;
    if bcp_internal.try_jsonb(closed) is not null then
        if v_in_string then
            opening := left(v_head, v_last);
            content := substr(v_head, v_last + 1);
        end if;
        return;
    end if;
    -- A key without its value is removed, too.
    if not v_in_string then
        v_last := v_last - strpos(reverse(left(v_plain, v_last - 1)), '"');
    end if;
    closed := rtrim(left(v_head, v_last - 1), E' \t\r\n,') || closing;
    if bcp_internal.try_jsonb(closed) is null then
        closed := null;
    end if;
end
$func$;

comment on function bcp_internal.close_json(text, integer) is
    'Valid JSON made of JSON that was cut short: the values before the cut, and the beginning of the string in which '
    'it was cut. Of that string content is what there is of it, and opening, content, a quote and closing make the '
    'whole. Null where the text is no such JSON, or is nested deeper than the limit, which is_deeper tells.';

create or replace function bcp_internal.cut_json(p_doc jsonb, p_max_bytes integer, p_max_depth integer) returns jsonb
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text := p_doc::text;
    v_limit integer := p_max_bytes;
    v_head text;
    v_outer record;
    v_inner text;
    v_result jsonb;
begin
    if octet_length(v_text) <= p_max_bytes then
        return p_doc;
    end if;
    loop
        v_head := bcp_internal.cut_text(v_text, v_limit);
        v_outer := bcp_internal.close_json(v_head, p_max_depth);
        perform bcp_internal.check_depth(case when v_outer.is_deeper then p_max_depth + 1 else 0 end, p_max_depth);
        v_result := bcp_internal.try_jsonb(v_outer.closed);
        if v_outer.content is not null then
            -- An answer is often one string that is JSON, and must be masked as JSON, too.
            v_inner := ltrim(bcp_internal.try_jsonb('"' || v_outer.content || '"') #>> '{}', E' \t\r\n');
            if left(v_inner, 1) in ('{', '[') then
                v_result := coalesce(
                    bcp_internal.try_jsonb(
                        left(v_outer.opening, -1)
                        || to_jsonb((bcp_internal.close_json(v_inner, p_max_depth)).closed)::text
                        || v_outer.closing),
                    v_result);
            end if;
        end if;
        v_result := coalesce(v_result, to_jsonb(v_head));
        exit when octet_length(v_result::text) <= p_max_bytes or v_limit <= 0;
        v_limit := v_limit - greatest(octet_length(v_result::text) - p_max_bytes, 16);
    end loop;
    return v_result;
end
$func$;

comment on function bcp_internal.cut_json(jsonb, integer, integer) is
    'The beginning of a document as a document of at most so many bytes as text; where that cannot be closed, the '
    'beginning of its text as a string. It is for a document that is to be masked and then truncated. ZB005 where it '
    'is nested deeper than the limit.';

create or replace function bcp_internal.truncate_text(p_text text, p_max_bytes integer, p_bytes integer default null)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_mark constant text := format(' [TRUNCATED %s bytes]', coalesce(p_bytes, octet_length(p_text)));
    v_head text := p_text;
begin
    if p_text is null or p_bytes is null and octet_length(p_text) <= p_max_bytes then
        return p_text;
    end if;
    if p_bytes is not null then
        -- If the text was cut before, half of a secret of several words may stand at its end.
        v_head := left(v_head, greatest(length(v_head) - 64, 0));
    end if;
    v_head := bcp_internal.head_of(v_head, p_max_bytes - octet_length(v_mark));
    return regexp_replace(bcp_internal.without_last_word(v_head), '"$', '') || v_mark;
end
$func$;

comment on function bcp_internal.truncate_text(text, integer, integer) is
    'Text of at most so many bytes, without a word that was cut in two, marked with the size it had. p_bytes is that '
    'size where the text was cut before; then it is marked even where it fits. Mask the text first.';

create or replace function bcp_internal.truncate_json(p_doc jsonb, p_max_bytes integer, p_bytes integer default null)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text constant text := p_doc::text;
    v_bytes constant integer := coalesce(p_bytes, octet_length(v_text));
    v_budget integer := p_max_bytes;
    v_result jsonb;
begin
    if p_doc is null or p_bytes is null and v_bytes <= p_max_bytes then
        return p_doc;
    end if;
    loop
        v_result := jsonb_build_object(
            '_truncated', true, '_bytes', v_bytes,
            '_head', regexp_replace(
                -- The brackets and quotes that closed the document when it was cut before were not in it.
                bcp_internal.truncate_text(
                    case when p_bytes is null then v_text else rtrim(v_text, '\"}] ') end, v_budget, p_bytes),
                ' ?\[TRUNCATED [0-9]+ bytes\]$', ''));
        -- Quotes are escaped in the head, so it takes more room than its own length.
        exit when octet_length(v_result::text) <= p_max_bytes or v_result ->> '_head' = '';
        v_budget := v_budget - greatest(octet_length(v_result::text) - p_max_bytes, 16);
    end loop;
    return v_result;
end
$func$;

comment on function bcp_internal.truncate_json(jsonb, integer, integer) is
    'A document of at most so many bytes as text. A larger one becomes {"_truncated": true, "_bytes": its size, '
    '"_head": the beginning of its text}, and so does one that was cut before from p_bytes, even where it fits. Mask '
    'the document first.';
