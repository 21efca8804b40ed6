-- Check digits tell a number of a person, a device or a wallet from any other digits.

create or replace function bcp_internal.weighted_sum(p_digits text, p_weights integer[]) returns integer
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- A loop, because a number has at most fifteen digits and a query would cost ten times as much.
    v_sum integer := 0;
begin
    for i in 1..cardinality(p_weights) loop
        v_sum := v_sum + p_weights[i] * (ascii(substr(p_digits, i, 1)) - 48);
    end loop;
    return v_sum;
end
$func$;

comment on function bcp_internal.weighted_sum(text, integer[]) is
    'Sum of the first digits, each times its weight. Most check digits are made from it.';

create or replace function bcp_internal.is_luhn(p_digits text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_sum integer := 0;
    v_digit integer;
begin
    -- ISO/IEC 7812-1, annex B. Every second digit is doubled and the digits of the result are added, which is twice the
    -- digit modulo 9, except for 9.
    for i in 1..length(p_digits) loop
        v_digit := ascii(substr(p_digits, i, 1)) - 48;
        v_sum := v_sum + case when (length(p_digits) - i) % 2 = 0 or v_digit = 9 then v_digit else 2 * v_digit % 9 end;
    end loop;
    return v_sum % 10 = 0;
end
$func$;

comment on function bcp_internal.is_luhn(text) is 'Whether the last digit is the Luhn check digit of the others.';

create or replace function bcp_internal.is_verhoeff(p_digits text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- Rows of the multiplication of the dihedral group D5, and the powers of Verhoeff's permutation.
    v_product constant text := '01234567891234067895234017895634012895674012395678598760432165987104327659821043876593'
        '21049876543210';
    v_power constant text := '01234567891576283094580379614289160435279453126870428657390127938064157046913258';
    v_check integer := 0;
    v_digit integer;
begin
    for i in 0..length(p_digits) - 1 loop
        v_digit := substr(p_digits, length(p_digits) - i, 1);
        v_digit := substr(v_power, (i % 8) * 10 + v_digit + 1, 1);
        v_check := substr(v_product, v_check * 10 + v_digit + 1, 1);
    end loop;
    return v_check = 0;
end
$func$;

comment on function bcp_internal.is_verhoeff(text) is
    'Whether the last digit is the Verhoeff check digit of the others, as in an Aadhaar number.';

create or replace function bcp_internal.is_mod_11_10(p_digits text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_product integer := 10;
    v_sum integer;
begin
    for i in 1..length(p_digits) - 1 loop
        v_sum := (substr(p_digits, i, 1)::integer + v_product) % 10;
        v_product := 2 * case v_sum when 0 then 10 else v_sum end % 11;
    end loop;
    return (11 - v_product) % 10 = right(p_digits, 1)::integer;
end
$func$;

comment on function bcp_internal.is_mod_11_10(text) is
    'Whether the last digit is the check digit of the others by ISO 7064, MOD 11,10, as in a German tax number.';

create or replace function bcp_internal.has_birth_date(p_digits text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_month constant integer := substr(p_digits, 3, 2);
    v_day constant integer := substr(p_digits, 5, 2);
begin
    -- Some countries add 20, 40, 60 or 80 to the month for the century, or 50 or 70 for a woman; some add 40 to the
    -- day.
    return (v_month % 20 between 1 and 12 or v_month between 51 and 62 or v_month between 71 and 82)
        and (v_day between 1 and 31 or v_day between 41 and 71);
end
$func$;

comment on function bcp_internal.has_birth_date(text) is
    'Whether digits begin with a year, month and day of two digits each, the way national numbers write a date of '
    'birth.';

create or replace function bcp_internal.is_base58check(p_value text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_number numeric := 0;
    v_bytes bytea := decode(repeat('00', 25), 'hex');
    v_digit integer;
begin
    for i in 1..length(p_value) loop
        v_digit := strpos('123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz', substr(p_value, i, 1));
        if v_digit = 0 then
            return false;
        end if;
        v_number := v_number * 58 + v_digit - 1;
    end loop;
    for i in reverse 24..0 loop
        v_bytes := set_byte(v_bytes, i, (v_number % 256)::integer);
        v_number := div(v_number, 256);
    end loop;
    return v_number = 0
        and substring(sha256(sha256(substring(v_bytes from 1 for 21))) from 1 for 4) = substring(v_bytes from 22);
end
$func$;

comment on function bcp_internal.is_base58check(text) is
    'Whether a text is an address of 25 bytes with the right checksum, as of Bitcoin, Litecoin or Tron.';

create or replace function bcp_internal.is_vin(p_value text) returns boolean
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- ISO 3779: the ninth character is the weighted sum of the others modulo 11. The letters I, O and Q are not used.
    select length(p_value) = 17 and translate(p_value, '0123456789', '') <> ''
        and translate(p_value, '0123456789ABCDEFGHJKLMNPRSTUVWXYZ', '') = ''
        and substr('0123456789X', bcp_internal.weighted_sum(
            translate(p_value, 'ABCDEFGHJKLMNPRSTUVWXYZ', '12345678123457923456789'),
            '{8,7,6,5,4,3,2,10,0,9,8,7,6,5,4,3,2}') % 11 + 1, 1) = substr(p_value, 9, 1)
$func$;

comment on function bcp_internal.is_vin(text) is 'Whether a vehicle identification number''s check digit is right.';

create or replace function bcp_internal.is_public_ip(p_value text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_parts constant text[] := string_to_array(
        lower(p_value), case when strpos(p_value, ':') > 0 then ':' else '.' end);
    v_gaps constant integer := (select count(*) from unnest(v_parts) as part where part = '');
    v_first integer;
    v_second integer;
begin
    if strpos(p_value, ':') > 0 then
        -- Eight groups, or fewer with one gap, and an address of a host on the internet or in a network of its own:
        -- 2000::/3, fc00::/7. Like 169.254.0.0/16, fe80::/10 says nothing beyond its link.
        return (left(p_value, 1) in ('2', '3') or lower(left(p_value, 2)) in ('fc', 'fd'))
            and length(v_parts[1]) = 4 and v_parts[cardinality(v_parts)] <> ''
            and (cardinality(v_parts) = 8 and v_gaps <= 1 or cardinality(v_parts) < 8 and v_gaps = 1);
    end if;
    if exists (select from unnest(v_parts) as part where part::integer > 255 or part <> part::integer::text) then
        return false;
    end if;
    v_first := v_parts[1];
    v_second := v_parts[2];
    -- These belong to nobody: this network, private, shared, link-local and loopback addresses, multicast, masks.
    return not (v_first in (0, 10, 127) or v_first >= 224
        or v_first = 100 and v_second between 64 and 127 or v_first = 172 and v_second between 16 and 31
        or v_first = 169 and v_second = 254 or v_first = 192 and v_second = 168);
end
$func$;

comment on function bcp_internal.is_public_ip(text) is
    'Whether a text in the form of an IP address may be the address of a person: not one of a private network or a '
    'service.';

create or replace function bcp_internal.is_position(p_value text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_parts constant text[] := array_remove(string_to_array(translate(p_value, ';/ ', ',,,'), ','), '');
begin
    -- Two numbers below 1 are more likely shares than a place in the Gulf of Guinea.
    return strpos(p_value, '°') > 0
        or (abs(v_parts[1]::numeric) <= 90 and abs(v_parts[2]::numeric) <= 180
            and greatest(abs(v_parts[1]::numeric), abs(v_parts[2]::numeric)) >= 1);
end
$func$;

comment on function bcp_internal.is_position(text) is 'Whether two numbers can be a latitude and a longitude.';
