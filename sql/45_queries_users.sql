-- Who calls, how much, and who comes back.

create or replace function bcp_internal.activity_pieces(
    p_of text, p_levels text[], p_since timestamptz, p_until timestamptz, p_filters jsonb)
returns table (relation text, ranges tstzmultirange)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- The aggregates have the id and the bundle. Any other filter needs the raw rows.
    v_aggregated constant boolean :=
        p_filters - array['bcp_name', p_of || '_id'] = '{}' and '1d' = any (p_levels);
    v_totals tstzmultirange := '{}';
begin
    -- Days by bundle have what those of all bundles together have not seen, as in bcp_internal.total_statement.
    if v_aggregated and p_of = 'user' and not p_filters ? 'bcp_name' then
        v_totals := bcp_internal.covered('user_totals_1d', bcp_internal.finite(p_since, p_until));
        if not isempty(v_totals) then
            return query select 'user_totals_1d', v_totals;
        end if;
    end if;
    return query
        select p.relation, p.ranges
        from bcp_internal.pieces(
            p_of || '_activity', case when v_aggregated then '{1d}' else '{}' end::text[], p_since, p_until,
            v_totals) p;
end
$func$;

comment on function bcp_internal.activity_pieces is
    'Which relations answer for the calls of users or sessions (p_of) in which ranges, as bcp_internal.pieces. '
    'p_levels are those of bcp_internal.grain.';

grant execute on function bcp_internal.activity_pieces to bcp_reader;

create or replace function bcp_internal.activity_cells(
    p_of text, p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns table (
    time_bucket timestamptz, id text, calls bigint, successes bigint, errors bigint, response_bytes bigint,
    given_tokens double precision, given_bytes double precision)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
set enable_sort = off
as $func$
declare
    v_id constant text := p_of || '_id';
    v_filter constant text := bcp_internal.call_filter(p_filters, p_lists => true);
    -- No question asks for the tokens of users, and adding them up would take a fifth of the time.
    v_tokens constant boolean := p_of = 'session';
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
    from bcp_internal.activity_pieces(p_of, v_grain.levels, p_since, p_until, p_filters) r
    cross join lateral (
        select
            case r.relation when 'tool_usage_logs' then 'start_time' else 'bucket' end,
            case r.relation
                when 'tool_usage_logs' then format(
                    'count(*)%1$s as calls, count(*) filter (where success%2$s) as successes,'
                    ' count(*) filter (where not success%2$s) as errors,'
                    ' sum(response_bytes)::double precision as response_bytes%3$s',
                    -- A list of tools is no call, but it fills the context of the model.
                    case when not p_filters ? 'operation' then ' filter (where operation <> ''tools/list'')' end,
                    case when not p_filters ? 'operation' then ' and operation <> ''tools/list''' end,
                    case when v_tokens then
                        ', sum(response_tokens)::double precision as given_tokens,'
                        ' (sum(response_bytes) filter (where response_tokens is not null))::double precision'
                        ' as given_bytes' end)
                else
                    'sum(calls) as calls, sum(successes) as successes, sum(errors) as errors,'
                    ' sum(response_bytes) as response_bytes'
                    || case when v_tokens then
                           ', sum(given_tokens) as given_tokens, sum(given_bytes) as given_bytes' else '' end
            end
    ) as c (time, counts);
    if v_scans is null then
        return;
    end if;
    return query execute format(
        'select coalesce(c.bucket, %L), c.id, sum(c.calls)::bigint, coalesce(sum(c.successes), 0)::bigint,'
        ' coalesce(sum(c.errors), 0)::bigint, %s, %s from (%s) c group by 1, 2',
        p_since, bcp_internal.bounded_bytes('sum(c.response_bytes)'),
        case when v_tokens then 'coalesce(sum(c.given_tokens), 0), coalesce(sum(c.given_bytes), 0)'
             else 'null::double precision, null::double precision' end, v_scans);
end
$func$;

comment on function bcp_internal.activity_cells is
    'Calls of a range by bucket and by user or session (p_of). If the interval is null, one bucket begins at p_since. '
    'Lists of tools count only with the bytes of their answers, unless the filters name an operation. given_tokens and '
    'given_bytes are null for users. Rows come from daily aggregates, unless a filter or the time zone needs the raw '
    'rows.';

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

create or replace function bcp_internal.active_statement(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
as $func$
declare
    v_grain record;
begin
    select * into v_grain from bcp_internal.grain(p_interval, p_time_zone, p_since, p_until);
    -- No sums, as bcp_internal.activity_cells has them: they are most of the time. Days of all bundles together have
    -- one row per user already.
    return (
        select string_agg(
            format(
                'select %s as time_bucket, user_id as id from bcp.%I where %s and user_id is not null%s%s', c.start,
                r.relation, bcp_internal.within(c.time, r.ranges), c.filter,
                case when r.relation <> 'user_totals_1d' or c.start <> 'bucket' then ' group by 1, 2' else '' end),
            ' union all ')
        from bcp_internal.activity_pieces('user', v_grain.levels, p_since, p_until, p_filters) r
        cross join lateral (
            select t.time,
                   case when t.time = 'bucket' and p_interval = interval '1 day' then 'bucket'
                        else bcp_internal.bucket_of(t.time, p_interval, v_grain.zone, v_grain.shift) end,
                   case when t.time = 'start_time' then bcp_internal.call_filter(p_filters)
                        -- A day on which a user only asked for lists of tools has no calls.
                        else bcp_internal.call_filter(p_filters, p_lists => true) || ' and calls > 0' end
            from (select case r.relation when 'tool_usage_logs' then 'start_time' else 'bucket' end) as t (time)
        ) as c (time, start, filter));
end
$func$;

comment on function bcp_internal.active_statement is
    'Statement for users with a call, by bucket: time_bucket and id, the same ones maybe more than once. Null if the '
    'range is empty. Rows come from daily aggregates, unless a filter or the time zone needs the raw rows.';

grant execute on function bcp_internal.active_statement to bcp_reader;

create or replace function bcp_internal.active_days(
    p_since timestamptz, p_until timestamptz, p_interval interval, p_time_zone text, p_filters jsonb)
returns table (time_bucket timestamptz, id text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The setting has the same reason as those of bcp_internal.usage_cells.
set jit = off
as $func$
declare
    v_active constant text := bcp_internal.active_statement(p_since, p_until, p_interval, p_time_zone, p_filters);
begin
    if v_active is not null then
        return query execute format('select distinct a.time_bucket, a.id from (%s) a', v_active);
    end if;
end
$func$;

comment on function bcp_internal.active_days is
    'The rows of bcp_internal.active_statement, each once, for a head that adds up those of its shards.';

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

create or replace function bcp_internal.active_users_statement(p_active text, p_days integer) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Each user is one row, with a bit for each day. A day with a call counts for the six and for the 29 days after it,
    -- too: these bits are moved, and moved again. So nothing is sorted.
    select format(
        $query$
            with masks as materialized (
                select a.id, %2$s as days
                from (%1$s) a
                group by a.id
            ), spread as materialized (
                select m.days, v.week, y.days | (y.days >> 14) as month
                from masks m
                cross join lateral (select m.days | (m.days >> 1) as days offset 0) t
                cross join lateral (select t.days | (t.days >> 2) as days offset 0) u
                cross join lateral (select u.days | (u.days >> 3) as week, u.days | (u.days >> 4) as days offset 0) v
                cross join lateral (select v.days | (v.days >> 8) as days offset 0) y
            ), counted as (
                select n, c.*
                from generate_series(29, %3$s - 1) as n
                cross join lateral (
                    select count(*) filter (where %4$s) as daily, count(*) filter (where %5$s) as weekly,
                           count(*) filter (where %6$s) as monthly
                    from spread s
                ) c
            ), newcomers as (
                select f.n, count(*) as users
                from masks m
                join bcp_internal.first_seen(array(select x.id from masks x)) u on u.user_id = m.id
                cross join lateral (select (u.first_seen at time zone $1)::date - $2) as f (n)
                where f.n between 29 and %3$s - 1 and %7$s
                group by f.n
            )
            select
                ($2 + c.n)::timestamp at time zone $1, c.daily, c.weekly, c.monthly, coalesce(w.users, 0),
                c.daily::double precision / nullif(c.monthly, 0)
            from (
                select counted.*, min(n) filter (where monthly > 0) over () as first,
                       max(n) filter (where monthly > 0) over () as last
                from counted
            ) c
            left join newcomers w using (n)
            where c.n between c.first and c.last
            order by c.n desc
        $query$,
        p_active, f.mask, p_days, format(f.has, 's.days', 'n'), format(f.has, 's.week', 'n'),
        format(f.has, 's.month', 'n'), format(f.has, 'm.days', 'f.n'))
    from (
        -- In a number, as long as one has enough bits, this takes half of the time: bits of any length are allocated
        -- anew for each row. The bit of the first day is the highest in both.
        select
            'bit_or(4611686018427387904 >> (width_bucket(a.time_bucket, $3) - 1))' as mask,
            '(%s & (4611686018427387904 >> %s)) <> 0' as has
        where p_days <= 63
        union all
        select
            format(
                'bit_or(%L::bit(%s) >> (width_bucket(a.time_bucket, $3) - 1))', '1' || repeat('0', p_days - 1), p_days),
            'get_bit(%s, %s) = 1'
        where p_days > 63
    ) f
$func$;

comment on function bcp_internal.active_users_statement is
    'Statement for the answer of bcp.active_users, from that of bcp_internal.active_statement. $1 is the time zone, $2 '
    'the first of p_days days, of which the last ones, after the first 29, are in the answer, and $3 when each of them '
    'begins.';

grant execute on function bcp_internal.active_users_statement to bcp_reader;

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
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set parallel_setup_cost = 20000
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_width constant interval := bcp_internal.checked_interval('1 day', p_time_zone);
    -- All days that the range overlaps, each as a whole.
    v_first date := v_range.range_from at time zone p_time_zone;
    v_last date := (v_range.range_to - interval '1 microsecond') at time zone p_time_zone;
    v_active text;
begin
    if v_range.range_from = v_range.range_to then
        return;
    end if;
    v_active := bcp_internal.active_statement(
        (v_first - 29)::timestamp at time zone p_time_zone, (v_last + 1)::timestamp at time zone p_time_zone, v_width,
        p_time_zone,
        bcp_internal.filters(p_bcp_name, p_tool_name, p_operation, null, null, p_client_name, p_outcome, p_failed,
            p_client_version, p_client_model, p_release));
    -- A range without an end is as long as there are calls; without any it has no days.
    if v_active is not null and (not isfinite(v_first) or not isfinite(v_last) or v_last - v_first > 400) then
        execute format(
            'select case when count(*) > 0 then greatest(min(a.time_bucket at time zone $1)::date, $2) end,'
            ' least(max(a.time_bucket at time zone $1)::date + 29, $3) from (%s) a', v_active)
        into v_first, v_last using p_time_zone, v_first, v_last;
    end if;
    if v_active is not null and v_first <= v_last then
        return query execute bcp_internal.active_users_statement(v_active, v_last - v_first + 30)
        using p_time_zone, v_first - 29, array(
            select d.start at time zone p_time_zone
            from generate_series((v_first - 29)::timestamp, v_last::timestamp, interval '1 day') as d (start));
    end if;
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
