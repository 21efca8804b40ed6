-- Values: keyed hashes and their keys; what is a card, an account or a telephone number; JSON inside strings.

create or replace function bcp_internal.hmac_blocks(p_key bytea, out inner_block bytea, out outer_block bytea)
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_key bytea := case when octet_length(p_key) > 64 then sha256(p_key) else p_key end;
begin
    -- RFC 2104, 2: the key, filled up with zeros to a block of 64 bytes, xor 0x36 and xor 0x5c.
    v_key := v_key || decode(repeat('00', 64 - octet_length(v_key)), 'hex');
    inner_block := v_key;
    outer_block := v_key;
    for i in 0..63 loop
        inner_block := set_byte(inner_block, i, get_byte(v_key, i) # 54);
        outer_block := set_byte(outer_block, i, get_byte(v_key, i) # 92);
    end loop;
end
$func$;

comment on function bcp_internal.hmac_blocks(bytea) is 'The two blocks that HMAC-SHA256 makes of a key, RFC 2104.';

create or replace function bcp_internal.hmac_sha256(p_inner_block bytea, p_outer_block bytea, p_message bytea)
returns bytea
language sql immutable parallel safe
-- No search_path: with one it could not be inlined; every name is qualified instead.
as $func$
    select pg_catalog.sha256(p_outer_block operator(pg_catalog.||) pg_catalog.sha256(
        p_inner_block operator(pg_catalog.||) p_message))
$func$;

comment on function bcp_internal.hmac_sha256(bytea, bytea, bytea) is
    'HMAC-SHA256 (RFC 2104) of a message with the blocks that bcp_internal.hmac_blocks made of a key.';

create or replace function bcp_internal.create_anonymization_key() returns integer
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_key_id integer;
begin
    lock table bcp_internal.anonymization_keys in share row exclusive mode;
    update bcp_internal.anonymization_keys set retired_at = now() where retired_at is null;
    -- gen_random_uuid() takes its 122 random bits from pg_strong_random(), the system's generator for cryptography, and
    -- raises an error where there is none. Three of them give 366 bits, and SHA-256 makes a key of 256 bits of these.
    insert into bcp_internal.anonymization_keys (inner_block, outer_block)
    select inner_block, outer_block
    from bcp_internal.hmac_blocks(sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
    returning key_id into v_key_id;
    return v_key_id;
end
$func$;

comment on function bcp_internal.create_anonymization_key() is
    'Retires the key in use, makes a new one, and returns its number.';

-- Only the owner may touch the table of keys; an administrator may ask for a new one without seeing any.
create or replace function bcp.rotate_anonymization_key() returns integer
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.create_anonymization_key()
$func$;

revoke all on function bcp.rotate_anonymization_key() from public;
grant execute on function bcp.rotate_anonymization_key() to bcp_admin;
comment on function bcp.rotate_anonymization_key() is
    'Makes a new key for the keyed hashes and returns its number, which every hash made with it shows. From then on '
    'the same person has another hash.';

create or replace function bcp_internal.only_digits(p_text text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- PostgreSQL keeps only 32 compiled expressions, so short texts do without one. Translating a long text would take
    -- time by its length squared.
    return case
        when length(p_text) <= 60 then translate(p_text, translate(p_text, '0123456789', ''), '')
        else regexp_replace(p_text, '[^0-9]', '', 'g')
    end;
end
$func$;

comment on function bcp_internal.only_digits(text) is 'The digits of a text.';

create or replace function bcp_internal.plain_key(p_key text) returns text
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_letters constant text := 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
begin
    -- Like bcp_internal.only_digits: short texts do without an expression.
    return lower(case
        when length(p_key) <= 60 then translate(p_key, translate(p_key, v_letters, ''), '')
        else regexp_replace(p_key, '[^A-Za-z0-9]', '', 'g')
    end);
end
$func$;

comment on function bcp_internal.plain_key(text) is
    'The letters and digits of a key in ASCII, in lower case, as bcp.name_value_keys has them.';

create or replace function bcp_internal.pseudonym(p_kind text, p_value text) returns text
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_key bcp_internal.anonymization_keys;
    v_value text collate "C" := lower(p_value);
begin
    select * into v_key from bcp_internal.anonymization_keys where retired_at is null;
    if not found then
        raise exception using
            errcode = 'ZB006', message = 'there is no key for keyed hashes',
            hint = 'select bcp.rotate_anonymization_key();';
    end if;
    -- A person or card has one form, however it is written.
    case p_kind
        when 'email' then
            v_value := case
                when strpos(v_value, '@') > 0 then v_value
                else replace(
                    regexp_replace(v_value, '%(?:25)*40|\\+(?:u00|x)40|&#64;|&#x40;|&commat;', '@'), '%2e', '.')
            end;
        when 'phone' then
            -- North American numbers come with and without their country code.
            v_value := bcp_internal.only_digits(v_value);
            v_value := case
                when v_value like '00%' then substr(v_value, 3)
                when length(v_value) = 11 and v_value like '1%' then substr(v_value, 2)
                else v_value
            end;
        when 'card', 'ssn' then
            v_value := bcp_internal.only_digits(v_value);
        when 'iban', 'nationalid', 'device', 'vehicle' then
            v_value := regexp_replace(v_value, '[^0-9a-z]', '', 'g');
        else
            null;
    end case;
    -- 64 bits, written in consonants, so that no rule for numbers, names of keys or words matches them.
    return format('%s#k%s#%s', p_kind, v_key.key_id, translate(
        encode(substring(bcp_internal.hmac_sha256(
            v_key.inner_block, v_key.outer_block, convert_to(p_kind || ':' || v_value, 'UTF8')) from 1 for 8), 'hex'),
        '0123456789abcdef', 'bcdfghjklmnpqrtv'));
end
$func$;

comment on function bcp_internal.pseudonym(text, text) is
    'Keyed hash that stands for a value of a kind, such as email#k1#bcdfghjklmnpqrtv: 64 bits of HMAC-SHA256 with key '
    '1. Equal values have equal hashes, however they are written.';

create or replace function bcp.hash_of(p_value text, p_key text default null) returns text
language sql stable
-- Nobody but the owner may use the anonymiser's key.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when p_key is null then bcp_internal.anonymize_text(p_value)
        else (select d.value from jsonb_each_text(bcp_internal.anonymize_json(jsonb_build_object(p_key, p_value))) d)
    end
$func$;

revoke all on function bcp.hash_of(text, text) from public;
grant execute on function bcp.hash_of(text, text) to bcp_admin;
comment on function bcp.hash_of(text, text) is
    'What the anonymiser writes in place of a value, such as email#k1#bdmgvtpkrslhcfnq for an e-mail address, so that '
    'calls about it can be found; the value itself where no rule knows it. p_key is the key that the value stood '
    'under, such as login, because some values are hashed only there. Only bcp_admin may call it, as it tells whether '
    'somebody is in the store. The hash is of the key in use: values stored before bcp.rotate_anonymization_key have '
    'another one.';

create or replace function bcp_internal.is_card(p_digits text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Only the lengths and first digits that issuers use (ISO/IEC 7812) count, so that times in milliseconds are no
    -- cards.
    return case
            when left(p_digits, 1) = '4' then length(p_digits) in (13, 16, 19)
            when left(p_digits, 1) = '6' then length(p_digits) between 13 and 19
            when left(p_digits, 2) in ('50', '56', '57', '58') then length(p_digits) between 13 and 19
            when left(p_digits, 2) between '51' and '55' or left(p_digits, 2) between '22' and '27'
                then length(p_digits) = 16
            when left(p_digits, 2) in ('34', '37') then length(p_digits) = 15
            when left(p_digits, 2) in ('30', '36', '38', '39') then length(p_digits) = 14
            when left(p_digits, 2) = '35' then length(p_digits) between 16 and 19
            else false
        end
        and bcp_internal.is_luhn(p_digits);
end
$func$;

comment on function bcp_internal.is_card(text) is
    'Whether digits can be the number of a payment card, by length, issuer and Luhn check digit.';

create or replace function bcp_internal.mask_card(p_kind text, p_run text) returns text
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_parts text[];
    v_digits text;
    i integer := 1;
begin
    if bcp_internal.is_card(bcp_internal.only_digits(p_run)) then
        return bcp_internal.pseudonym(p_kind, p_run);
    end if;
    -- Groups of digits alternate with what separates them: a card's four groups may stand among others.
    v_parts := array(select m[1] from regexp_matches(p_run, '[0-9]+|[^0-9]+', 'g') as m);
    while i <= cardinality(v_parts) - 6 loop
        v_digits := v_parts[i] || v_parts[i + 2] || v_parts[i + 4] || v_parts[i + 6];
        if bcp_internal.is_card(v_digits) then
            v_parts[i] := bcp_internal.pseudonym(p_kind, v_digits);
            for j in i + 1..i + 6 loop
                v_parts[j] := '';
            end loop;
            i := i + 8;
        else
            i := i + 2;
        end if;
    end loop;
    return array_to_string(v_parts, '');
end
$func$;

comment on function bcp_internal.mask_card(text, text) is
    'A run of digits and separators, with the cards in it as keyed hashes.';

create or replace function bcp_internal.is_iban(p_value text) returns boolean
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- ISO 13616: the country decides the length. The country and the check digits go to the end, letters count as 10 to
    -- 35, and the remainder by 97 must be 1.
    select strpos(
        'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 '
        'ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 '
        'LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 '
        'PT25 QA29 RO24 '
        'RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30',
        left(v, 2) || length(v)) > 0
        and string_agg(case when c ~ '[0-9]' then c else (ascii(c) - 55)::text end, '' order by n)::numeric % 97 = 1
    from regexp_replace(p_value, '[^0-9A-Z]', '', 'g') as v,
        string_to_table(substr(v, 5) || left(v, 4), null) with ordinality as t (c, n)
    group by v
$func$;

comment on function bcp_internal.is_iban(text) is
    'Whether an international bank account number has its country''s length and right check digits.';

create or replace function bcp_internal.is_phone(p_value text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_shape constant text := translate(left(p_value, 11), '012345678 ./', '999999999---');
begin
    -- Few look like a date or a position at all, and the others need no expression.
    return (not (
            v_shape like any ('{9-9-9999%,9-99-9999%,99-9-9999%,99-99-9999%,9999-99-99%,999-999-999%}')
            or left(p_value, 1) = '+' and strpos(p_value, '.') > 0)
            or p_value !~ '^(?:[0-9]{1,2}[ ./-][0-9]{1,2}[ ./-][0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2})(?![0-9])|^0[0-9]{2}-[0-9]{3}-[0-9]{3}$|^[+](?:[0-9]{2}){1,3}\.[0-9]{2,}[+-][0-9](?:[0-9]{2}){1,3}(?![0-9])')
        and length(bcp_internal.only_digits(p_value))
            between
                case
                    when left(ltrim(p_value, '('), 2) between '01' and '09' then 9
                    when left(p_value, 1) = '+' then 8
                    else 7
                end
            and 15;
end
$func$;

comment on function bcp_internal.is_phone(text) is
    'Whether digits and separators have a telephone number''s length and are no date.';

create or replace function bcp_internal.is_nested_deeper(p_text text, p_max_depth integer) returns boolean
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_brackets text;
    v_before text;
begin
    if length(p_text) - length(translate(p_text, '{[', '')) <= p_max_depth then
        return false;
    end if;
    -- Without its strings and scalars JSON is only brackets, and each round removes the innermost pairs. PostgreSQL's
    -- own limit comes too late: the stack of the embedded engine ends first, and the engine with it.
    v_brackets := regexp_replace(p_text, '"(?:[^"\\]|\\.)*"|[^][{}"]+', '', 'g');
    for i in 1..p_max_depth loop
        v_before := v_brackets;
        v_brackets := replace(replace(v_brackets, '[]', ''), '{}', '');
        exit when v_brackets = v_before;
    end loop;
    return v_brackets ~ '^[[{].*[]}]$';
end
$func$;

comment on function bcp_internal.is_nested_deeper(text, integer) is
    'Whether a text that may be JSON has more levels than the limit. For text that is no JSON the answer means '
    'nothing.';

create or replace function bcp_internal.read_json_text(
    p_text text, p_max_depth integer, out value jsonb, out wraps integer)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_text text := p_text;
    v_ends text;
    v_read jsonb;
begin
    wraps := 0;
    loop
        v_ends := btrim(v_text, E' \t\r\n');
        v_ends := left(v_ends, 1) || right(v_ends, 1);
        exit when v_ends not in ('{}', '[]', '""') or length(v_text) < 2;
        -- An expression costs a third of a statement, and this one stands between each string of JSON and its value.
        if wraps > p_max_depth or bcp_internal.is_nested_deeper(v_text, p_max_depth) then
            perform bcp_internal.check_depth(p_max_depth + 1, p_max_depth);
        end if;
        v_read := bcp_internal.try_jsonb(v_text);
        exit when v_read is null;
        value := v_read;
        wraps := wraps + 1;
        exit when v_ends <> '""';
        v_text := value #>> '{}';
    end loop;
end
$func$;

comment on function bcp_internal.read_json_text(text, integer) is
    'What a string that is JSON holds, read again as long as the result is a string of JSON, and how often that was; 0 '
    'where the string is no JSON.';

create or replace function bcp_internal.write_json_text(p_value jsonb, p_wraps integer) returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_value jsonb := p_value;
begin
    for i in 1..p_wraps loop
        v_value := to_jsonb(v_value::text);
    end loop;
    return v_value;
end
$func$;

comment on function bcp_internal.write_json_text(jsonb, integer) is
    'The string that bcp_internal.read_json_text read the value from.';
