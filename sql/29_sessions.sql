-- Sessions: which session an event without one belongs to, since MCP has no session id any more; how sessions are
-- stored; and the clients whose session ids are useless.

create or replace function bcp_internal.resolve_sessions(
    p_numbers bigint[], p_users text[], p_clients text[], p_given text[], p_starts timestamptz[], p_ends timestamptz[])
returns table (n bigint, session_id text, is_new boolean)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_gap constant interval := bcp_internal.setting('session_gap');
begin
    if array_position(p_given, null) is null then
        return;
    end if;
    return query
    with events as materialized (
        select e.num, coalesce(e.u, '') as u, coalesce(e.c, '') as c, e.given, e.at, greatest(e.at, e.until) as until
        from unnest(p_numbers, p_users, p_clients, p_given, p_starts, p_ends) as e (num, u, c, given, at, until)
        -- The name of a client is the same for all who use it, so without a user it is not known whose event this is.
        where e.u <> ''
    ), keys as materialized (
        select e.u, e.c, min(e.at) - v_gap as earliest, max(e.until) + v_gap as latest
        from events e
        group by e.u, e.c
        having bool_or(e.given is null)
    ), points as (
        -- At the same time an event with a session comes first (0), and the end of a session (2) comes after the events
        -- that still belong to it.
        select e.u collate "C" as u, e.c collate "C" as c, e.at, e.until, e.given as id, e.num,
            (e.given is null)::integer as kind
        from events e
        union all
        select k.u, k.c, p.at, s.last_activity, case when p.kind = 0 then s.session_id end, null, p.kind
        from keys k
        join bcp.user_sessions s
            on s.user_id = k.u
            and coalesce(s.client_name, '') = k.c
            and s.last_activity >= k.earliest
            and s.started_at <= k.latest
        cross join lateral (values
            (s.started_at, 0), (least(s.last_activity, s.ended_at), 0), (s.ended_at, 2)) as p (at, kind)
        where p.at is not null
    ), gaps as (
        select p.*, p.at - max(p.until) over (
            partition by p.u, p.c order by p.at, p.kind, p.num rows between unbounded preceding and 1 preceding
        ) <= v_gap as goes_on
        from points p
    ), islands as (
        select g.*,
            count(*) filter (where g.goes_on is not true) over so_far as island,
            count(*) filter (where g.kind <> 1) over so_far as after
        from gaps g
        window so_far as (order by g.u, g.c, g.at, g.kind, g.num rows unbounded preceding)
    ), stretches as (
        -- A stretch goes from a point of a session, the beginning of an island, or the end of a session, to the next of
        -- these.
        select i.island, i.after, min(i.u) as u, min(i.c) as c, max(i.id) as id, max(i.kind) as kind,
            bool_or(i.kind = 0 and i.num is null) as is_stored,
            min(i.at) filter (where i.kind = 1) as began, array_agg(i.num) filter (where i.kind = 1) as nums
        from islands i
        group by i.island, i.after
    ), placed as (
        select t.nums, t.u, t.c, t.began,
            case when t.kind < 2 then
                -- A call that comes late joins a session that is stored. A session of the same batch began after the
                -- call.
                coalesce(t.id, lead(case when t.is_stored then t.id end) over (partition by t.island order by t.after))
            end as id
        from stretches t
    ), named as materialized (
        select p.nums, p.id is null as is_new,
            coalesce(p.id, 'gap-' || left(encode(sha256(convert_to(concat_ws(
                ':', length(p.u), p.u, p.c, (extract(epoch from p.began) * 1000000)::bigint), 'UTF8')), 'hex'), 32)
                ) as id
        from placed p
        where p.nums is not null
    )
    select unnest(m.nums), m.id, m.is_new from named m;
end
$func$;

comment on function bcp_internal.resolve_sessions(bigint[], text[], text[], text[], timestamptz[], timestamptz[]) is
    'Sessions of the events that give none, by user and client. It is the session that was active last before the '
    'event, if no gap between its events and this one is longer than the setting session_gap and it has not ended; '
    'else, for an event that comes late, the first stored session after it within the same gap; else a new one. A new '
    'id is gap- and 32 hex digits of the SHA-256 of the length of the user, the user, the client and the microseconds '
    'of its first event, so that a replay makes the same. Existing sessions are never merged. Events without a user '
    'are left out: clients of one name belong to many people.';

create or replace function bcp_internal.touch_sessions(p_sessions bcp.user_sessions[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_new bigint;
begin
    with touched as (
        insert into bcp.user_sessions as s
        select
            session_id,
            (array_agg(user_id) filter (where user_id is not null))[1],
            (array_agg(client_name) filter (where client_name is not null))[1],
            (array_agg(client_version) filter (where client_version is not null))[1],
            (array_agg(ip_address) filter (where ip_address is not null))[1],
            (array_agg(user_agent) filter (where user_agent is not null))[1],
            min(started_at), max(last_activity), max(ended_at), sum(tool_calls_count), sum(errors_count),
            (array_agg(attributes) filter (where attributes is not null))[1],
            coalesce(min(resolved_by), 'given'), coalesce(min(sent_by), session_user)
        from (
            -- Sorting by the rules of a language takes four times as long.
            select u.session_id collate "C" as session_id, u.user_id, u.client_name, u.client_version, u.ip_address,
                u.user_agent, u.started_at, u.last_activity, u.ended_at, u.tool_calls_count, u.errors_count,
                u.attributes, u.resolved_by, u.sent_by
            from unnest(p_sessions) as u
            where u.session_id is not null
        ) as given
        group by session_id
        order by session_id
        on conflict (session_id) do update set
            -- Only the role that began a session may say whose it is, not another one that names its id.
            user_id = coalesce(s.user_id, case when s.sent_by = excluded.sent_by then excluded.user_id end),
            client_name = coalesce(s.client_name, case when s.sent_by = excluded.sent_by then excluded.client_name end),
            client_version = coalesce(
                s.client_version, case when s.sent_by = excluded.sent_by then excluded.client_version end),
            ip_address = coalesce(s.ip_address, case when s.sent_by = excluded.sent_by then excluded.ip_address end),
            user_agent = coalesce(s.user_agent, case when s.sent_by = excluded.sent_by then excluded.user_agent end),
            started_at = least(s.started_at, excluded.started_at),
            last_activity = greatest(s.last_activity, excluded.last_activity),
            ended_at = case
                when s.sent_by = excluded.sent_by then greatest(s.ended_at, excluded.ended_at)
                else s.ended_at
            end,
            tool_calls_count = s.tool_calls_count + excluded.tool_calls_count,
            errors_count = s.errors_count + excluded.errors_count,
            attributes = case
                when s.sent_by = excluded.sent_by and excluded.attributes is not null then bcp_internal.truncate_json(
                    coalesce(s.attributes, '{}') || excluded.attributes,
                    bcp_internal.setting('max_document_bytes')::integer)
                else s.attributes
            end
        -- xmax is 0 where there was no row before.
        returning s.xmax = 0 as is_new
    )
    select count(*) into v_new from touched t where t.is_new;
    perform bcp_internal.note_new_ids('session', v_new);
end
$func$;

comment on function bcp_internal.touch_sessions(bcp.user_sessions[]) is
    'Makes or updates sessions: times widen, counts add up, and what is known stays. Only the role that began a '
    'session tells who it belongs to, from where, when it ended, and its attributes.';

create or replace view bcp.degenerate_sessions as
select s.client_name, s.sessions, s.calls, s.sessions::double precision / s.calls as ratio
from (
    select client_name, count(*) as sessions, sum(tool_calls_count)::bigint as calls
    from bcp.user_sessions
    where last_activity >= bcp_internal.now() - interval '7 days'
      and tool_calls_count > 0
      and resolved_by <> 'gap'
    group by client_name
) as s
where s.sessions >= 20
  and s.sessions >= 0.9 * s.calls;

comment on view bcp.degenerate_sessions is
    'Clients that send a new session or conversation id with each call, so that their sessions tell nothing: at least '
    '20 sessions active within the last 7 days, and at least 0.9 sessions per call. Reads the sessions of those days.';

comment on column bcp.degenerate_sessions.client_name is 'Name of the client; null for those that give none.';

comment on column bcp.degenerate_sessions.sessions is 'Its sessions with calls, without those that ingest made up.';

comment on column bcp.degenerate_sessions.calls is 'Tool calls stored for them.';

comment on column bcp.degenerate_sessions.ratio is 'Sessions per call: 1 where each call has a session of its own.';

grant select on bcp.degenerate_sessions to bcp_reader;

create or replace function bcp_internal.session_duration_ms(
    p_started_at timestamptz, p_last_activity timestamptz, p_ended_at timestamptz)
returns double precision
language sql immutable parallel safe
-- No search_path: with one it could not be inlined; every name is qualified instead.
as $func$
    -- Not extract, which is numeric and takes three times as long.
    select pg_catalog.date_part(
        'epoch', greatest(p_last_activity, p_ended_at) operator(pg_catalog.-) p_started_at)
        operator(pg_catalog.*) 1000::pg_catalog.float8
$func$;

comment on function bcp_internal.session_duration_ms is
    'How long a session was, in milliseconds: until it ended or, where that came later or is not known, its last '
    'event.';

grant execute on function bcp_internal.session_duration_ms to bcp_reader;
