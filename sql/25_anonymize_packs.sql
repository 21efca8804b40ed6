-- Packs are keys and rules of the anonymiser that a team switches on with one statement. One of them finds national
-- numbers, whose checks are here.

create or replace function bcp_internal.is_day_and_month(p_digits text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return left(p_digits, 2) between '01' and '31' and substr(p_digits, 3, 2) between '01' and '12';
end
$func$;

comment on function bcp_internal.is_day_and_month(text) is
    'Whether digits begin with a day and a month, as the national numbers of northern Europe do.';

create or replace function bcp_internal.is_number_of_11_digits(p_digits text, p_form text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    d constant text := p_digits;
    v_first constant text := left(p_digits, 1);
    v_last constant integer := right(p_digits, 1);
begin
    if p_form = '999-999-999 99' then
        -- Russia, pensions.
        return bcp_internal.weighted_sum(d, '{9,8,7,6,5,4,3,2,1}') % 101 % 100 = right(d, 2)::integer;
    elsif p_form = '99.99.99-999.99' then
        -- Belgium; a 2 is put before numbers of this century.
        return 97 - left(d, 9)::bigint % 97 = right(d, 2)::integer
            or 97 - ('2' || left(d, 9))::bigint % 97 = right(d, 2)::integer;
    end if;
    return
        -- Brazil, persons.
        (bcp_internal.weighted_sum(d, '{10,9,8,7,6,5,4,3,2}') * 10 % 11 % 10 = substr(d, 10, 1)::integer
            and bcp_internal.weighted_sum(d, '{11,10,9,8,7,6,5,4,3,2}') * 10 % 11 % 10 = v_last)
        -- Australia, businesses, also of one person: 1 is taken from the first digit.
        or (bcp_internal.weighted_sum(d, '{10,1,3,5,7,9,11,13,15,17,19}') - 10) % 89 = 0 and p_form = '99 999 999 999'
        -- Poland, persons: 20, 40, 60 or 80 is added to a month for the century.
        or substr(d, 3, 2)::integer % 20 between 1 and 12 and substr(d, 5, 2) between '01' and '31'
            and bcp_internal.weighted_sum(d, '{1,3,7,9,1,3,7,9,1,3,1}') % 10 = 0
        -- Germany, taxes: of the first ten digits one comes twice or three times, and the others once.
        or (v_first <> '0' and bcp_internal.is_mod_11_10(d) and (
            select count(*) filter (where n > 1) = 1 and max(n) <= 3
            from (select count(*) as n from string_to_table(left(d, 10), null) as c group by c) as counts))
        -- Turkey.
        or (v_first <> '0'
            and (bcp_internal.weighted_sum(d, '{7,-1,7,-1,7,-1,7,-1,7}') + 40) % 10 = substr(d, 10, 1)::integer
            and bcp_internal.weighted_sum(d, '{1,1,1,1,1,1,1,1,1,1}') % 10 = v_last)
        -- Norway, perhaps with 40 added to the day.
        or ((bcp_internal.is_day_and_month(d) or left(d, 2) between '41' and '71')
            and bcp_internal.weighted_sum(d, '{3,7,6,1,8,9,4,5,2,1}') % 11 = 0
            and bcp_internal.weighted_sum(d, '{5,4,3,2,7,6,5,4,3,2,1}') % 11 = 0);
end
$func$;

comment on function bcp_internal.is_number_of_11_digits(text, text) is
    'Whether 11 digits, written in a form such as 999.999.999-99, are a national number by the check digits of some '
    'country.';

create or replace function bcp_internal.is_number_of_13_digits(p_digits text, p_form text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    d constant text := p_digits;
    v_first constant text := left(p_digits, 1);
    v_last constant integer := right(p_digits, 1);
    v_sum integer;
begin
    if p_form = '999.9999.9999.99' then
        -- Switzerland.
        return left(d, 3) = '756' and bcp_internal.weighted_sum(d, '{1,3,1,3,1,3,1,3,1,3,1,3,1}') % 10 = 0;
    elsif p_form = '999999-9999999' then
        -- Korea: those given out since 2020 have no check digit.
        return bcp_internal.has_birth_date(d) and substr(d, 7, 1) between '1' and '8';
    end if;
    v_sum := bcp_internal.weighted_sum(d, '{2,7,9,1,4,6,3,5,8,2,7,9}') % 11;
    return
        -- South Africa.
        substr(d, 11, 1) in ('0', '1') and substr(d, 12, 1) in ('8', '9')
            and bcp_internal.has_birth_date(d) and substr(d, 3, 2) <= '12' and bcp_internal.is_luhn(d)
        -- Romania. Nothing is added to a month, so that times in milliseconds are none.
        or v_first between '1' and '8' and bcp_internal.has_birth_date(substr(d, 2)) and substr(d, 4, 2) <= '12'
            and substr(d, 8, 2) between '01' and '52' and v_last = case v_sum when 10 then 1 else v_sum end
        -- What was Yugoslavia.
        or bcp_internal.is_day_and_month(d) and substr(d, 5, 1) in ('0', '9')
            and bcp_internal.weighted_sum(d, '{7,6,5,4,3,2,7,6,5,4,3,2,1}') % 11 = 0;
end
$func$;

comment on function bcp_internal.is_number_of_13_digits(text, text) is
    'Whether 13 digits, written in a form such as 999.9999.9999.99, are a national number by the check digits of some '
    'country.';

create or replace function bcp_internal.is_number_of_person(p_digits text, p_form text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- No regular expressions here: PostgreSQL keeps 32 of them compiled, and the rules need those.
    d constant text := p_digits;
    v_length constant integer := length(p_digits);
    v_first constant text := left(p_digits, 1);
    v_last constant integer := right(p_digits, 1);
    v_sum integer;
begin
    -- p_form is the number as it is written, with 9 for every digit. The form tells countries apart.
    if d = repeat(v_first, v_length) then
        return false;
    end if;
    case v_length
        when 8, 9 then
            if p_form = '999-99-9999' then
                -- United States: a taxpayer without a social security number.
                return v_first = '9'
                    and (substr(d, 4, 2) between '50' and '65' or substr(d, 4, 2) between '70' and '99')
                    and substr(d, 4, 2) not in ('89', '93');
            elsif right(p_form, 2) = '-9' then
                -- Chile.
                v_sum := 11 - bcp_internal.weighted_sum(lpad(left(d, -1), 8, '0'), '{3,2,7,6,5,4,3,2}') % 11;
                return v_last = case v_sum when 11 then 0 else v_sum end;
            end if;
            return v_length = 9 and (
                -- Canada, Israel; Netherlands; Australia; Portugal.
                bcp_internal.is_luhn(d)
                or bcp_internal.weighted_sum(d, '{9,8,7,6,5,4,3,2,-1}') % 11 = 0
                or bcp_internal.weighted_sum(d, '{1,4,3,7,5,8,6,9,10}') % 11 = 0
                or v_first in ('1', '2', '3', '5', '6', '8', '9') and v_last = case
                    when bcp_internal.weighted_sum(d, '{9,8,7,6,5,4,3,2}') % 11 < 2 then 0
                    else 11 - bcp_internal.weighted_sum(d, '{9,8,7,6,5,4,3,2}') % 11 end);
        when 10 then
            if p_form = '999-999-99-99' then
                -- Poland, taxes.
                return bcp_internal.weighted_sum(d, '{6,5,7,2,3,4,5,6,7}') % 11 = v_last;
            elsif p_form = '999999/9999' then
                -- Czechia and Slovakia.
                return bcp_internal.has_birth_date(d) and d::bigint % 11 = 0;
            elsif p_form in ('999999-9999', '999999+9999') then
                -- Sweden, with Luhn and perhaps 60 added to the day; Denmark, the day first and no check digit any
                -- more.
                return (bcp_internal.has_birth_date(d) or substr(d, 5, 2) between '61' and '91')
                        and bcp_internal.is_luhn(d)
                    or bcp_internal.is_day_and_month(d) and substr(p_form, 7, 1) = '-';
            end if;
            -- England: the first digit of those that are given out.
            return v_first in ('4', '6', '7') and bcp_internal.weighted_sum(d, '{10,9,8,7,6,5,4,3,2,1}') % 11 = 0;
        when 11 then
            return bcp_internal.is_number_of_11_digits(d, p_form);
        when 12 then
            if p_form in ('99999999-9999', '99999999+9999') then
                -- Sweden, with the century.
                return bcp_internal.is_luhn(right(d, 10)) and bcp_internal.has_birth_date(right(d, 10));
            end if;
            -- India.
            return v_first >= '2' and bcp_internal.is_verhoeff(d);
        when 13 then
            return bcp_internal.is_number_of_13_digits(d, p_form);
        when 14 then
            -- Brazil, businesses.
            return bcp_internal.weighted_sum(d, '{5,4,3,2,9,8,7,6,5,4,3,2}') * 10 % 11 % 10 = substr(d, 13, 1)::integer
                and bcp_internal.weighted_sum(d, '{6,5,4,3,2,9,8,7,6,5,4,3,2}') * 10 % 11 % 10 = v_last;
        when 15 then
            -- France: sex, year, month from 20 on where it is not known.
            return v_first in ('1', '2', '3', '4', '7', '8')
                and substr(d, 4, 2) not in ('00', '13', '14', '15', '16', '17', '18', '19')
                and 97 - left(d, 13)::bigint % 97 = right(d, 2)::integer;
        else
            return false;
    end case;
end
$func$;

comment on function bcp_internal.is_number_of_person(text, text) is
    'Whether digits, written in a form such as 999.999.999-99, are a national number of some country by its check '
    'digits.';

create or replace function bcp_internal.is_national_id(p_value text) returns boolean
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v constant text collate "C" := translate(upper(p_value), ' .-/()+', '');
    v_form constant text collate "C" := translate(
        v, '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', '9999999999AAAAAAAAAAAAAAAAAAAAAAAAAA');
    v_length constant integer := length(v);
    v_sum integer;
begin
    if v_length = 18 and v_form in (repeat('9', 18), repeat('9', 17) || 'A') then
        -- China: ISO 7064, MOD 11-2.
        return substr(v, 7, 2) in ('19', '20') and bcp_internal.has_birth_date(substr(v, 9))
            and substr(
                    '10X98765432',
                    bcp_internal.weighted_sum(left(v, 17), '{7,9,10,5,8,4,2,1,6,3,7,9,10,5,8,4,2}') % 11 + 1, 1)
                = right(v, 1);
    elsif v_form = repeat('9', v_length) then
        return bcp_internal.is_number_of_person(v, translate(p_value, '012345678', '999999999'));
    elsif v_form in ('9999999A', '99999999A') and right(v, 1) = 'K' and right(p_value, 2) in ('-K', '-k') then
        -- Chile, where K is 10.
        return bcp_internal.weighted_sum(lpad(left(v, -1), 8, '0'), '{3,2,7,6,5,4,3,2}') % 11 = 1;
    elsif v_form in ('99999999A', 'A9999999A')
        and left(v, 1) not in ('S', 'T', 'F', 'G', 'M') then
        -- Spain, citizens and foreigners; of passports of this form the letter before is another.
        return translate(left(v, 1), 'XYZ', '012') between '0' and '9'
            and substr('TRWAGMYFPDXBNJZSQVHLCKE', translate(left(v, 8), 'XYZ', '012')::integer % 23 + 1, 1)
                = right(v, 1);
    elsif v_form = 'A9999999A' then
        -- Singapore.
        v_sum := bcp_internal.weighted_sum(substr(v, 2), '{2,7,6,5,4,3,2}')
            + case left(v, 1) when 'T' then 4 when 'G' then 4 when 'M' then 3 else 0 end;
        return right(v, 1) = case
            when left(v, 1) in ('S', 'T') then substr('JZIHGFEDCBA', v_sum % 11 + 1, 1)
            when left(v, 1) in ('F', 'G') then substr('XWUTRQPNMLK', v_sum % 11 + 1, 1)
            else substr('KLJNPQRTUWX', 11 - v_sum % 11, 1) end;
    elsif right(p_value, 1) = ')' then
        -- Hong Kong: letters as 10 to 35, and a blank as 36.
        v_sum := case v_length when 8 then 36 * 9 else (ascii(v) - 55) * 9 end + (ascii(right(v, 8)) - 55) * 8
            + bcp_internal.weighted_sum(right(v, 7), '{7,6,5,4,3,2}')
            + case right(v, 1) when 'A' then 10 else ascii(right(v, 1)) - 48 end;
        return v_sum % 11 = 0;
    elsif v_form = 'A999999999' then
        -- Taiwan: the letter as two digits, in an order of its own.
        v_sum := 9 + strpos('ABCDEFGHJKLMNPQRSTUVXYWZIO', left(v, 1));
        return (v_sum / 10 + v_sum % 10 * 9 + bcp_internal.weighted_sum(substr(v, 2), '{8,7,6,5,4,3,2,1,1}')) % 10 = 0;
    elsif v_length = 16 then
        -- Italy: characters at odd places count by a table.
        select sum(case
            when n % 2 = 0 then c
            else ('{1,0,5,7,9,13,15,17,19,21,2,4,18,20,11,3,6,8,12,14,16,10,22,25,24,23}'::integer[])[c + 1] end) % 26
        into v_sum
        from (
            select n, ascii(c) - case when c <= '9' then 48 else 65 end
            from string_to_table(left(v, 15), null) with ordinality as t (c, n)
        ) as numbers (n, c);
        return chr(65 + v_sum) = right(v, 1);
    elsif v_length = 18 then
        -- Mexico, persons: characters as 0 to 36, with one between N and O that no number has.
        select sum((strpos('0123456789ABCDEFGHIJKLMN.OPQRSTUVWXYZ', c) - 1) * (19 - n)) into v_sum
        from string_to_table(left(v, 17), null) with ordinality as t (c, n);
        return (10 - v_sum % 10) % 10 = ascii(right(v, 1)) - 48;
    elsif v_length in (12, 13) and left(v_form, 9) = 'AAA999999' or left(v_form, 10) = 'AAAA999999' then
        -- Mexico, taxes.
        return bcp_internal.has_birth_date(substr(v, v_length - 8)) and substr(v, v_length - 6, 2) <= '12'
            and substr(v, v_length - 4, 2) <= '31';
    elsif v_form in ('999999999A', '9999999999', '999999A999A', '999999A9999') then
        -- Finland; the character between is the century's.
        return bcp_internal.is_day_and_month(v)
            and substr(
                    '0123456789ABCDEFHJKLMNPRSTUVWXY',
                    ((left(v, 6) || left(right(v, 4), 3))::bigint % 31)::integer + 1, 1)
                = right(v, 1);
    end if;
    -- Other forms have no check digits.
    return true;
end
$func$;

comment on function bcp_internal.is_national_id(text) is
    'Whether a text in the form of a national number has the right check digits; true for forms that have none.';

create or replace function bcp_internal.is_identifier(p_kind text, p_value text) returns boolean
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case p_kind
        when 'nationalid' then bcp_internal.is_national_id(p_value)
        when 'ip' then bcp_internal.is_public_ip(p_value)
        when 'geo' then bcp_internal.is_position(p_value)
        -- The first two digits name the body that gave out the number of the device.
        when 'device' then bcp_internal.is_luhn(bcp_internal.only_digits(p_value))
            and left(p_value, 2) in (
                '01', '10', '33', '35', '44', '45', '49', '50', '51', '52', '53', '54', '86', '91', '98', '99')
        when 'vehicle' then length(p_value) <> 17 or bcp_internal.is_vin(p_value)
        when 'crypto' then left(p_value, 2) in ('0x', 'bc', 'tb') or left(p_value, 4) = 'ltc1'
            or bcp_internal.is_base58check(p_value)
        else true
    end
$func$;

comment on function bcp_internal.is_identifier(text, text) is
    'Whether a match of a rule with validation identifier is what the kind of the rule says, by its check digits or '
    'its range.';

create or replace function bcp_internal.set_pack(p_name text, p_enabled boolean) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_name is null or not exists (select from bcp.anonymization_packs where name = p_name) then
        raise exception using
            errcode = 'ZB002',
            message = 'there is no pack with this p_name',
            hint = 'It is one of ' || (select string_agg(name, ', ' order by name) from bcp.anonymization_packs) || '.';
    end if;
    update bcp.anonymization_packs set enabled = p_enabled where name = p_name and enabled <> p_enabled;
    return found;
end
$func$;

comment on function bcp_internal.set_pack(text, boolean) is
    'Switches a pack on or off, and returns whether that changed anything; ZB002 where there is no such pack.';

-- These run as the owner, because no role may call what they call.
create or replace function bcp.enable_anonymization_pack(p_name text) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.set_pack(p_name, true)
$func$;

revoke all on function bcp.enable_anonymization_pack(text) from public;
grant execute on function bcp.enable_anonymization_pack(text) to bcp_admin;
comment on function bcp.enable_anonymization_pack(text) is
    'Puts the keys and rules of a pack of bcp.anonymization_packs in force, from the next event on, and returns '
    'whether they were not in force before. Stored rows stay as they are until bcp.anonymize_history. For bcp_admin. '
    'ZB002 where there is no such pack.';

create or replace function bcp.disable_anonymization_pack(p_name text) returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.set_pack(p_name, false)
$func$;

revoke all on function bcp.disable_anonymization_pack(text) from public;
grant execute on function bcp.disable_anonymization_pack(text) to bcp_admin;
comment on function bcp.disable_anonymization_pack(text) is
    'Takes the keys and rules of a pack of bcp.anonymization_packs out of force, from the next event on, and returns '
    'whether they were in force. For bcp_admin. ZB002 where there is no such pack.';
