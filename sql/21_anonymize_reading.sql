-- Text as it reads: without URL encoding, entities of HTML, look-alikes of digits, and invisible characters.

create or replace function bcp_internal.decode_entity(p_entity text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_names constant jsonb :=
        '{"quot": "\"", "apos": "''", "lt": "<", "gt": ">", "amp": "&", "commat": "@", "colon": ":", "equals": "=",
          "period": ".", "sol": "/", "lpar": "(", "rpar": ")", "lsqb": "[", "rsqb": "]", "lcub": "{", "rcub": "}",
          "plus": "+", "num": "#", "dollar": "$", "percnt": "%", "lowbar": "_", "ast": "*", "bsol": "\\", "semi": ";",
          "comma": ",", "grave": "`", "hyphen": "-", "dash": "-", "ndash": "-", "mdash": "-", "horbar": "-",
          "minus": "-", "shy": "", "zwj": "", "zwnj": "", "ZeroWidthSpace": "", "NoBreak": ""}';
    v_number constant text := substr(p_entity, 3, length(p_entity) - 3);
    v_code integer;
begin
    if left(p_entity, 2) <> '&#' then
        -- All others are blanks.
        return coalesce(v_names ->> substr(p_entity, 2, length(p_entity) - 2), ' ');
    end if;
    v_code := case
        when lower(left(v_number, 1)) = 'x' then ('x' || lpad(substr(v_number, 2), 8, '0'))::bit(32)::integer
        else v_number::integer
    end;
    -- No control characters, halves of pairs or what is beyond the last character.
    return case
        when v_code between 32 and 126 or v_code between 160 and 55295 or v_code between 57344 and 1114111
            then chr(v_code)
        else ' '
    end;
end
$func$;

comment on function bcp_internal.decode_entity(text) is
    'The character that an entity of HTML, such as &#64;, stands for.';

create or replace function bcp_internal.decode_escapes(p_text text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text text collate "C" := p_text;
    v_before text collate "C";
    v_code record;
    v_parts text[];
begin
    -- Twice, because %2540 stands for %40, which stands for @.
    for v_round in 1..2 loop
        v_before := v_text;
        if v_text ~ '%[2-7][0-9A-Fa-f]' then
            for v_code in
                select distinct m[1] as code, chr(('x' || m[1])::bit(8)::integer) as letter
                from regexp_matches(v_text, '%([2-6][0-9A-Fa-f]|7[0-9A-Ea-e])', 'g') as m
            loop
                v_text := replace(v_text, '%' || v_code.code, v_code.letter);
            end loop;
        end if;
        -- Other characters are several bytes of UTF-8. Only what is valid is decoded, so that nothing raises an error.
        if v_text like any ('{%\\%C%,%\\%D%,%\\%E%,%\\%F%,%\\%c%,%\\%d%,%\\%e%,%\\%f%}') then
            v_parts := bcp_internal.split_at_matches(
                v_text,
                '(?i)%(?:c[2-9a-f]|d[0-9a-f])%[89ab][0-9a-f]|%e0%[ab][0-9a-f]%[89ab][0-9a-f]'
                '|%e[1-9a-cef](?:%[89ab][0-9a-f]){2}|%ed%[89][0-9a-f]%[89ab][0-9a-f]'
                '|%f0%[9ab][0-9a-f](?:%[89ab][0-9a-f]){2}|%f[1-3](?:%[89ab][0-9a-f]){3}'
                '|%f4%8[0-9a-f](?:%[89ab][0-9a-f]){2}',
                false);
            for i in 2..cardinality(v_parts) by 2 loop
                v_parts[i] := convert_from(decode(replace(v_parts[i], '%', ''), 'hex'), 'UTF8');
            end loop;
            v_text := array_to_string(v_parts, '');
        end if;
        if strpos(v_text, '&') > 0 then
            v_parts := bcp_internal.split_at_matches(
                v_text,
                '&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|quot|apos|lt|gt|amp|commat|colon|equals|period|sol|lpar|rpar'
                '|lsqb|rsqb|lcub|rcub|plus|num|dollar|percnt|lowbar|ast|bsol|semi|comma|grave|hyphen|dash|ndash'
                '|mdash|horbar|minus|shy|zwn?j|ZeroWidthSpace|NoBreak|nbsp|e[nm]sp|emsp1[34]|numsp|puncsp|thinsp'
                '|hairsp|Tab|NewLine);',
                false);
            for i in 2..cardinality(v_parts) by 2 loop
                v_parts[i] := bcp_internal.decode_entity(v_parts[i]);
            end loop;
            v_text := array_to_string(v_parts, '');
        end if;
        exit when v_text = v_before;
    end loop;
    return v_text;
end
$func$;

comment on function bcp_internal.decode_escapes(text) is
    'The text with characters written out that were in URL encoding (%40) or HTML entities (&#64;).';

create or replace function bcp_internal.other_digits() returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select
        '\u0660-\u0669\u06f0-\u06f9\u07c0-\u07c9\u0966-\u096f\u09e6-\u09ef\u0a66-\u0a6f\u0ae6-\u0aef\u0b66-\u0b6f'
        '\u0be6-\u0bef\u0c66-\u0c6f\u0ce6-\u0cef\u0d66-\u0d6f\u0de6-\u0def\u0e50-\u0e59\u0ed0-\u0ed9\u0f20-\u0f29'
        '\u1040-\u1049\u1090-\u1099\u1369-\u1371\u17e0-\u17e9\u1810-\u1819\u1946-\u194f\u19d0-\u19d9\u1a80-\u1a89'
        '\u1a90-\u1a99\u1b50-\u1b59\u1bb0-\u1bb9\u1c40-\u1c49\u1c50-\u1c59\u24f5-\u24fd\u24ff\u2776-\u277e'
        '\u2780-\u2788\u278a-\u2792\ua620-\ua629\ua8d0-\ua8d9\ua900-\ua909\ua9d0-\ua9d9\ua9f0-\ua9f9\uaa50-\uaa59'
        '\uabf0-\uabf9\U000104A0-\U000104A9\U00010D30-\U00010D39\U00011066-\U0001106F\U000110F0-\U000110F9'
        '\U00011136-\U0001113F\U000111D0-\U000111D9\U000112F0-\U000112F9\U00011450-\U00011459'
        '\U000114D0-\U000114D9\U00011650-\U00011659\U000116C0-\U000116C9\U00011730-\U00011739'
        '\U000118E0-\U000118E9\U00011950-\U00011959\U00011C50-\U00011C59\U00011D50-\U00011D59'
        '\U00011DA0-\U00011DA9\U00016A60-\U00016A69\U00016AC0-\U00016AC9\U00016B50-\U00016B59'
        '\U0001E140-\U0001E149\U0001E2F0-\U0001E2F9\U0001E950-\U0001E959'
$func$;

comment on function bcp_internal.other_digits() is
    'The digits of all scripts but our own, and those in circles, as a regular expression has them between brackets.';

create or replace function bcp_internal.plain_digits(p_text text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- The zeros of all scripts but our own: nine digits follow each. What is circled has its zero elsewhere or none.
    v_zeros constant integer[] := '{
        1632, 1776, 1984, 2406, 2534, 2662, 2790, 2918, 3046, 3174, 3302, 3430, 3558, 3664, 3792, 3872,
        4160, 4240, 4968, 6112, 6160, 6470, 6608, 6784, 6800, 6992, 7088, 7232, 7248, 9460, 9471, 10101,
        10111, 10121, 42528, 43216, 43264, 43472, 43504, 43600, 44016, 66720, 68912, 69734, 69872, 69942,
        70096, 70384, 70736, 70864, 71248, 71360, 71472, 71904, 72016, 72784, 73040, 73120, 92768, 92864,
        93008, 123200, 123632, 125264}';
    v_text text collate "C" := p_text;
    v_digits text;
begin
    -- Translate only what is there: each character costs by the number of those that are looked for.
    select string_agg(distinct m[1], '')
    into v_digits
    from regexp_matches(v_text, '([' || bcp_internal.other_digits() || '])', 'g') as m;
    if v_digits is not null then
        v_text := translate(v_text, v_digits, (
            select string_agg((ascii(c) - z.zero)::text, '' order by n)
            from string_to_table(v_digits, null) with ordinality as d (c, n)
            cross join lateral (select max(zero) as zero from unnest(v_zeros) as zero where zero <= ascii(c)) as z));
    end if;
    -- Between digits these stand for a hyphen or a dot; in words they are letters and bullets.
    v_text := regexp_replace(v_text, '([0-9])[\u30fc\u301c\u3030\u30a0](?=[0-9])', '\1-', 'g');
    return regexp_replace(v_text, '([0-9])[\u00b7\u2022\u2027\u30fb\u2219\u22c5](?=[0-9])', '\1.', 'g');
end
$func$;

comment on function bcp_internal.plain_digits(text) is
    'The text with digits 0 to 9 in place of those of all scripts, and with hyphens and dots between digits in place '
    'of what is written for them.';

create or replace function bcp_internal.fold_text(p_text text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_controls constant text :=
        E'\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f';
    v_text text collate "C" := p_text;
begin
    if strpos(v_text, '%') > 0 or strpos(v_text, '&') > 0 then
        v_text := bcp_internal.decode_escapes(v_text);
    end if;
    -- Remove control characters other than tabs and line ends.
    -- Most texts have none, which is found without one of the 32 expressions that PostgreSQL keeps compiled. But a long
    -- text is worth one: translating compares each character with all of these.
    if length(v_text) > 2000 or v_text <> translate(v_text, v_controls, '') then
        v_text := regexp_replace(v_text, '[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]+', '', 'g');
    end if;
    if octet_length(v_text) = length(v_text) then
        return v_text;
    end if;
    -- Make wide letters and digits plain, every dash a hyphen, every blank a space and every digit 0 to 9. Remove
    -- invisible characters, marks over others that no letter has, and U+FFFD, which stands for what could not be read.
    v_text := regexp_replace(
        normalize(v_text, NFKC),
        '[\u0080-\u0084\u0086-\u009f\u00ad\u0300-\u036f\u0483-\u0489\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20d0-\u20f0\u2800\u3164\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\uffa0\ufffd\U0001D173-\U0001D17A\U000E0000-\U000E0FFF]',
        '', 'g');
    if v_text !~ ('[\u0085\u00b7\u02d7\u058a\u05be\u1680\u1400\u1806\u2010-\u2015\u2022\u2024\u2027-\u2029\u2043\u2044\u2053\u2212\u2215\u2219\u22c5\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u2e5d\u3002\u301c\u3030\u30a0\u30fb\u30fc'
        || bcp_internal.other_digits() || ']')
    then
        return v_text;
    end if;
    v_text := translate(
        v_text,
        E'\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u02d7\u058a\u05be\u1400\u1806\u2053\u2e17\u2e1a\u2e3a\u2e3b'
        '\u2e40\u2e5d\u2024\u3002\u2044\u2215\u1680\u0085\u2028\u2029',
        E'--------------------..//    ');
    return bcp_internal.plain_digits(v_text);
end
$func$;

comment on function bcp_internal.fold_text(text) is
    'The text as it reads: without escapes, compatibility forms and invisible characters, and with plain dashes, '
    'blanks and digits.';
