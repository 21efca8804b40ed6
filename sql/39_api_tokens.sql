-- Tokens for HTTP: made and revoked by administrators, checked by `bcp-analytics serve`.

create or replace function bcp.create_api_token(
    p_token_name text, p_role text, p_vantage text default null, p_expires_at timestamptz default null)
returns text
language plpgsql volatile
-- Nobody but the owner reads or writes the table of tokens.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_secret text;
begin
    if p_role is null or p_role not in ('ingest', 'reader', 'admin') then
        raise exception using
            errcode = 'ZB002', message = format('the role of a token cannot be %L', left(p_role, 60)),
            hint = 'Use ingest, reader or admin.';
    end if;
    if p_vantage not in ('server', 'client') or (p_vantage is not null and p_role <> 'ingest') then
        raise exception using
            errcode = 'ZB002', message = format('the vantage of this token cannot be %L', left(p_vantage, 60)),
            hint = 'Use server or client, and only for the role ingest.';
    end if;
    if p_expires_at <= v_now then
        raise exception using
            errcode = 'ZB002', message = 'the token would expire before it is made',
            hint = 'Give a time that is still to come, or none for a token that does not expire.';
    end if;
    if length(btrim(p_token_name)) between 1 and 200 is not true then
        raise exception using
            errcode = 'ZB002', message = 'the name of a token is from 1 to 200 characters',
            hint = 'Name who or what will have it, such as ''github-server''.';
    end if;
    if exists (select from bcp_internal.api_tokens where token_name = btrim(p_token_name) and revoked_at is null) then
        raise exception using
            errcode = 'ZB002', message = format('there is a token named %L', btrim(p_token_name)),
            hint = 'Use another name, or revoke that one first: select bcp.revoke_api_token(name);';
    end if;
    -- Each UUID has 122 bits from the system's source of randomness.
    v_secret := encode(
        sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex');
    -- The checksum tells a mistyped or invented token without asking the database.
    v_secret := 'bcpa_' || v_secret || left(encode(sha256(convert_to(v_secret, 'UTF8')), 'hex'), 8);
    insert into bcp_internal.api_tokens (token_id, token_name, role, vantage, digest, created_at, expires_at)
    values (
        gen_random_uuid(), btrim(p_token_name), p_role,
        case when p_role = 'ingest' then coalesce(p_vantage, 'server') end,
        sha256(convert_to(v_secret, 'UTF8')), v_now, p_expires_at);
    return v_secret;
end
$func$;

comment on function bcp.create_api_token(text, text, text, timestamptz) is
    'Makes a token for HTTP, and returns it: keep it, since only its SHA-256 is stored and nobody can show it again. '
    'p_role: ingest may send events and read nothing; reader may ask questions; admin may do both, watch the live '
    'stream, and change what an administrator may. p_vantage, of ingest alone: server (the default) for a sender that '
    'runs the tools, client for one that calls them. Without p_expires_at the token does not expire. Raises ZB002 '
    'where an argument is out of its bounds or the name is taken.';

grant execute on function bcp.create_api_token(text, text, text, timestamptz) to bcp_admin;

create or replace function bcp.revoke_api_token(p_token_name text) returns boolean
language sql volatile
-- Nobody but the owner reads or writes the table of tokens.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    with revoked as (
        update bcp_internal.api_tokens
        set revoked_at = bcp_internal.now()
        where token_name = btrim(p_token_name) and revoked_at is null
        returning 1
    )
    select exists (select from revoked)
$func$;

comment on function bcp.revoke_api_token(text) is
    'Revokes the token of this name, and returns whether there was one. Servers that run refuse it within five '
    'seconds, and close streams that it opened within a minute.';

grant execute on function bcp.revoke_api_token(text) to bcp_admin;

create or replace function bcp.api_tokens()
returns table (
    token_name text, role text, vantage text, state text, created_at timestamptz, expires_at timestamptz,
    revoked_at timestamptz, last_used_at timestamptz)
language sql stable
-- Nobody but the owner reads or writes the table of tokens.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select
        token_name, role, vantage,
        case
            when revoked_at is not null then 'revoked'
            when expires_at <= bcp_internal.now() then 'expired'
            else 'valid'
        end,
        created_at, expires_at, revoked_at, last_used_at
    from bcp_internal.api_tokens
    order by created_at desc, token_id
$func$;

comment on function bcp.api_tokens() is
    'Which tokens for HTTP are there? One row per token, latest first, revoked ones too. state is valid, expired or '
    'revoked; last_used_at is within a minute, null where it was never used. The tokens themselves are not stored.';

grant execute on function bcp.api_tokens() to bcp_admin;

create or replace function bcp_internal.check_api_token(
    p_digest bytea,
    out token_id uuid, out token_name text, out role text, out vantage text, out problem text)
language plpgsql volatile
-- Nobody but the owner reads or writes the table of tokens.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_token bcp_internal.api_tokens;
begin
    select * into v_token from bcp_internal.api_tokens t where t.digest = p_digest;
    problem := case
        when not found then 'unknown'
        when v_token.revoked_at is not null then 'revoked'
        when v_token.expires_at <= v_now then 'expired'
    end;
    if problem is not null then
        return;
    end if;
    token_id := v_token.token_id;
    token_name := v_token.token_name;
    role := v_token.role;
    vantage := v_token.vantage;
    -- Updating the row at each use would make the requests of one token wait for each other. Where nothing can be
    -- written, as on a standby, readers still get in.
    if (v_token.last_used_at is null or v_token.last_used_at < v_now - interval '1 minute')
        and not current_setting('transaction_read_only')::boolean
    then
        update bcp_internal.api_tokens t
        set last_used_at = v_now
        where t.token_id = v_token.token_id
          and t.last_used_at is not distinct from v_token.last_used_at;
        -- A row for each request would be more than the events, so a token logs in once an hour.
        if found
            and date_trunc('hour', v_token.last_used_at) is distinct from date_trunc('hour', v_now)
        then
            perform bcp_internal.note_token_use(jsonb_build_array(jsonb_build_object(
                'success', true, 'caller', v_token.token_name)));
        end if;
    end if;
end
$func$;

comment on function bcp_internal.check_api_token(bytea) is
    'Whose token has this SHA-256, and what it may do; or the problem, unknown, expired or revoked, with all else '
    'null. Notes when it was used, within a minute, and its first use in each hour as a log-in.';

grant execute on function bcp_internal.check_api_token(bytea) to bcp_admin;

create or replace function bcp_internal.network_of(p_address text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return bcp_internal.event_ip(p_address);
exception
    when sqlstate 'ZB005' then return null;
end
$func$;

comment on function bcp_internal.network_of is
    'Network of an address, as much of it as the store keeps; null where it is no address.';

create or replace function bcp_internal.note_token_use(p_events jsonb) returns void
language sql volatile
-- The role that a server connects as may insert into no table.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    -- Metrics, because a log-in to this store is no call of a tool: it must not move what is counted of calls.
    select bcp_internal.ingest(
        'metrics', null,
        jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'metric_name', 'bcp_log_ins',
            'metric_value', coalesce(e.event -> 'attempts', '1'),
            'labels', jsonb_strip_nulls(jsonb_build_object(
                'method', 'api_token', 'success', e.event -> 'success', 'error_type', e.event -> 'error_type')),
            'caller', e.event -> 'caller',
            'network', bcp_internal.network_of(e.event ->> 'ip_address')))),
        'bcp_analytics')
    from (select event from jsonb_array_elements(p_events) with ordinality as a (event, n) where n <= 20) as e
$func$;

comment on function bcp_internal.note_token_use(jsonb) is
    'Stores log-ins by token, at most 20 of the array, as the metric bcp_log_ins, which bcp.authentication_stats '
    'counts. Each says success; if so caller, the name of the token; else error_type, ip_address and attempts, how '
    'many failures it stands for.';

grant execute on function bcp_internal.note_token_use(jsonb) to bcp_admin;

create or replace function bcp_internal.token_log_ins(p_since timestamptz, p_until timestamptz)
returns table (
    happened_at timestamptz, bcp_name text, method text, success boolean, error_type text, attempts bigint,
    caller text, network text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- Whoever may write can send a metric of this name, with anything in it.
    select
        m."timestamp", 'bcp_analytics', 'api_token', m.labels @> '{"success": true}', m.labels ->> 'error_type',
        least(greatest(m.metric_value, 0), 1e9)::bigint, m.attributes ->> 'caller', m.attributes ->> 'network'
    from bcp.performance_metrics m
    where m.metric_name = 'bcp_log_ins'
      and m.labels @> '{"method": "api_token"}'
      and m."timestamp" >= p_since
      and m."timestamp" < p_until
$func$;

comment on function bcp_internal.token_log_ins is
    'Log-ins by token that bcp_internal.note_token_use stored in [p_since, p_until). attempts is how many failures a '
    'row stands for, network where they came from.';

grant execute on function bcp_internal.token_log_ins to bcp_reader;
