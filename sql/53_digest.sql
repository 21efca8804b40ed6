-- The weekly digest: what changed, what broke, what costs.

create or replace function bcp_internal.digest_until(p_created_at timestamptz, p_time_zone text) returns date
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- The week ends with Sunday, and its digest comes at 8 on Monday. That of a week whose digest was due before the
    -- channel was made is nobody's.
    select m.monday::date
    from (
        select date_trunc(
            'week', (bcp_internal.now() at time zone p_time_zone) - interval '8 hours') as monday
    ) m
    where (m.monday + interval '8 hours') at time zone p_time_zone > p_created_at
$func$;

comment on function bcp_internal.digest_until is
    'The Monday that ends the latest week of which a channel made at p_created_at is due a digest; null if there is '
    'none.';

create or replace function bcp_internal.digest(p_since timestamptz, p_until timestamptz) returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select jsonb_build_object(
        'since', p_since, 'until', p_until,
        'totals', (select to_jsonb(t) from bcp.report_totals(p_since, p_until) t),
        'changed', (
            select coalesce(jsonb_agg(to_jsonb(t) order by t.weight desc), '[]')
            from (
                -- By how far it moved, and how many calls felt it.
                select
                    left(c.bcp_name, 100) as bcp_name, left(c.tool_name, 100) as tool_name, c.call_count,
                    c.previous_call_count, c.success_rate, c.previous_success_rate, c.p95_duration_ms,
                    c.previous_p95_duration_ms,
                    c.call_count * (
                        abs(coalesce(c.success_rate - c.previous_success_rate, 0))
                        + least(abs(coalesce(c.p95_change, 0)), 10) / 10) as weight
                from bcp.tool_trends(p_since, p_until) c
                where c.call_count >= 20 and c.previous_call_count >= 20
                  and (abs(c.success_rate - c.previous_success_rate) >= 0.01 or abs(c.p95_change) >= 0.2)
                order by weight desc
                limit 5
            ) t),
        'broke', (
            select coalesce(jsonb_agg(to_jsonb(i) order by i.error_count desc), '[]')
            from (
                select
                    e.fingerprint, e.state, left(e.bcp_name, 100) as bcp_name, left(e.tool_name, 100) as tool_name,
                    left(e.error_type, 100) as error_type, left(e.message, 200) as message, e.error_count
                from bcp.error_issues(p_since, p_until, p_limit => 10000) e
                where e.state in ('new', 'regressed')
                order by e.error_count desc
                limit 5
            ) i),
        'alerts', (
            select coalesce(jsonb_agg(to_jsonb(a) order by a.opened desc, a.rule_name), '[]')
            from (
                select l.rule_name, count(*) as opened, count(*) filter (where l.closed_at is null) as still_open
                from bcp.alerts l
                where l.opened_at >= p_since and l.opened_at < p_until
                group by 1
            ) a),
        'costs', (
            select coalesce(jsonb_agg(to_jsonb(c) order by c.tokens desc), '[]')
            from (
                select left(x.bcp_name, 100) as bcp_name, left(x.tool_name, 100) as tool_name, x.call_count, x.tokens,
                       x.share
                from bcp.context_cost(p_since, p_until, p_limit => 5) x
                where x.tokens > 0
            ) c))
$func$;

comment on function bcp_internal.digest is
    'What a digest tells of a range, compared with the period of the same length before: totals as in '
    'bcp.report_totals; the five tools whose successes or p95 changed for most calls; the five issues, new or '
    'regressed, with most errors; how many alerts opened by rule; the five tools with most tokens.';

create or replace function bcp_internal.gather_digest(p_channel bcp_internal.notification_channels) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_until constant date := bcp_internal.digest_until(p_channel.created_at, p_channel.time_zone);
    v_delivery_id uuid;
    v_digest jsonb;
begin
    if not p_channel.digest or v_until is null
        or bcp_internal.is_quiet(p_channel.quiet_hours, p_channel.time_zone, v_now)
        or exists (
            select from bcp_internal.notification_outbox o
            where o.channel_id = p_channel.channel_id and o.event_key = 'digest:' || v_until)
    then
        return 0;
    end if;
    begin
        v_digest := bcp_internal.digest(
            (v_until - 7)::timestamp at time zone p_channel.time_zone,
            v_until::timestamp at time zone p_channel.time_zone);
    exception
        -- others has no cancellation in it, and in a large store it takes longer than a statement may.
        when query_canceled or others then
            if sqlstate = '57014' and current_setting('statement_timeout')::interval
                not between interval '1 ms' and clock_timestamp() - statement_timestamp()
            then
                -- Somebody stopped it; who asks next makes it.
                raise;
            end if;
            -- It is told, or alerts would wait behind it for ever. The text of the error could hold values.
            v_digest := jsonb_build_object('sqlstate', sqlstate);
    end;
    v_delivery_id := bcp_internal.uuidv7(v_now);
    insert into bcp_internal.notification_deliveries (
        delivery_id, channel_id, about, payload, gathered, is_urgent, max_attempts, created_at, next_attempt_at)
    values (
        v_delivery_id, p_channel.channel_id, 'digest',
        v_digest || jsonb_build_object('week', to_char(v_until - 7, 'IYYY-"W"IW'), 'time_zone', p_channel.time_zone),
        1, false, bcp_internal.setting('notification_max_attempts')::integer, v_now, v_now);
    -- The key is unique, so nothing can make a second digest of the week.
    insert into bcp_internal.notification_outbox (channel_id, event_key, about, event, created_at, delivery_id)
    values (p_channel.channel_id, 'digest:' || v_until, 'digest', '{}', v_now, v_delivery_id);
    return 1;
end
$func$;

comment on function bcp_internal.gather_digest is
    'Makes the message with the digest of the week that has ended, if the channel is due one and the hours are not '
    'quiet; returns how many messages that are.';
