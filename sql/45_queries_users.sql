-- Who calls, how much, and who comes back.

create or replace function bcp_internal.activity_cells(
    p_of text, p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns table (
    time_bucket timestamptz, id text, calls bigint, successes bigint, errors bigint, response_bytes bigint,
    given_tokens double precision, given_bytes double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_id constant text := p_of || '_id';
    v_filter constant text := bcp_internal.call_filter(p_filters, p_lists => true);
    v_grain record;
    v_scans text;
begin
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
    -- Each scan groups its own rows, for the reasons in sql/40_query_usage.sql.
    select string_agg(
        format(
            'select %s as bucket, %I as id, %s from bcp.%I where %s and %I is not null%s group by %s',
            bcp_internal.bucket_of(c.time, p_interval, v_grain.zone, v_grain.shift), v_id, c.counts, r.relation,
            bcp_internal.within(c.time, r.ranges), v_id, v_filter,
            concat_ws(', ', case when p_interval is not null then '1' end, v_id)),
        ' union all ')
    into v_scans
    from bcp_internal.pieces(
        p_of || '_activity',
        case
            -- The aggregates have the id and the bundle. Any other filter needs the raw rows.
            when p_filters - array['bcp_name', v_id] = '{}' and '1d' = any (v_grain.levels)
            then '{1d}'
            else '{}'
        end::text[], p_since, p_until) r
    cross join lateral (
        select
            case r.relation when 'tool_usage_logs' then 'start_time' else 'bucket' end,
            case r.relation
                when 'tool_usage_logs' then format(
                    'count(*)%1$s as calls, count(*) filter (where success%2$s) as successes,'
                    ' count(*) filter (where not success%2$s) as errors,'
                    ' sum(response_bytes)::double precision as response_bytes,'
                    ' sum(response_tokens)::double precision as given_tokens,'
                    ' (sum(response_bytes) filter (where response_tokens is not null))::double precision'
                    ' as given_bytes',
                    -- A list of tools is no call, but it fills the context of the model.
                    case when not p_filters ? 'operation' then ' filter (where operation <> ''tools/list'')' end,
                    case when not p_filters ? 'operation' then ' and operation <> ''tools/list''' end)
                else
                    'sum(calls) as calls, sum(successes) as successes, sum(errors) as errors,'
                    ' sum(response_bytes) as response_bytes, sum(given_tokens) as given_tokens,'
                    ' sum(given_bytes) as given_bytes'
            end
    ) as c (time, counts);
    if v_scans is null then
        return;
    end if;
    -- Bounded as in bcp_internal.usage_statement.
    return query execute format(
        'select coalesce(c.bucket, %L), c.id, sum(c.calls)::bigint, coalesce(sum(c.successes), 0)::bigint,'
        ' coalesce(sum(c.errors), 0)::bigint, least(greatest(coalesce(sum(c.response_bytes), 0), 0), 9e18)::bigint,'
        ' coalesce(sum(c.given_tokens), 0), coalesce(sum(c.given_bytes), 0)'
        ' from (%s) c group by 1, 2', p_since, v_scans);
end
$func$;

comment on function bcp_internal.activity_cells is
    'Calls of a range by bucket and by user or session (p_of). If the interval is null, one bucket begins at p_since. '
    'Lists of tools count only with the bytes of their answers, unless the filters name an operation. Rows come from '
    'daily aggregates, unless a filter or the time zone needs the raw rows.';

grant execute on function bcp_internal.activity_cells to bcp_reader;

create or replace function bcp.top_users(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null, p_operation text default null, p_user_id text default null,
    p_session_id text default null, p_client_name text default null, p_outcome text default null,
    p_limit integer default 20, p_order text default 'calls',
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    user_id text, call_count bigint, success_count bigint, error_count bigint, success_rate double precision,
    share double precision, response_bytes bigint)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select
        c.id, sum(c.calls)::bigint, sum(c.successes)::bigint, sum(c.errors)::bigint,
        sum(c.successes)::double precision / nullif(sum(c.successes + c.errors), 0)::double precision,
        sum(c.calls)::double precision / sum(sum(c.calls)) over ()::double precision,
        least(sum(c.response_bytes), 9e18)::bigint
    from bcp_internal.checked_range(p_since, p_until) r
    cross join lateral bcp_internal.activity_cells(
        'user', r.range_from, r.range_to, null, 'UTC',
        bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, p_user_id, p_session_id, p_client_name, p_outcome,
            p_failed, p_client_version, p_client_model, p_release)) c
    cross join bcp_internal.checked_choice('p_order', coalesce(p_order, ''), '{calls,errors,cost}') as o (by)
    group by c.id, o.by
    having sum(c.calls) > 0
    order by case o.by when 'errors' then sum(c.errors) when 'cost' then sum(c.response_bytes) end desc,
             sum(c.calls) desc, c.id
    limit bcp_internal.checked_limit(p_limit)
$func$;

comment on function bcp.top_users is
    'Who calls most? One row per user, at most p_limit (1 to 10000): most calls first, with p_order errors most '
    'failures first, with cost most bytes of answers first, where lists of tools count too. share is of the calls of '
    'all users that pass the filters, from 0 to 1; calls without a user are left out. Reads a daily aggregate; a '
    'filter other than bundle and user makes it read the calls of the range. The range is [p_since, p_until), the last '
    '24 hours by default.';

grant execute on function bcp.top_users to bcp_reader;

create or replace function bcp_internal.active_days(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns table (time_bucket timestamptz, id text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
as $func$
declare
    v_grain record;
    v_scans text;
begin
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
    -- No sums, as bcp_internal.activity_cells has them: they are most of the time.
    select string_agg(
        format(
            'select %s as bucket, user_id from bcp.%I where %s and user_id is not null%s group by 1, 2',
            bcp_internal.bucket_of(c.time, p_interval, v_grain.zone, v_grain.shift), r.relation,
            bcp_internal.within(c.time, r.ranges), c.filter),
        -- Two scans may have a part of one day each.
        ' union ')
    into v_scans
    from bcp_internal.pieces(
        'user_activity',
        case when p_filters - 'bcp_name' = '{}' and '1d' = any (v_grain.levels) then '{1d}' else '{}' end::text[],
        p_since, p_until) r
    cross join lateral (
        select
            case r.relation when 'tool_usage_logs' then 'start_time' else 'bucket' end,
            case r.relation
                when 'tool_usage_logs' then bcp_internal.call_filter(p_filters)
                -- A day on which a user only asked for lists of tools has no calls.
                else bcp_internal.call_filter(p_filters, p_lists => true) || ' and calls > 0'
            end
    ) as c (time, filter);
    if v_scans is not null then
        return query execute v_scans;
    end if;
end
$func$;

comment on function bcp_internal.active_days is
    'Users with a call, by bucket. Rows come from a daily aggregate, unless a filter or the time zone needs the raw '
    'rows.';

grant execute on function bcp_internal.active_days to bcp_reader;

create or replace function bcp_internal.first_seen(p_ids text[])
returns table (user_id text, first_seen timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select u.user_id, u.first_seen from bcp.users u join unnest(p_ids) as i (id) on u.user_id = i.id
$func$;

comment on function bcp_internal.first_seen is 'When the store first saw each of these users.';

grant execute on function bcp_internal.first_seen to bcp_reader;

create or replace function bcp.active_users(
    p_since timestamptz default null, p_until timestamptz default null, p_bcp_name text default null,
    p_tool_name text default null, p_operation text default null, p_client_name text default null,
    p_outcome text default null, p_time_zone text default 'UTC',
    p_failed boolean default null, p_client_version text default null, p_client_model text default null,
    p_release text default null)
returns table (
    day timestamptz, daily_users bigint, weekly_users bigint, monthly_users bigint, new_users bigint,
    stickiness double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_width constant interval := bcp_internal.checked_interval('1 day', p_time_zone);
    -- All days that the range overlaps, each as a whole.
    v_first constant date := v_range.range_from at time zone p_time_zone;
    v_end constant date := (v_range.range_to - interval '1 microsecond') at time zone p_time_zone;
begin
    return query
    with active as materialized (
        select c.id, (c.time_bucket at time zone p_time_zone)::date as day
        from bcp_internal.active_days(
            (v_first - 29)::timestamp at time zone p_time_zone, (v_end + 1)::timestamp at time zone p_time_zone,
            v_width, p_time_zone,
            bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, null, null, p_client_name, p_outcome, p_failed,
                p_client_version, p_client_model, p_release)) c
    ), runs as materialized (
        -- A day with activity counts for as many days as the window is wide, or until the user's next such day, which
        -- counts from there. All users whose days lie as far apart are one row.
        select s.day, least(s.next_day - s.day, 30) as lasting, count(*) as users
        from (
            select a.day, lead(a.day) over (partition by a.id collate "C" order by a.day) as next_day from active a
        ) s
        group by 1, 2
    ), changes as (
        select w.width, x.day, x.step
        from runs r
        cross join (values (1), (7), (30)) as w (width)
        cross join lateral (values (r.day, r.users), (r.day + least(r.lasting, w.width), - r.users)) as x (day, step)
        union all
        select w.width, d.day::date, 0
        from (select min(r.day) as first, max(r.day) as last from runs r) b
        cross join generate_series(greatest(b.first, v_first), least(b.last + 29, v_end), interval '1 day') as d (day)
        cross join (values (1), (7), (30)) as w (width)
        where b.first is not null
    ), counted as (
        select c.width, c.day, sum(sum(c.step)) over (partition by c.width order by c.day)::bigint as users
        from changes c
        group by c.width, c.day
    ), newcomers as (
        select a.day, count(*) as users
        from active a
        join bcp_internal.first_seen(array(select distinct x.id from active x)) u on u.user_id = a.id
        where (u.first_seen at time zone p_time_zone)::date = a.day
        group by a.day
    )
    select
        c.day::timestamp at time zone p_time_zone, max(c.users) filter (where c.width = 1),
        max(c.users) filter (where c.width = 7), max(c.users) filter (where c.width = 30), coalesce(max(n.users), 0),
        max(c.users) filter (where c.width = 1)::double precision / nullif(max(c.users) filter (where c.width = 30), 0)
    from counted c
    left join newcomers n using (day)
    where c.day between v_first and v_end
      and v_range.range_from < v_range.range_to
    group by c.day
    order by c.day desc;
end
$func$;

comment on function bcp.active_users is
    'How many people use the tools? One row per day that overlaps the range, latest first: users with a call on that '
    'day, in the 7 days that end with it, and in the 30 days that end with it. new_users are those that the store '
    'first saw on that day; stickiness is daily users divided by monthly users, from 0 to 1. Calls without a user are '
    'left out. Reads a daily aggregate, from 29 days before the range on; a time zone other than UTC, or a filter '
    'other than the bundle, makes it read the calls of that time. The range is [p_since, p_until), the last 24 hours '
    'by default.';

grant execute on function bcp.active_users to bcp_reader;
