-- Which keys are sensitive: the rows of bcp.sensitive_keys and bcp.sensitive_key_exceptions tell. Keys are read as
-- words, split at separators and at capitals. Look up many at a time: one key alone costs as much as fifty in one call.

create or replace function bcp_internal.fold_key(p_text text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Characters that look like a Latin letter, from Unicode's confusables.txt. The zero of any script looks like o.
    v_alike constant text :=
        'æøđħıłƄƍƖƦƧƷƼƽƿǀȜȢȣȷɑɡɢɣɩɪɯɴʀʋʏʙʜʟͿΑΒΕΖΗΙΚΜΝΟΡΤΥΧαγεικνορστυχωϒϜϨϱϲϳϹϺЅІЈАВЕЗКМНОРСТУХЬабв'
        || 'гекмнопрстухьѕіјѡѴѵҮүһҽӀӏӠԁԌԛԜԝՍՏՕագզհճոռսցքօ٠۰۱۵۷߀०০৪৭੦੧੪૦ଠ୦୨௦౦೦ഠ൦൭෦๐໐༠ဝ၀ყჿሀዐᎠᎡᎢᎥᎩᎪᎫᎬᎳᎷᎻᎽ'
        || 'ᏀᏂᏃᏎᏏᏒᏔᏕᏙᏚᏞᏟᏢᏦᏧᏮᏳᏴᐯᑌᑭᑯᑲᒍᒪᒿᕁᕼᕽᖇᖯᖴᗅᗞᗪᗰᗷᚷᛁᛕᛖ០᠐ᴀᴄᴅᴇᴊᴋᴍᴏᴑᴘᴛᴜᴠᴡᴢᴦᶃᶌẝỿιℽⲅⲎⲒⲔⲘⲚⲞⲟⲢⲣⲤⲥⲦⲨⲬⳊⳌⳐⳒⴸⴹⵏⵔⵕⵝ'
        || '〇ꓐꓑꓒꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴꙄꙇꛟꛯꜰꜱꝚꝪꝮꞘꞙꞟꞫꞲꞳꞴꬲꬵꬽꭇꭈꭎꭒꭚꭵꮁꮃꮓꮩꮪꮯ';
    v_letters constant text :=
        'aodhilbglr235spl388jaggyiiwnruybhljabezhikmnoptyxayeikvopotuxwyf2pcjcmsijabe3kmhopctyxba6b'
        || 'rekmhonpctyxbsijwvvyyhell3dgqwwusowqqhannsgfooolovooo89o98ooo9ooooo9ooooooyouodrtiyajewmhy'
        || 'ghz4brwsvslcpkd6gbvupdbjl2xhxrbfaddmbxlkmooacdejkmooptuvwzrgyfyiyrhlkmnooppcctyx93l6veloqx'
        || 'obpddtgkjczfmnlsrvhwxyaelou2iv2fs239ffu3jxbeforruuyirwzvsc';
    v_text text collate "C" := p_text;
begin
    -- Zeros come first, before bcp_internal.fold_text makes digits of them; then circled and squared letters, which
    -- have no plain form.
    if octet_length(v_text) > length(v_text)
        and v_text ~ ('[' || v_alike || '\U0001F150-\U0001F169\U0001F170-\U0001F189\U0001F1E6-\U0001F1FF]')
    then
        v_text := translate(v_text, v_alike, v_letters);
        for n in 0..25 loop
            v_text := translate(v_text, chr(127312 + n) || chr(127344 + n) || chr(127462 + n), repeat(chr(97 + n), 3));
        end loop;
    end if;
    v_text := bcp_internal.fold_text(v_text);
    -- Remove accents and strokes.
    if octet_length(v_text) > length(v_text) then
        v_text := translate(
            regexp_replace(normalize(replace(v_text, 'ß', 'ss'), NFKD), '[\u0300-\u036f\u20d0-\u20f0]', '', 'g'), v_alike, v_letters);
    end if;
    return v_text;
end
$func$;

comment on function bcp_internal.fold_key(text) is
    'A key as it reads, with Latin letters in place of their look-alikes.';

create or replace function bcp_internal.small_letters(p_text text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- lower() would not do: which letters it knows depends on the locale of the database.
    return translate(
        bcp_internal.fold_text(p_text),
        'ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩЀЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУ'
        || 'ФХЦЧШЩЪЫЬЭЮЯԱԲԳԴԵԶԷԸԹԺԻԼԽԾԿՀՁՂՃՄՅՆՇՈՉՊՋՌՍՎՏՐՑՒՓՔՕՖ',
        'àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþαβγδεζηθικλμνξοπρστυφχψωѐёђѓєѕіїјљњћќѝўџабвгдежзийклмнопрсту'
        || 'фхцчшщъыьэюяաբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ');
end
$func$;

comment on function bcp_internal.small_letters(text) is
    'A key in its own script, with Latin-1, Greek, Cyrillic and Armenian capitals made small.';

create or replace function bcp_internal.key_lines(p_keys text[], p_hashed text) returns text
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_separators constant text := E'_-./:!"#$%&''()*+,;<=>?@[\\]^`{|}~\t\r\x0b\f\b';
    v_text text collate "C" := array_to_string(p_keys, E'\n');
    v_spaced text collate "C";
begin
    -- A key that is a keyed hash shows its kind, which is no secret.
    if strpos(v_text, '#k') > 0 then
        v_text := regexp_replace(v_text, p_hashed, '|', 'g');
    end if;
    -- userEmail is two words, and so is SSNNumber.
    if v_text <> lower(v_text) then
        v_text := lower(regexp_replace(v_text, '([a-z0-9])(?=[A-Z])|([A-Z])(?=[A-Z][a-z])', '\1\2 ', 'g'));
    end if;
    -- Between words of ASCII no expression is needed. Translating compares each character with all of these, so a long
    -- text is worth one.
    v_spaced := translate(v_text, v_separators, repeat(' ', length(v_separators)));
    if (case
        when length(v_spaced) > 2000 then v_spaced !~ '[^a-z0-9 \n]'
        else translate(v_spaced, 'abcdefghijklmnopqrstuvwxyz0123456789 ' || E'\n', '') = ''
    end) then
        while strpos(v_spaced, '  ') > 0 loop
            v_spaced := replace(v_spaced, '  ', ' ');
        end loop;
        return v_spaced;
    end if;
    return regexp_replace(v_text, '[^a-z0-9\u00aa-\U0010FFFF\n]+', ' ', 'g');
end
$func$;

comment on function bcp_internal.key_lines(text[], text) is
    'The words of keys in lower case, separated by spaces, one line per key: user email for userEmail, user_email and '
    'User-Email. The keys have no line end.';

create or replace function bcp_internal.grams(
    p_word text, p_next1 text, p_next2 text, p_next3 text, p_next4 text, p_next5 text)
returns table (length integer, form text, after text)
language sql immutable parallel safe
-- No search_path: with one it could not be inlined; every name is qualified instead.
as $func$
    -- Not VALUES, whose expressions PostgreSQL makes ready anew for each row of each word. Most keys are short, and
    -- have no further words to join.
    select g.length, f.form, g.after
    from (
        select
            pg_catalog.unnest(array[1, 2, 3, 4, 5]) as length,
            pg_catalog.unnest(array[
                p_word, p_word operator(pg_catalog.||) p_next1,
                p_word operator(pg_catalog.||) p_next1 operator(pg_catalog.||) p_next2,
                p_word operator(pg_catalog.||) p_next1 operator(pg_catalog.||) p_next2
                    operator(pg_catalog.||) p_next3,
                p_word operator(pg_catalog.||) p_next1 operator(pg_catalog.||) p_next2
                    operator(pg_catalog.||) p_next3 operator(pg_catalog.||) p_next4]) as gram,
            pg_catalog.unnest(array[p_next1, p_next2, p_next3, p_next4, p_next5]) as after
    ) as g
    cross join lateral (
        select pg_catalog.rtrim(g.gram, '0123456789') where g.gram is not null
    ) as d (form)
    cross join lateral (
        select pg_catalog.unnest(array[
            g.gram,
            case when d.form operator(pg_catalog.<>) g.gram then d.form end,
            case when pg_catalog.right(d.form, 1) operator(pg_catalog.=) 's' then pg_catalog.left(d.form, -1) end
        ]) as form
    ) as f
    where f.form is not null
$func$;

comment on function bcp_internal.grams(text, text, text, text, text, text) is
    'The word and up to four that follow it, joined: how many words, the result as it is, without digits and without a '
    'plural at its end, and the word after them.';

create or replace function bcp_internal.key_spellings(
    p_keys text[], p_types text[], out keys text[], out numbers integer[], out types text[], out are_phrases boolean[])
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Other characters than ASCII may be look-alikes of Latin ones, or letters of a key in another script.
    select array_agg(r.key), array_agg(r.n::integer), array_agg(r.type), array_agg(strpos(btrim(r.key), ' ') > 0)
    into keys, numbers, types, are_phrases
    from (
        select k.n, k.type, translate(v.key, E'\n', ' ') as key
        from unnest(p_keys, p_types) with ordinality as k (key, type, n)
        cross join lateral (
            select k.key
            where octet_length(k.key) = length(k.key) and strpos(k.key, '%') = 0 and strpos(k.key, '&') = 0
            union all
            select f.key
            from (values (bcp_internal.fold_key(k.key)), (bcp_internal.small_letters(k.key))) as f (key)
            where octet_length(k.key) > length(k.key) or strpos(k.key, '%') > 0 or strpos(k.key, '&') > 0
        ) as v
    ) as r;
end
$func$;

comment on function bcp_internal.key_spellings(text[], text[]) is
    'The keys as they may be read, without line ends: one in ASCII as it is, any other in Latin letters and in its own '
    'script. With each its key''s number and type, and whether it is a phrase of several words.';

create or replace function bcp_internal.key_words(
    p_text text, p_numbers integer[], p_types text[], p_are_phrases boolean[])
returns table (
    o bigint, n integer, type text, is_phrase boolean, i bigint, word text, before text, w1 text, w2 text, w3 text,
    w4 text, w5 text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
begin
    return query
    select
        l.o, l.n, l.type, l.is_phrase, u.i, u.word, lag(u.word) over s, lead(u.word) over s, lead(u.word, 2) over s,
        lead(u.word, 3) over s, lead(u.word, 4) over s, lead(u.word, 5) over s
    from rows from (string_to_table(p_text, E'\n'), unnest(p_numbers), unnest(p_types), unnest(p_are_phrases))
        with ordinality as l (line, n, type, is_phrase, o)
    cross join lateral string_to_table(btrim(l.line, ' '), ' ') with ordinality as u (word, i)
    window s as (partition by l.o order by u.i);
end
$func$;

comment on function bcp_internal.key_words(text, integer[], text[], boolean[]) is
    'The words of keys, one row per word with its place, the word before it and the five after it; of the text of '
    'bcp_internal.key_lines, which has one line per spelling of a key.';

create or replace function bcp_internal.words_with_parts(
    p_text text, p_key_parts text, out words text[], out parts text[])
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Not one regular expression: to compile it takes longer than to look a thousand keys up like this.
    v_is_ascii constant boolean := octet_length(p_text) = length(p_text);
    v_parts constant text[] := array(
        select part
        from unnest(string_to_array(p_key_parts, '|')) as part
        where case when v_is_ascii and octet_length(part) > length(part) then false else strpos(p_text, part) > 0 end);
begin
    if v_parts <> '{}' then
        select array_agg(w.word), array_agg(p.part)
        into words, parts
        from (select distinct word from string_to_table(translate(p_text, E'\n', ' '), ' ') as t (word)) as w
        join unnest(v_parts) as p (part) on strpos(w.word, p.part) > 0;
    end if;
end
$func$;

comment on function bcp_internal.words_with_parts(text, text) is
    'The words of a text that bcp_internal.key_lines returned that contain a pattern of match_mode contains, each with '
    'that pattern; null where there are none.';

create or replace function bcp_internal.words_that_begin_keys(
    p_text text, p_numbers integer[], p_types text[], p_are_phrases boolean[], p_words text[],
    p_state bcp_internal.anonymizer_state, out lines bigint[], out places bigint[])
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Few words begin a sensitive key. A plural and digits at the end of a word do not count.
    select array_agg(w.o), array_agg(w.i)
    into lines, places
    from bcp_internal.key_words(p_text, p_numbers, p_types, p_are_phrases) as w
    where w.word in (select unnest(p_words))
       or case
           when length(w.word) < 3 or p_state.key_starts ?| array[left(w.word, 3), left(w.word, 2), left(w.word, 1)]
               then p_state.key_map ?| array[
                   w.word, rtrim(w.word, '0123456789'), rtrim(rtrim(w.word, '0123456789'), 's'),
                   w.word || w.w1, rtrim(w.word || w.w1, '0123456789'),
                   rtrim(rtrim(w.word || w.w1, '0123456789'), 's'),
                   w.word || w.w1 || w.w2, rtrim(rtrim(w.word || w.w1 || w.w2, '0123456789'), 's'),
                   w.word || w.w1 || w.w2 || w.w3, rtrim(rtrim(w.word || w.w1 || w.w2 || w.w3, '0123456789'), 's'),
                   w.word || w.w1 || w.w2 || w.w3 || w.w4]
           else false
       end;
end
$func$;

comment on function bcp_internal.words_that_begin_keys(
    text, integer[], text[], boolean[], text[], bcp_internal.anonymizer_state) is
    'Lines and places of the words that may begin a sensitive key, p_words among them; null where there are none.';

create or replace function bcp_internal.classify_keys(
    p_keys text[], p_types text[], p_state bcp_internal.anonymizer_state, p_in_text boolean default false)
returns table (n integer, action text, kind text, value_pattern text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    s record;
    v_text text collate "C";
    -- A small number is a number to keys and exceptions.
    v_types text[];
    -- Opaque text: letters of both cases and three numbers among them. It is a secret whatever the last word of its key
    -- says: api_key_active. Names of methods, such as PBKDF2WithHmacSHA512, have fewer numbers.
    v_opaque constant text :=
        '^(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=[^0-9]*[0-9]+[^0-9]+[0-9]+[^0-9]+[0-9])[A-Za-z0-9+=_~-]{20,}$';
    -- Words that contain a pattern of match_mode contains, and those that may begin a sensitive key.
    v_parts record;
    v_begin record;
begin
    s := bcp_internal.key_spellings(p_keys, p_types);
    if s.keys is null then
        return;
    end if;
    v_text := bcp_internal.key_lines(s.keys, p_state.hashed);
    v_types := array_replace(s.types, 'count', 'number');
    v_parts := bcp_internal.words_with_parts(v_text, p_state.key_parts);
    v_begin := bcp_internal.words_that_begin_keys(
        v_text, s.numbers, v_types, s.are_phrases, v_parts.words, p_state);
    if v_begin.lines is null then
        return;
    end if;
    return query
    with parts as materialized (
        select p.word, p.pattern from unnest(v_parts.words, v_parts.parts) as p (word, pattern)
    ), words as materialized (
        select * from bcp_internal.key_words(v_text, s.numbers, v_types, s.are_phrases)
    ), found as materialized (
        select w.*
        from words w
        join unnest(v_begin.lines, v_begin.places) as f (o, i) using (o, i)
    ), hits as materialized (
        select f.o, f.n, f.type, f.is_phrase, f.i, f.i + g.length - 1 as j, f.before, g.after, k.way
        from found f
        cross join lateral bcp_internal.grams(f.word, f.w1, f.w2, f.w3, f.w4, f.w5) as g
        cross join lateral jsonb_array_elements(p_state.key_map -> g.form) as k (way)
        where p_state.key_map ? g.form
          and k.way ->> 'type' in ('any', f.type)
          and case k.way ->> 'mode'
              when 'last' then g.after is null
              when 'exact' then g.after is null and f.i = 1 and not (p_in_text and k.way ->> 'action' = 'hash')
              else true
          end
        union all
        select f.o, f.n, f.type, f.is_phrase, f.i, f.i, f.before, f.w1, k.way
        from found f
        join parts p on p.word = f.word
        cross join lateral jsonb_array_elements(p_state.key_map -> p.pattern) as k (way)
        where k.way ->> 'mode' = 'contains'
          and k.way ->> 'type' in ('any', f.type)
    ), exceptions as materialized (
        -- The last word says what a value is, and so it counts for all that stands before it; but not in a sentence:
        -- password for this order: x.
        select
            w.o, case when k.way ->> 'mode' = 'end' then 1 else w.i end as i, w.i + g.length - 1 as j,
            case when k.way ->> 'mode' = 'end' then w.i end as last,
            -- Of several words it is an id: email_thread_id.
            k.way ->> 'mode' = 'end' and g.length = 1 as is_weak
        from words w
        cross join lateral bcp_internal.grams(w.word, w.w1, w.w2, w.w3, w.w4, w.w5) as g
        cross join lateral jsonb_array_elements(p_state.exception_map -> g.form) as k (way)
        where w.o in (select h.o from hits h)
          and p_state.exception_map ? g.form
          and k.way ->> 'type' in ('any', w.type)
          and case k.way ->> 'mode'
              when 'exact' then g.after is null and w.i = 1
              when 'end' then g.after is null and not w.is_phrase
              else true
          end
        union all
        select w.o, w.i, w.i, null, false
        from words w
        join parts p on p.word = w.word
        cross join lateral jsonb_array_elements(p_state.exception_map -> p.pattern) as k (way)
        where w.o in (select h.o from hits h)
          and k.way ->> 'mode' = 'contains'
          and k.way ->> 'type' in ('any', w.type)
    )
    select distinct on (h.n) h.n, h.way ->> 'action', h.way ->> 'kind', coalesce(h.way ->> 'value', f.opaque)
    from hits h
    cross join lateral (
        select
            count(*) filter (where not e.is_weak) = 0 as is_hit,
            case when count(*) filter (where e.is_weak) > 0 then v_opaque end as opaque
        from exceptions e
        where e.o = h.o and e.i <= h.j and e.j >= h.i and (e.last is null or h.j < e.last)
    ) as f
    where f.is_hit
      and (f.opaque is null or (h.type = 'string' and h.way ->> 'value' is null))
      -- Yes, no and small numbers are no secrets, unless the key names just that: password_input_visible, pin. But a
      -- small number may be where somebody is: latitude_deg.
      and (h.after is null
          or not (s.types[h.o] = 'boolean' or (s.types[h.o] = 'count' and h.way ->> 'action' = 'redact')))
      and (f.opaque is not null
          or coalesce(p_state.after_map ->> h.after, p_state.after_map ->> rtrim(h.after, '0123456789'), '')
              not in ('any', h.type))
      -- In a sentence the word before says little: this is password: x.
      and (h.is_phrase or coalesce(p_state.before_map ->> h.before, '') not in ('any', h.type))
    order by h.n, coalesce(h.way ->> 'value', f.opaque) is not null, h.way ->> 'action' desc;
end
$func$;

comment on function bcp_internal.classify_keys(text[], text[], bcp_internal.anonymizer_state, boolean) is
    'Those of the keys whose value, of a JSON type, is to be masked: their numbers, and what to do. Where '
    'value_pattern is not null, the value must match it. In text short words such as to and from are no keys.';

create or replace function bcp_internal.is_sensitive_key(
    p_key text, p_value_type text, p_state bcp_internal.anonymizer_state)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
set jit = off
as $func$
    select exists (
        select from bcp_internal.classify_keys(array[p_key], array[p_value_type], p_state) as k
        where k.value_pattern is null)
$func$;

comment on function bcp_internal.is_sensitive_key(text, text, bcp_internal.anonymizer_state) is
    'Whether the value of a key is to be masked whatever it is, if it has this JSON type.';
