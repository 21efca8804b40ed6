-- Small functions that everything else uses: clock, settings, ids, checks.

create or replace function bcp_internal.known_years() returns tstzrange
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select tstzrange('0001-01-01Z', '10000-01-01Z')
$func$;

comment on function bcp_internal.known_years is
    'The years 1 to 9999, UTC. ISO 8601 writes these with four digits, and every reader can hold them.';

grant execute on function bcp_internal.known_years to bcp_reader;

create or replace function bcp_internal.checked_time(p_name text, p_time timestamptz) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if not p_time <@ bcp_internal.known_years() then
        raise exception using
            errcode = 'ZB002', message = p_name || ' is not within the years 1 to 9999',
            hint = 'Write it like 2026-01-31T23:59:59.123Z.';
    end if;
    return p_time;
end
$func$;

comment on function bcp_internal.checked_time is
    'Returns a time that a caller gave. ZB002 if it is outside bcp_internal.known_years; null stays null.';

grant execute on function bcp_internal.checked_time to bcp_reader;

create or replace function bcp_internal.now() returns timestamptz
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if coalesce(current_setting('bcp.now', true), '') = '' then
        return now();
    end if;
    -- This asks for the role that logged in, because within security definer the current user is the owner: anybody may
    -- set bcp.now. A bcp.now that is no time must fail for nobody but the owner.
    return case
        when (select pg_has_role(session_user, n.nspowner, 'usage') from pg_namespace n where n.nspname = 'bcp')
            then bcp_internal.checked_time('bcp.now', current_setting('bcp.now', true)::timestamptz)
        else now()
    end;
end
$func$;

comment on function bcp_internal.now is
    'Time of the transaction, or bcp.now if a session of the owner has set it. Such a session logged in as the owner '
    'of schema bcp, or as a role with the owner''s rights. This lets tests own their clock.';

grant execute on function bcp_internal.now to bcp_reader;

create or replace function bcp_internal.bucket_start(p_width interval, p_time timestamptz, p_zone text)
returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return public.time_bucket(p_width, p_time at time zone p_zone) at time zone p_zone;
end
$func$;

comment on function bcp_internal.bucket_start is 'Start of the bucket of a time zone that a time lies in.';

grant execute on function bcp_internal.bucket_start to bcp_reader;

create or replace function bcp_internal.store_as_usual() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- With the first setting on, late rows never reach the aggregates. With the others on, rows are compressed at once,
    -- in an order that only the sender claims. Some versions lack these settings, so no function can pin them.
    perform set_config(s.name, 'off', true)
    from unnest('{timescaledb.skip_cagg_invalidation, timescaledb.enable_direct_compress_insert,
        timescaledb.enable_direct_compress_insert_client_sorted}'::text[]) as s (name)
    where current_setting(s.name, true) <> 'off';
end
$func$;

comment on function bcp_internal.store_as_usual is
    'Undoes, for this transaction, settings by which a sender''s session may have changed how TimescaleDB stores rows.';

create or replace function bcp_internal.setting(p_name text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_value text;
begin
    select value into v_value from bcp.settings where name = p_name;
    if not found then
        raise exception using
            errcode = 'ZB003',
            message = format('there is no setting %s', quote_literal(left(p_name, 60))),
            hint = 'select name, value, description from bcp.settings lists them.';
    end if;
    return v_value;
end
$func$;

comment on function bcp_internal.setting is 'Value of a setting in bcp.settings; ZB003 if there is no such setting.';

grant execute on function bcp_internal.setting to bcp_reader;

create or replace function bcp_internal.uuidv7(p_time timestamptz) returns uuid
language sql volatile parallel safe
-- No search_path: a function that sets one is not inlined. Every name is qualified instead.
as $func$
    -- RFC 9562, 5.7: 48 bits of Unix milliseconds and the version 7, written over a random UUIDv4.
    select pg_catalog.concat(
        pg_catalog.lpad(pg_catalog.to_hex(
            (pg_catalog.date_part('epoch', p_time) operator(pg_catalog.*) 1000::double precision)::bigint), 12, '0'),
        '7', pg_catalog.substr(pg_catalog.gen_random_uuid()::pg_catalog.text, 16))::pg_catalog.uuid
$func$;

comment on function bcp_internal.uuidv7(timestamptz) is
    'UUIDv7 of a time (RFC 9562, 5.7). PostgreSQL has its own only since version 18.';

create or replace function bcp_internal.uuidv7(p_time timestamptz, p_random bigint, p_number bigint) returns uuid
language sql stable parallel safe
-- No search_path: a function that sets one is not inlined, and so is one that is immutable although concat is not.
as $func$
    select pg_catalog.concat(
        pg_catalog.lpad(pg_catalog.to_hex(
            (pg_catalog.date_part('epoch', p_time) operator(pg_catalog.*) 1000::double precision)::bigint), 12, '0'),
        '7', pg_catalog.lpad(pg_catalog.to_hex(p_random operator(pg_catalog.&) 4095::bigint), 3, '0'),
        pg_catalog.to_hex((p_random operator(pg_catalog.&) 2305843009213689856::bigint)
            operator(pg_catalog.|) (-9223372036854775808)::bigint operator(pg_catalog.+) p_number))::pg_catalog.uuid
$func$;

comment on function bcp_internal.uuidv7(timestamptz, bigint, bigint) is
    'UUIDv7 of a time, of the p_number-th of many that share one random number, as RFC 9562, 6.2, lets a batch count: '
    'to ask the system for randomness costs more than all else here.';

create or replace function bcp_internal.event_uuid(p_id text) returns uuid
-- In PL/pgSQL, because PostgreSQL starts its executor at each call of a function in SQL that it cannot inline.
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_id ~* '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$' then
        return p_id;
    end if;
    -- RFC 9562, 5.8: a UUIDv8 of 122 bits of the SHA-256.
    return encode(
        set_bit(set_bit(set_bit(set_bit(set_bit(set_bit(
            substring(sha256(convert_to(p_id, 'UTF8')) from 1 for 16),
            52, 0), 53, 0), 54, 0), 55, 1), 70, 0), 71, 1),
        'hex');
end
$func$;

comment on function bcp_internal.event_uuid is
    'The UUID itself, or for any other id a UUIDv8 of its SHA-256, so that ids of every sender can serve as keys.';

grant execute on function bcp_internal.event_uuid to bcp_reader;

create or replace function bcp_internal.try_jsonb(p_text text) returns jsonb
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
begin
    return p_text::jsonb;
exception
    -- It is not JSON, has a character or number that jsonb cannot hold, is too large, or is nested too deep for the
    -- stack.
    when data_exception or program_limit_exceeded or statement_too_complex then
        return null;
end
$func$;

comment on function bcp_internal.try_jsonb is
    'The text as jsonb; null if it is not JSON, or is JSON that jsonb cannot hold.';

create or replace function bcp_internal.latency_ms(p_lat_idx integer) returns double precision
language sql immutable parallel safe
-- Neither search_path nor strict: with either, the function would not be inlined. Every name is qualified instead.
as $func$
    select case
        when p_lat_idx operator(pg_catalog.=) (-32768) then 0::double precision
        else pg_catalog.power(1.02::double precision, p_lat_idx::double precision)
            operator(pg_catalog.*) 0.9900990099009901::double precision
    end
$func$;

comment on function bcp_internal.latency_ms is
    'Duration in milliseconds that represents a bucket of the latency sketch: 2 * gamma^i / (gamma + 1) with gamma = '
    '1.02 (0.99010 * 1.02^i). It is within 0.991 percent of every duration in the bucket (DDSketch, Masson et al., '
    'VLDB 2019, lemma 2).';

grant execute on function bcp_internal.latency_ms to bcp_reader;
