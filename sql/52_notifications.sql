-- From alerts to messages: the outbox, what of it is gathered into a message, and who sends it how often.

create or replace function bcp_internal.expire_notifications() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    -- Longer than any cool-down, quiet hours and all attempts together.
    v_oldest constant timestamptz := v_now - interval '14 days';
    v_expired bigint;
begin
    -- Half of what is too much goes, so that this is not done again for the next alert. What a notifier has under way
    -- is left to it.
    with waiting as (
        select
            o.outbox_id, o.channel_id, o.rule_name,
            greatest(o.created_at, a.snoozed_until, r.snoozed_until) < v_oldest as is_old,
            row_number() over (partition by o.channel_id order by o.outbox_id desc) as n,
            count(*) over (partition by o.channel_id) as number
        from bcp_internal.notification_outbox o
        left join bcp.alerts a using (alert_id)
        left join bcp.alert_rules r on r.rule_name = o.rule_name
        where o.delivery_id is null
    ), locked as materialized (
        select o.outbox_id
        from bcp_internal.notification_outbox o
        where o.outbox_id in (
            select w.outbox_id
            from waiting w
            where w.number > 10000 and w.n > 5000 or w.is_old)
        for update skip locked
    ), gone as (
        delete from bcp_internal.notification_outbox o
        using locked
        where o.outbox_id = locked.outbox_id
        returning o.channel_id, o.rule_name
    ), groups as (
        select g.channel_id, g.rule_name, count(*) as number from gone g group by g.channel_id, g.rule_name
    ), logged as (
        insert into bcp.notification_log (
            logged_at, channel_name, delivery_id, about, rule_name, attempt, status, error)
        select
            v_now, c.channel_name, bcp_internal.uuidv7(v_now), 'alerts', g.rule_name, 0, 'expired',
            format('%s alerts that no notifier fetched', g.number)
        from groups g
        join bcp_internal.notification_channels c using (channel_id)
    )
    select coalesce(sum(g.number), 0)::bigint into v_expired from groups g;
    with locked as materialized (
        select d.delivery_id
        from bcp_internal.notification_deliveries d
        where d.state = 'pending' and d.created_at < v_oldest and d.next_attempt_at < v_now
        for update skip locked
    ), gone as (
        update bcp_internal.notification_deliveries d
        set state = 'expired', payload = '{}', finished_at = v_now
        from locked
        where d.delivery_id = locked.delivery_id
        returning d.*
    ), emptied as (
        update bcp_internal.notification_outbox o set event = '{}' from gone where o.delivery_id = gone.delivery_id
    ), logged as (
        insert into bcp.notification_log (
            logged_at, channel_name, delivery_id, about, rule_name, attempt, status, error)
        select
            v_now, c.channel_name, g.delivery_id, g.about, g.rule_name, g.attempts, 'expired',
            'a message that no notifier fetched'
        from gone g
        join bcp_internal.notification_channels c using (channel_id)
    )
    select v_expired + count(*) into v_expired from gone;
    delete from bcp_internal.notification_deliveries where finished_at < v_now - interval '90 days';
    delete from bcp.notification_log where logged_at < v_now - interval '90 days';
    return v_expired;
end
$func$;

comment on function bcp_internal.expire_notifications is
    'Drops what waited for more than 14 days to be sent, a snooze not counted, and of a channel for which more than '
    '10000 alerts wait all but the newest 5000; bcp.notification_log says what expired. Forgets what was delivered or '
    'given up 90 days ago. Returns how much expired. The daily cleanup, notifiers and full outboxes call it.';

create or replace function bcp_internal.tell_alerts(p_alerts bcp.alerts[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_told bigint;
begin
    select count(bcp_internal.tell_alert(a)) into v_told from unnest(p_alerts) a;
    -- Of what opened and closed while nobody wanted to know, nobody is told.
    delete from bcp_internal.notification_outbox o
    using unnest(p_alerts) a
    left join bcp.alert_rules r using (rule_name)
    where o.alert_id = a.alert_id and o.delivery_id is null and a.closed_at is not null
      and greatest(a.snoozed_until, r.snoozed_until) > v_now;
    insert into bcp_internal.notification_outbox (
        channel_id, event_key, about, alert_id, rule_name, severity, created_at, event)
    select
        c.channel_id, format('alert:%s:%s', a.alert_id, e.event), 'alerts', a.alert_id, a.rule_name, a.severity, v_now,
        jsonb_strip_nulls(jsonb_build_object(
            'event', e.event, 'alert_id', a.alert_id, 'bcp_name', left(a.bcp_name, 300),
            'tool_name', left(a.tool_name, 300), 'metric', a.metric, 'value', a.value, 'worst_value', a.worst_value,
            'threshold', a.threshold, 'calls', a.calls, 'opened_at', a.opened_at, 'closed_at', a.closed_at))
    from unnest(p_alerts) a
    cross join lateral (select case when a.closed_at is null then 'opened' else 'closed' end) e (event)
    cross join bcp_internal.notification_channels c
    left join bcp.alert_rules r using (rule_name)
    where c.enabled
      and (c.min_severity = 'warning' or a.severity = 'critical')
      and (c.rule_names is null or a.rule_name = any (c.rule_names))
      and (
          a.closed_at is null
          or c.tell_closed and c.created_at <= a.opened_at
              and (
                  (greatest(a.snoozed_until, r.snoozed_until) > v_now) is not true
                  or exists (
                      select from bcp_internal.notification_outbox o
                      where o.channel_id = c.channel_id and o.event_key = format('alert:%s:opened', a.alert_id))))
    order by a.alert_id, c.channel_id
    on conflict (channel_id, event_key) do nothing;
    if found then
        perform pg_notify('bcp_notifications', '');
        if exists (
            select from bcp_internal.notification_channels c
            where exists (
                select from bcp_internal.notification_outbox o
                where o.channel_id = c.channel_id and o.delivery_id is null
                offset 10000))
        then
            perform bcp_internal.expire_notifications();
        end if;
    end if;
    return v_told;
end
$func$;

comment on function bcp_internal.tell_alerts is
    'Tells of alerts that opened or closed: NOTIFY bcp_alerts for each, and a row of the outbox for each and each '
    'channel that is to know, in this transaction. Returns how many alerts there were.';

create or replace function bcp_internal.is_quiet(p_quiet_hours text, p_time_zone text, p_at timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select coalesce(
        case
            when q.since <= q.until then q.local >= q.since and q.local < q.until
            else q.local >= q.since or q.local < q.until
        end, false)
    from (
        select
            split_part(p_quiet_hours, '-', 1)::time as since, split_part(p_quiet_hours, '-', 2)::time as until,
            (p_at at time zone p_time_zone)::time as local
    ) q
$func$;

comment on function bcp_internal.is_quiet is
    'Whether a time is in the quiet hours, such as 22:00-07:00; false if there are none.';

create or replace function bcp_internal.gather_alerts(p_channel bcp_internal.notification_channels) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_quiet constant boolean := bcp_internal.is_quiet(p_channel.quiet_hours, p_channel.time_zone, v_now);
    -- Programs get every alert, people the first ones and how many there are.
    v_most constant integer := 1000;
    v_shown constant integer := case when p_channel.kind in ('webhook', 'alertmanager') then v_most else 20 end;
    v_rule record;
    v_delivery_id uuid;
    v_messages bigint := 0;
begin
    for v_rule in
        select o.rule_name, r.description, bool_or(o.severity = 'critical') as is_urgent
        from bcp_internal.notification_outbox o
        left join bcp.alerts a using (alert_id)
        left join bcp.alert_rules r on r.rule_name = o.rule_name
        where o.channel_id = p_channel.channel_id and o.delivery_id is null and o.about = 'alerts'
          and (greatest(a.snoozed_until, r.snoozed_until) > v_now) is not true
          and not exists (
              select from bcp_internal.notification_deliveries d
              where d.channel_id = o.channel_id and d.rule_name = o.rule_name and d.about = 'alerts'
                and (d.state = 'pending' or d.created_at > v_now - p_channel.cooldown and d.gathered < v_most))
        group by o.rule_name, r.description
        having not v_quiet or bool_or(o.severity = 'critical')
        order by min(o.outbox_id)
    loop
        v_delivery_id := bcp_internal.uuidv7(v_now);
        with chosen as materialized (
            select o.outbox_id, o.event, o.severity, row_number() over (order by o.outbox_id) as n
            from bcp_internal.notification_outbox o
            left join bcp.alerts a using (alert_id)
            where o.channel_id = p_channel.channel_id and o.delivery_id is null and o.rule_name = v_rule.rule_name
              and (a.snoozed_until > v_now) is not true
            order by o.outbox_id
            limit v_most
        ), message as (
            insert into bcp_internal.notification_deliveries (
                delivery_id, channel_id, about, rule_name, gathered, is_urgent, max_attempts, created_at,
                next_attempt_at, payload)
            select
                v_delivery_id, p_channel.channel_id, 'alerts', v_rule.rule_name, count(*), v_rule.is_urgent,
                bcp_internal.setting('notification_max_attempts')::integer, v_now, v_now,
                jsonb_build_object(
                    'rule_name', v_rule.rule_name, 'severity', max(c.severity) filter (where c.n = 1),
                    'description', left(v_rule.description, 500), 'total', count(*),
                    'alerts', jsonb_agg(c.event order by c.n) filter (where c.n <= v_shown))
            from chosen c
        )
        update bcp_internal.notification_outbox o
        set delivery_id = v_delivery_id
        from chosen c
        where o.outbox_id = c.outbox_id;
        v_messages := v_messages + 1;
    end loop;
    return v_messages;
end
$func$;

comment on function bcp_internal.gather_alerts is
    'Makes a message for each rule of which alerts wait for a channel, unless one of that rule is still to be '
    'delivered, the cool-down or the quiet hours have not passed, or they are snoozed. Returns how many.';

create or replace function bcp_internal.gather_notifications() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_channel bcp_internal.notification_channels;
    v_messages bigint := 0;
    v_digests bigint := 0;
begin
    -- Once a minute it notes that a notifier runs, and what is old goes.
    if not exists (select from bcp_internal.notifier where seen_at between v_now - interval '1 minute' and v_now) then
        insert into bcp_internal.notifier (seen_at) values (v_now)
        on conflict (one_row) do update set seen_at = excluded.seen_at;
        perform bcp_internal.expire_notifications();
    end if;
    -- Whoever has locked a channel gathers for it, or adds to its outbox and then wakes the notifiers.
    for v_channel in
        select c.*
        from bcp_internal.notification_channels c
        where c.enabled
          and (
              exists (
                  select from bcp_internal.notification_outbox o
                  where o.channel_id = c.channel_id and o.delivery_id is null)
              or c.digest and bcp_internal.digest_until(c.created_at, c.time_zone) is not null and not exists (
                  select from bcp_internal.notification_outbox o
                  where o.channel_id = c.channel_id
                    and o.event_key = 'digest:' || bcp_internal.digest_until(c.created_at, c.time_zone)))
        order by c.channel_id
        for no key update skip locked
    loop
        v_messages := v_messages + bcp_internal.gather_alerts(v_channel);
        -- One for each call: it may take minutes, after which the alerts above are sent, and statement_timeout ends
        -- one statement once.
        if v_digests = 0 then
            v_digests := bcp_internal.gather_digest(v_channel);
        end if;
    end loop;
    return v_messages + v_digests;
end
$func$;

comment on function bcp_internal.gather_notifications is
    'Makes the messages that are due, of the outbox, and one digest of the week that has ended, and returns how many.';

create or replace function bcp_internal.claim_notifications(
    p_most integer default 1, p_lease interval default '1 minute', p_delivery_id uuid default null,
    p_busy_channels text[] default null)
returns table (
    delivery_id uuid, claim integer, channel_name text, kind text, config jsonb, secret text, host text, reach text,
    about text, payload jsonb, created_at timestamptz)
language plpgsql volatile
-- Nobody but the owner reads the table of channels; an administrator's notifier has to know where to send.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
begin
    if p_delivery_id is null then
        perform bcp_internal.gather_notifications();
    end if;
    return query
    with due as materialized (
        select d.delivery_id
        from bcp_internal.notification_deliveries d
        join bcp_internal.notification_channels c using (channel_id)
        where d.state = 'pending' and d.next_attempt_at <= v_now
          and (p_delivery_id is null or d.delivery_id = p_delivery_id)
          and (c.enabled or d.about = 'test')
          and (d.is_urgent or not bcp_internal.is_quiet(c.quiet_hours, c.time_zone, v_now))
          and (
              p_busy_channels is null
              or c.channel_name <> all (p_busy_channels) and not exists (
                  select from bcp_internal.notification_deliveries e
                  where e.channel_id = d.channel_id and e.state = 'pending' and e.next_attempt_at <= v_now
                    and (e.is_urgent or not d.is_urgent)
                    and (e.next_attempt_at, e.delivery_id) < (d.next_attempt_at, d.delivery_id)))
        -- A channel at which attempts fail, most likely after they waited, comes after those that work.
        order by
            exists (
                select from bcp_internal.notification_deliveries f
                where f.channel_id = d.channel_id and f.state = 'pending' and f.attempts > 0),
            d.next_attempt_at, d.delivery_id
        limit p_most
        for update of d skip locked
    ), claimed as (
        update bcp_internal.notification_deliveries d
        set claims = d.claims + 1, next_attempt_at = v_now + p_lease
        from due
        where d.delivery_id = due.delivery_id
        returning d.*
    )
    select
        d.delivery_id, d.claims, c.channel_name, c.kind, c.config, c.secret, t.host, t.reach, d.about, d.payload,
        d.created_at
    from claimed d
    join bcp_internal.notification_channels c using (channel_id)
    cross join lateral bcp_internal.notification_target(c.kind, c.config, c.secret) t
    order by d.created_at, d.delivery_id;
end
$func$;

comment on function bcp_internal.claim_notifications is
    'Messages that are due, at most p_most, with all that it takes to send them. They are due again after p_lease, in '
    'case whoever asked is killed. With p_delivery_id only that one; with p_busy_channels one of each channel that is '
    'not named there, or a channel that is slow would have all that a notifier sends at a time. Others that ask '
    'meanwhile get other messages.';

grant execute on function bcp_internal.claim_notifications to bcp_admin;

create or replace function bcp_internal.record_notification(
    p_delivery_id uuid, p_claim integer, p_error text, p_final boolean default false,
    p_retry_after interval default null)
returns text
language plpgsql volatile
-- As bcp_internal.claim_notifications.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_delivery bcp_internal.notification_deliveries;
    v_status text;
begin
    select * into v_delivery
    from bcp_internal.notification_deliveries d
    where d.delivery_id = p_delivery_id and d.state = 'pending' and (p_error is null or d.claims = p_claim)
    for update;
    if not found then
        return null;
    end if;
    v_status := case
        when p_error is null then 'delivered'
        when p_final or v_delivery.attempts + 1 >= v_delivery.max_attempts then 'failed'
        else 'retry'
    end;
    insert into bcp.notification_log (
        logged_at, channel_name, delivery_id, about, rule_name, attempt, status, error)
    select
        v_now, c.channel_name, v_delivery.delivery_id, v_delivery.about, v_delivery.rule_name, v_delivery.attempts + 1,
        v_status, left(p_error, 200)
    from bcp_internal.notification_channels c
    where c.channel_id = v_delivery.channel_id;
    update bcp_internal.notification_deliveries d
    set attempts = d.attempts + 1, state = case when v_status = 'retry' then 'pending' else v_status end,
        payload = case when v_status = 'retry' then d.payload else '{}' end,
        finished_at = case when v_status <> 'retry' then v_now end,
        -- 5 s, 15 s, 45 s, ... 3 h, each by half more or less, so that not all who failed together come together.
        next_attempt_at = v_now + greatest(
            case when p_retry_after is not null then least(p_retry_after, interval '3 hours') end,
            least(interval '3 hours', interval '5 seconds' * 3 ^ least(d.attempts, 20)) * (0.5 + random()))
    where d.delivery_id = p_delivery_id;
    if v_status <> 'retry' then
        -- What names tools and errors is not kept longer than it takes to send it.
        update bcp_internal.notification_outbox o set event = '{}' where o.delivery_id = p_delivery_id;
    end if;
    return v_status;
end
$func$;

comment on function bcp_internal.record_notification is
    'Writes down how an attempt ended, and returns delivered, retry or failed: delivered if p_error is null, else when '
    'to try again, not before p_retry_after, or that no attempt follows, after notification_max_attempts or if '
    'p_final. Null if another attempt has ended it already, or is under way because this one took too long.';

grant execute on function bcp_internal.record_notification to bcp_admin;

create or replace function bcp_internal.notification_troubles(
    out channels bigint, out failed bigint, out failed_channels text, out retried bigint, out seen_at timestamptz,
    out expired_channels text)
language sql volatile
-- Readers may know that something is wrong, and read none of these tables.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select
        (select count(*) from bcp_internal.notification_channels where enabled),
        f.failed, f.names,
        (select count(*)
         from bcp_internal.notification_deliveries d
         join bcp_internal.notification_channels c using (channel_id)
         where d.state = 'pending' and c.enabled and d.attempts > 2),
        (select n.seen_at from bcp_internal.notifier n),
        (select string_agg(distinct l.channel_name, ', ' order by l.channel_name)
         from bcp.notification_log l
         where l.status = 'expired' and l.logged_at > bcp_internal.now() - interval '24 hours')
    from (
        select count(*) as failed, string_agg(distinct c.channel_name, ', ' order by c.channel_name) as names
        from bcp_internal.notification_deliveries d
        join bcp_internal.notification_channels c using (channel_id)
        where d.state = 'failed' and d.about <> 'test' and d.finished_at > bcp_internal.now() - interval '24 hours'
    ) f
$func$;

comment on function bcp_internal.notification_troubles is
    'How many channels are enabled, how many messages have failed within 24 hours and of which channels, how many have '
    'failed three times or more and are tried again, when a notifier last looked for work, and of which channels '
    'something expired within 24 hours.';

grant execute on function bcp_internal.notification_troubles to bcp_reader;
