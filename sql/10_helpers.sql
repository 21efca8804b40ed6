-- Small functions that the rest stands on: clock, settings, ids, checks.

create or replace function bcp_internal.known_years() returns tstzrange
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select tstzrange('0001-01-01Z', '10000-01-01Z')
$func$;

comment on function bcp_internal.known_years() is
    'The years 1 to 9999, UTC: the times that ISO 8601 writes with four digits, and that all who read them can hold.';

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

comment on function bcp_internal.checked_time(text, timestamptz) is 'A time that a caller gives, ZB002 where it is outside bcp_internal.known_years; null stays.';

grant execute on function bcp_internal.checked_time to bcp_reader;

create or replace function bcp_internal.now() returns timestamptz
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Who logged in, since the current user is the owner within security definer: anybody may set bcp.now. A time that is
    -- none fails nobody else.
    select case
        when coalesce(current_setting('bcp.now', true), '') = '' then now()
        when (select pg_has_role(session_user, n.nspowner, 'usage') from pg_namespace n where n.nspname = 'bcp')
            then bcp_internal.checked_time('bcp.now', current_setting('bcp.now', true)::timestamptz)
        else now()
    end
$func$;

comment on function bcp_internal.now() is
    'Time of the transaction, or bcp.now where a session of the owner set that (one that logged in as who owns schema bcp, or has that role''s rights): tests own their clock.';

grant execute on function bcp_internal.now to bcp_reader;

create or replace function bcp_internal.store_as_usual() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- With the first, late rows never reach the aggregates; the others compress at once, and in an order that the sender
    -- only claims. Not all versions have them, so no function can pin them.
    select set_config(s.name, 'off', true)
    from unnest('{timescaledb.skip_cagg_invalidation, timescaledb.enable_direct_compress_insert,
        timescaledb.enable_direct_compress_insert_client_sorted}'::text[]) as s (name)
    where current_setting(s.name, true) <> 'off'
$func$;

comment on function bcp_internal.store_as_usual() is
    'Takes back, for this transaction, what a sender''s session may have set of how TimescaleDB stores rows.';

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

comment on function bcp_internal.setting(text) is 'Value of a row of bcp.settings; ZB003 where there is none.';

grant execute on function bcp_internal.setting to bcp_reader;

create or replace function bcp_internal.uuidv7(p_time timestamptz) returns uuid
language sql volatile parallel safe
-- No search_path: with one it could not be inlined; every name is qualified instead.
as $func$
    -- RFC 9562, 5.7: 48 bits of Unix milliseconds, and the version 7, over a random UUIDv4.
    select pg_catalog.concat(
        pg_catalog.lpad(pg_catalog.to_hex(
            (pg_catalog.date_part('epoch', p_time) operator(pg_catalog.*) 1000::double precision)::bigint), 12, '0'),
        '7', pg_catalog.substr(pg_catalog.gen_random_uuid()::pg_catalog.text, 16))::pg_catalog.uuid
$func$;

comment on function bcp_internal.uuidv7(timestamptz) is
    'UUIDv7 of a time (RFC 9562, 5.7); PostgreSQL has its own only from 18 on.';

create or replace function bcp_internal.event_uuid(p_id text) returns uuid
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- RFC 9562, 5.8: UUIDv8, 122 bits of a SHA-256.
    select case
        when p_id ~* '^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$' then p_id::uuid
        else encode(
            set_bit(set_bit(set_bit(set_bit(set_bit(set_bit(
                substring(sha256(convert_to(p_id, 'UTF8')) from 1 for 16),
                52, 0), 53, 0), 54, 0), 55, 1), 70, 0), 71, 1),
            'hex')::uuid
    end
$func$;

comment on function bcp_internal.event_uuid(text) is
    'The UUID itself, or for any other id a UUIDv8 of its SHA-256, so that every sender''s own ids serve as keys.';

grant execute on function bcp_internal.event_uuid to bcp_reader;

create or replace function bcp_internal.try_jsonb(p_text text) returns jsonb
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $func$
begin
    return p_text::jsonb;
exception
    -- No JSON, or a character or number that jsonb cannot hold; too large; nested too deep for the stack.
    when data_exception or program_limit_exceeded or statement_too_complex then
        return null;
end
$func$;

comment on function bcp_internal.try_jsonb(text) is
    'The text as jsonb; null where it is no JSON, or JSON that jsonb cannot hold.';

create or replace function bcp_internal.latency_ms(p_lat_idx integer) returns double precision
language sql immutable parallel safe
-- Neither search_path nor strict: with one it could not be inlined; every name is qualified instead.
as $func$
    select case
        when p_lat_idx operator(pg_catalog.=) (-32768) then 0::double precision
        else pg_catalog.power(1.02::double precision, p_lat_idx::double precision)
            operator(pg_catalog.*) 0.9900990099009901::double precision
    end
$func$;

comment on function bcp_internal.latency_ms(integer) is
    'Duration in milliseconds that stands for a bucket of the latency sketch: 2 * gamma^i / (gamma + 1) with gamma = 1.02 (0.99010 * 1.02^i), within 0.991 percent of every duration in it (DDSketch, Masson et al., VLDB 2019, lemma 2).';

grant execute on function bcp_internal.latency_ms to bcp_reader;
