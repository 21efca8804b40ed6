-- Channels, by which alerts reach people: made, changed and tested by administrators. Secrets never come out again.

create or replace function bcp_internal.notification_target(
    p_kind text, p_config jsonb, p_secret text, out host text, out reach text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_url constant text := case p_kind when 'slack' then p_secret else p_config ->> 'url' end;
    v_allowed constant text[] := regexp_split_to_array(
        lower(btrim(bcp_internal.setting('notification_hosts'))), '\s*,\s*');
    v_in_clear boolean;
begin
    if p_kind = 'apprise' then
        -- Apprise connects by itself, to where nobody checks.
        host := lower(substring(p_secret from '^([A-Za-z0-9]+)://[!-~]+$'));
        reach := case when 'apprise:' || host = any (v_allowed) then 'named' else 'refused' end;
        return;
    elsif p_kind = 'email' then
        host := substring(lower(p_config ->> 'host') from '^([a-z0-9._-]+|[0-9a-f:.]+)$');
        v_in_clear := p_config ->> 'tls' = 'none';
    else
        -- So few forms are taken that no two programs can read another host in one.
        host := btrim(substring(
            lower(v_url) from '^https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:/[!-\[\]-~]*)?$'), '[]');
        v_in_clear := v_url ~* '^http:';
    end if;
    reach := case
        when exists (
            select from unnest(v_allowed) a (name)
            where a.name <> '*'
              and (a.name = host or starts_with(a.name, '*.') and right(host, length(a.name) - 1) = substr(a.name, 2))
        ) then 'named'
        when '*' = any (v_allowed) and not v_in_clear then 'public'
        else 'refused'
    end;
end
$func$;

comment on function bcp_internal.notification_target is
    'Host that a channel sends to, null if there is none to read, and how far the setting notification_hosts lets it: '
    'named, if the setting names the host, which may then have a private address and go without TLS; public, if only '
    'public addresses by TLS are allowed; or refused. Of Apprise the host is the scheme of the URL.';

create or replace function bcp_internal.check_channel_config(p_kind text, p_config jsonb, p_secret text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_address constant text := '^[!#-&''*+./0-9=?A-Z^_`a-z{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}$';
    v_keys constant text[] := case p_kind
        when 'email' then '{host,port,tls,username,sender,recipients}'
        when 'webhook' then '{url}' when 'alertmanager' then '{url}' else '{}' end::text[];
    v_hint text;
begin
    v_hint := case
        when exists (select from jsonb_object_keys(p_config) k where k <> all (v_keys)) then
            format('p_config of this kind has %s.', coalesce(nullif(array_to_string(v_keys, ', '), ''), 'no keys'))
        when p_kind in ('slack', 'apprise') and p_secret is null then 'Its URL is its p_secret.'
        when p_secret !~ '^[!-~]+$' and p_kind <> 'email' or p_secret ~ '[[:cntrl:]]' then
            'p_secret has characters that it cannot have.'
        when p_kind = 'webhook' and p_secret !~ '^whsec_[A-Za-z0-9+/]{32,88}={0,2}$' then
            'p_secret of a webhook is whsec_ and 24 to 64 bytes in base64; without one, a new one is made.'
        when p_kind = 'email' then case
            when coalesce(p_config ->> 'tls', '') not in ('starttls', 'tls', 'none')
                then 'tls is starttls, tls or none.'
            when coalesce(p_config ->> 'port', '') !~ '^[0-9]{1,5}$' then 'port is a number.'
            when coalesce(p_config ->> 'sender' !~ v_address, true) then 'sender is an address such as me@example.com.'
            when coalesce(jsonb_typeof(p_config -> 'recipients') <> 'array', true)
                or jsonb_array_length(p_config -> 'recipients') not between 1 and 50
                or exists (
                    select from jsonb_array_elements_text(p_config -> 'recipients') r where r !~ v_address) then
                'recipients is an array of 1 to 50 addresses.'
            when p_config ->> 'username' ~ '[[:cntrl:]]' then 'username has characters that it cannot have.'
            when (p_config ->> 'username' is null) <> (p_secret is null) then
                'Give username and its password, as p_secret, or neither.'
        end
    end;
    if v_hint is not null then
        raise exception using
            errcode = 'ZB002', message = format('a channel of kind %s cannot be set up so', p_kind), hint = v_hint;
    end if;
end
$func$;

comment on function bcp_internal.check_channel_config is
    'Raises ZB002, which says what is wrong and never repeats a secret, for p_config and p_secret that a kind of '
    'channel cannot have.';

create or replace function bcp_internal.check_channel(
    p_channel bcp_internal.notification_channels, p_rule_names text[])
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_target record;
    v_problem text;
    v_hint text;
begin
    perform bcp_internal.check_channel_config(p_channel.kind, p_channel.config, p_channel.secret);
    -- Raises ZB002 for a time zone that is not known.
    perform bcp_internal.checked_interval(interval '1 day', p_channel.time_zone);
    if p_channel.digest and p_channel.kind = 'alertmanager' then
        v_problem := 'an Alertmanager takes no digest';
        v_hint := 'Have another channel send it, such as e-mail.';
    elsif p_channel.quiet_hours !~ '^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$' then
        v_problem := 'p_quiet_hours cannot be read';
        v_hint := 'Write it like 22:00-07:00.';
    elsif p_channel.cooldown not between interval '0' and interval '7 days' then
        v_problem := 'p_cooldown is not from 0 to 7 days';
        v_hint := 'Try 5 minutes.';
    elsif exists (
        select from unnest(p_rule_names) n (name)
        where not exists (select from bcp.alert_rules r where r.rule_name = n.name)) then
        v_problem := 'p_rule_names has a name that no rule has';
        v_hint := 'select rule_name from bcp.alert_rules lists them.';
    else
        v_target := bcp_internal.notification_target(p_channel.kind, p_channel.config, p_channel.secret);
        if v_target.host is null then
            v_problem := 'where the channel sends to cannot be read';
            v_hint := case p_channel.kind
                when 'email' then 'Give the name of the host alone, such as smtp.example.com.'
                when 'apprise' then 'p_secret is a URL of Apprise, such as discord://ID/TOKEN.'
                else 'Give a URL such as https://example.com/path, without a user or a password.' end;
        elsif v_target.reach = 'refused' then
            v_problem := format(
                'the setting notification_hosts does not allow %L',
                case p_channel.kind when 'apprise' then 'apprise:' else '' end || left(v_target.host, 100));
            v_hint := 'Add it: update bcp.settings set value = value || '', NAME'' where name ='
                ' ''notification_hosts''. A host without TLS has to be named there.';
        end if;
    end if;
    if v_problem is not null then
        raise exception using errcode = 'ZB002', message = v_problem, hint = v_hint;
    end if;
end
$func$;

comment on function bcp_internal.check_channel is
    'Raises ZB002 for a channel that could not work, without repeating its secret, or where one of p_rule_names, which '
    'were given now, is unknown: a rule may go later.';

create or replace function bcp.create_notification_channel(
    p_channel_name text, p_kind text, p_config jsonb default null, p_secret text default null,
    p_min_severity text default 'warning', p_rule_names text[] default null, p_tell_closed boolean default true,
    p_cooldown interval default null, p_quiet_hours text default null, p_time_zone text default 'UTC',
    p_digest boolean default null)
returns text
language plpgsql volatile
-- Nobody but the owner reads or writes the table, because of the secrets.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_channel bcp_internal.notification_channels;
begin
    if p_kind is null or jsonb_typeof(p_config) <> 'object' or length(p_secret) > 4000
        or length(btrim(p_channel_name)) between 1 and 200 is not true
    then
        raise exception using
            errcode = 'ZB002',
            message = 'a channel needs a name of 1 to 200 characters, a kind, and an object as p_config',
            hint = 'docs/how-to/alerts.md has an example of each kind.';
    end if;
    perform bcp_internal.checked_choice('p_kind', p_kind, '{webhook,slack,email,alertmanager,apprise}');
    perform bcp_internal.checked_choice('p_min_severity', p_min_severity, '{warning,critical}');
    v_channel.channel_name := btrim(p_channel_name);
    v_channel.kind := p_kind;
    v_channel.config := coalesce(p_config, '{}');
    if p_kind = 'email' then
        v_channel.config := jsonb_build_object('tls', 'starttls') || v_channel.config;
        v_channel.config := jsonb_build_object(
            'port', case v_channel.config ->> 'tls' when 'tls' then 465 when 'none' then 25 else 587 end)
            || v_channel.config;
    end if;
    v_channel.secret := nullif(p_secret, '');
    if p_kind = 'webhook' and v_channel.secret is null then
        -- 32 bytes, of which 30 are random.
        v_channel.secret := 'whsec_' || encode(
            sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
            'base64');
    end if;
    v_channel.enabled := true;
    v_channel.min_severity := coalesce(p_min_severity, 'warning');
    v_channel.rule_names := nullif(p_rule_names, '{}');
    v_channel.tell_closed := coalesce(p_tell_closed, true);
    v_channel.cooldown := coalesce(p_cooldown, interval '5 minutes');
    v_channel.quiet_hours := nullif(p_quiet_hours, '');
    v_channel.time_zone := coalesce(p_time_zone, 'UTC');
    v_channel.digest := coalesce(p_digest, p_kind <> 'alertmanager');
    v_channel.created_at := bcp_internal.now();
    perform bcp_internal.check_channel(v_channel, p_rule_names);
    insert into bcp_internal.notification_channels (
        channel_name, kind, config, secret, min_severity, rule_names, tell_closed, cooldown, quiet_hours, time_zone,
        digest, created_at)
    select
        v_channel.channel_name, v_channel.kind, v_channel.config, v_channel.secret, v_channel.min_severity,
        v_channel.rule_names, v_channel.tell_closed, v_channel.cooldown, v_channel.quiet_hours, v_channel.time_zone,
        v_channel.digest, v_channel.created_at
    on conflict (channel_name) do nothing;
    if not found then
        raise exception using
            errcode = 'ZB002', message = format('there is a channel named %L', v_channel.channel_name),
            hint = 'Use another name, or bcp.alter_notification_channel.';
    end if;
    return case when p_kind = 'webhook' and nullif(p_secret, '') is null then v_channel.secret end;
end
$func$;

comment on function bcp.create_notification_channel is
    'Makes a channel, by which people are told of alerts that open and close, and once a week of what changed. Returns '
    'the secret of a webhook that was given none, else null: nobody can show it again. p_kind and what it takes: '
    'webhook, p_config {"url"}, and p_secret that signs (Standard Webhooks); slack, p_secret is the URL of the '
    'incoming webhook; email, p_config {"host", "port", "tls": "starttls", "tls" or "none", "username", "sender", '
    '"recipients": [...]}, and p_secret is the password; alertmanager, p_config {"url"}, and p_secret may be a bearer '
    'token; apprise, p_secret is a URL of Apprise. It is told of alerts from p_min_severity (warning, or critical) '
    'on, of p_rule_names or all rules; that they close, unless p_tell_closed is false. Alerts of one rule are one '
    'message, and the next about that rule comes after p_cooldown (5 minutes). In p_quiet_hours, such as 22:00-07:00, '
    'of p_time_zone only critical alerts are sent; the others come after. p_digest: whether it gets the digest, on '
    'Mondays at 8; every kind but alertmanager does by default. For bcp_admin. ZB002 if an argument cannot be used, '
    'the name is taken, or the setting notification_hosts does not allow the host.';

grant execute on function bcp.create_notification_channel to bcp_admin;

create or replace function bcp.alter_notification_channel(
    p_channel_name text, p_enabled boolean default null, p_config jsonb default null, p_secret text default null,
    p_min_severity text default null, p_rule_names text[] default null, p_tell_closed boolean default null,
    p_cooldown interval default null, p_quiet_hours text default null, p_time_zone text default null,
    p_digest boolean default null)
returns boolean
language plpgsql volatile
-- As bcp.create_notification_channel.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_channel bcp_internal.notification_channels;
    -- What says to whom a secret is shown; who writes and reads a mail does not.
    v_unbound constant text[] := '{sender,recipients}';
begin
    select * into v_channel
    from bcp_internal.notification_channels c
    where c.channel_name = btrim(p_channel_name)
    for update;
    if not found then
        return false;
    end if;
    if jsonb_typeof(p_config) <> 'object' or length(p_secret) > 4000 then
        raise exception using
            errcode = 'ZB002', message = 'p_config is no object, or p_secret is too long',
            hint = 'docs/how-to/alerts.md has an example of each kind.';
    end if;
    -- Or whoever may change a channel could have its secret sent to a host of their own.
    if v_channel.kind in ('email', 'alertmanager') and v_channel.secret is not null and nullif(p_secret, '') is null
        and v_channel.config - v_unbound <> (v_channel.config || coalesce(p_config, '{}')) - v_unbound
    then
        raise exception using
            errcode = 'ZB002', message = 'where the secret of the channel is sent would change',
            hint = 'Give its p_secret again.';
    end if;
    v_channel.enabled := coalesce(p_enabled, v_channel.enabled);
    v_channel.config := v_channel.config || coalesce(p_config, '{}');
    v_channel.secret := coalesce(nullif(p_secret, ''), v_channel.secret);
    v_channel.min_severity := coalesce(
        bcp_internal.checked_choice('p_min_severity', p_min_severity, '{warning,critical}'), v_channel.min_severity);
    v_channel.rule_names := nullif(coalesce(p_rule_names, v_channel.rule_names), '{}');
    v_channel.tell_closed := coalesce(p_tell_closed, v_channel.tell_closed);
    v_channel.cooldown := coalesce(p_cooldown, v_channel.cooldown);
    v_channel.quiet_hours := nullif(coalesce(p_quiet_hours, v_channel.quiet_hours), '');
    v_channel.time_zone := coalesce(p_time_zone, v_channel.time_zone);
    v_channel.digest := coalesce(p_digest, v_channel.digest);
    perform bcp_internal.check_channel(v_channel, p_rule_names);
    update bcp_internal.notification_channels c
    set enabled = v_channel.enabled, config = v_channel.config, secret = v_channel.secret,
        min_severity = v_channel.min_severity, rule_names = v_channel.rule_names, tell_closed = v_channel.tell_closed,
        cooldown = v_channel.cooldown, quiet_hours = v_channel.quiet_hours, time_zone = v_channel.time_zone,
        digest = v_channel.digest
    where c.channel_id = v_channel.channel_id;
    return true;
end
$func$;

comment on function bcp.alter_notification_channel is
    'Changes a channel, and returns whether there is one of that name. What is null stays as it is; keys of p_config '
    'are added to those that it has, an empty p_rule_names means all rules, and an empty p_quiet_hours none. Where '
    'p_config changes to whom a password or a token is sent, p_secret has to be given again. With '
    'p_enabled => false nothing is sent, and nothing new is kept for it. Otherwise arguments and errors are those of '
    'bcp.create_notification_channel. For bcp_admin.';

grant execute on function bcp.alter_notification_channel to bcp_admin;

create or replace function bcp.delete_notification_channel(p_channel_name text) returns boolean
language sql volatile
-- As bcp.create_notification_channel.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    with deleted as (
        delete from bcp_internal.notification_channels where channel_name = btrim(p_channel_name) returning 1
    )
    select exists (select from deleted)
$func$;

comment on function bcp.delete_notification_channel is
    'Deletes a channel, its secret, and what waits to be sent to it; returns whether there was one. '
    'bcp.notification_log keeps what was. For bcp_admin.';

grant execute on function bcp.delete_notification_channel to bcp_admin;

create or replace function bcp.test_notification_channel(p_channel_name text) returns uuid
language plpgsql volatile
-- As bcp.create_notification_channel.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_delivery_id uuid;
begin
    insert into bcp_internal.notification_deliveries (
        delivery_id, channel_id, about, payload, gathered, is_urgent, max_attempts, created_at, next_attempt_at)
    select bcp_internal.uuidv7(v_now), c.channel_id, 'test', '{}', 0, true, 1, v_now, v_now
    from bcp_internal.notification_channels c
    where c.channel_name = btrim(p_channel_name)
    returning delivery_id into v_delivery_id;
    if v_delivery_id is null then
        raise exception using
            errcode = 'ZB002', message = 'there is no channel of this name',
            hint = 'select channel_name from bcp.notification_channels() lists them.';
    end if;
    perform pg_notify('bcp_notifications', '');
    return v_delivery_id;
end
$func$;

comment on function bcp.test_notification_channel is
    'Has a notifier send a message that says it is a test, once, even while the channel is disabled or quiet, and '
    'returns its id: bcp.notification_log says under it what became of it. For bcp_admin. ZB002 if there is no such '
    'channel.';

grant execute on function bcp.test_notification_channel to bcp_admin;

create or replace function bcp.notification_channels()
returns table (
    channel_name text, kind text, enabled boolean, config jsonb, has_secret boolean, min_severity text,
    rule_names text[], tell_closed boolean, cooldown text, quiet_hours text, time_zone text, digest boolean,
    created_at timestamptz, pending_count bigint, latest_status text, latest_at timestamptz)
language sql stable
-- As bcp.create_notification_channel.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select
        c.channel_name, c.kind, c.enabled, c.config, c.secret is not null, c.min_severity, c.rule_names, c.tell_closed,
        c.cooldown::text, c.quiet_hours, c.time_zone, c.digest, c.created_at,
        (select count(*) from bcp_internal.notification_outbox o
         where o.channel_id = c.channel_id and o.delivery_id is null)
            + (select count(*) from bcp_internal.notification_deliveries d
               where d.channel_id = c.channel_id and d.state = 'pending'),
        l.status, l.logged_at
    from bcp_internal.notification_channels c
    left join lateral (
        select g.status, g.logged_at
        from bcp.notification_log g
        where g.channel_name = c.channel_name
        order by g.logged_at desc
        limit 1
    ) l on true
    order by c.channel_name
$func$;

comment on function bcp.notification_channels is
    'Which channels are there? One row per channel, without its secret. pending_count counts what waits to be sent: '
    'messages, and alerts that wait for the cool-down, the quiet hours or a snooze to end. latest_status is that of '
    'the latest attempt in bcp.notification_log, null if there was none. For bcp_admin.';

grant execute on function bcp.notification_channels to bcp_admin;
