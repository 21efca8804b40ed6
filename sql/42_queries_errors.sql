-- Questions about errors.

create or replace function bcp_internal.issues(p_fingerprints text[]) returns setof bcp.error_issues
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select i.* from bcp.error_issues i where i.fingerprint = any (p_fingerprints)
$func$;

comment on function bcp_internal.issues is 'The issues of these fingerprints.';

grant execute on function bcp_internal.issues to bcp_reader;

create or replace function bcp.error_analysis(
    p_since timestamptz default null, p_until timestamptz default null, p_level bcp.error_level_enum default null,
    p_bcp_name text default null, p_tool_name text default null, p_release text default null)
returns table (
    level bcp.error_level_enum, bcp_name text, tool_name text, error_type text, error_count bigint,
    share double precision, issue_count bigint, first_seen timestamptz, last_seen timestamptz, sample_message text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with cells as materialized (
        select c.*
        from bcp_internal.checked_range(p_since, p_until) r
        cross join lateral bcp_internal.error_cells(
            r.range_from, r.range_to, p_level, p_bcp_name, p_tool_name, p_release => p_release) c
    ), grouped as (
        select
            level, bcp_name, tool_name, error_type, sum(errors)::bigint as errors,
            -- A cell is one issue, and counting without distinct needs no sort.
            count(*) as issues,
            min(first_seen) as first_seen, max(last_seen) as last_seen,
            -- The least of these texts has the most errors, and of as many the first fingerprint. An array in that
            -- order takes three times as long.
            substr(min(lpad((9223372036854775807 - errors)::text, 19, '0') || fingerprint), 20) as top_issue
        from cells
        group by 1, 2, 3, 4
    )
    select
        g.level, g.bcp_name, g.tool_name, g.error_type, g.errors, g.errors / sum(g.errors) over ()::double precision,
        g.issues, g.first_seen, g.last_seen, i.message
    from grouped g
    left join bcp_internal.issues(array(select top_issue from grouped)) i on i.fingerprint = g.top_issue
    order by g.errors desc, g.level desc, g.bcp_name, g.tool_name, g.error_type
$func$;

comment on function bcp.error_analysis is
    'What fails, where, and how often? One row per level, tool and type, most frequent first. share is of all errors '
    'in the answer, from 0 to 1; sample_message is the latest message of the most frequent issue in the row. The range '
    'is [p_since, p_until), the last 24 hours by default. With p_release it reads every error of the range, not '
    'aggregates.';

grant execute on function bcp.error_analysis to bcp_reader;

create or replace view bcp.daily_error_summary as
with cells as (
    select bucket, level, bcp_name, tool_name, error_type, fingerprint, errors, first_seen, last_seen
    from bcp.errors_1d
    union all
    select public.time_bucket(interval '1 day', "timestamp"), level, bcp_name, tool_name, error_type, fingerprint, 1,
           "timestamp", "timestamp"
    from bcp.error_logs
    where "timestamp" >= bcp_internal.watermark('errors_1d')
)
select
    bucket as day, level, bcp_name, tool_name, error_type, sum(errors)::bigint as total_errors,
    count(distinct fingerprint) as issues, min(first_seen) as first_seen, max(last_seen) as last_seen
from cells
group by 1, 2, 3, 4, 5;

comment on view bcp.daily_error_summary is 'Errors by UTC day, level, tool and type, up to now.';

grant select on bcp.daily_error_summary to bcp_reader;

comment on column bcp.daily_error_summary.day is 'Start of the day.';

comment on column bcp.daily_error_summary.level is 'Severity.';

comment on column bcp.daily_error_summary.bcp_name is 'Bundle of tools.';

comment on column bcp.daily_error_summary.tool_name is 'Tool, null where none was involved.';

comment on column bcp.daily_error_summary.error_type is 'Class of the error.';

comment on column bcp.daily_error_summary.total_errors is 'Errors of the day.';

comment on column bcp.daily_error_summary.issues is 'Number of issues to which these errors belong.';

comment on column bcp.daily_error_summary.first_seen is 'Time of the earliest error.';

comment on column bcp.daily_error_summary.last_seen is 'Time of the latest error.';

create or replace function bcp.daily_error_summary(
    p_since timestamptz default null, p_until timestamptz default null, p_level bcp.error_level_enum default null,
    p_bcp_name text default null, p_tool_name text default null, p_release text default null)
returns setof bcp.daily_error_summary
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set enable_sort = off
as $func$
declare
    v_range constant record := bcp_internal.checked_range(p_since, p_until);
    v_from constant timestamptz := date_trunc('day', v_range.range_from, 'UTC');
    v_to constant timestamptz :=
        date_trunc('day', v_range.range_to + interval '24 hours' - interval '1 microsecond', 'UTC');
    v_order constant text := ' order by 1 desc, 6 desc, 2 desc, 3, 4, 5';
    -- Columnstores have a level as its place among these.
    v_levels constant bcp.error_level_enum[] := enum_range(null::bcp.error_level_enum);
    v_ready tstzmultirange := '{}';
    v_query text;
begin
    if v_range.range_from = v_range.range_to then
        return;
    end if;
    if p_release is null then
        v_ready := bcp_internal.ready_error_days(v_from, v_to);
    end if;
    -- A cell is one issue, and counting without distinct needs no sort.
    v_query := '(select c.day, array_position($6, c.level)::smallint as level, c.bcp_name, c.tool_name, c.error_type,'
        ' sum(c.errors)::bigint as errors, count(*) as issues, min(c.first_seen) as first_seen,'
        ' max(c.last_seen) as last_seen from unnest($1) as r'
        ' cross join lateral bcp_internal.error_cells('
        'lower(r), upper(r), $2, $3, $4, p_by_day => true, p_release => $5) c'
        ' group by 1, 2, 3, 4, 5' || v_order || ')';
    -- The order is that of the columnstore. Each part is in order by itself, so that they are merged, not sorted.
    if not isempty(v_ready) then
        v_query := '(select bucket as day, level, bcp_name, tool_name, error_type, errors, issues, first_seen,'
            ' last_seen from bcp.error_totals_1d where ' || bcp_internal.within('bucket', v_ready)
            || coalesce(' and level = ' || array_position(v_levels, p_level), '')
            || bcp_internal.condition_on('bcp_name', p_bcp_name)
            || bcp_internal.condition_on('tool_name', p_tool_name)
            || v_order || ') union all ' || v_query || v_order;
    end if;
    return query execute
        'select d.day, $6[d.level], d.bcp_name, d.tool_name, d.error_type, d.errors, d.issues, d.first_seen,'
        ' d.last_seen from (' || v_query || ') d'
    using bcp_internal.finite(v_from, v_to) - v_ready, p_level, p_bcp_name, p_tool_name, p_release, v_levels;
end
$func$;

comment on function bcp.daily_error_summary is
    'How many errors are there per day? Rows of the view bcp.daily_error_summary whose day overlaps [p_since, '
    'p_until), the last 24 hours by default; latest first. With p_release it reads every error of the range, not '
    'aggregates.';

grant execute on function bcp.daily_error_summary to bcp_reader;

create or replace function bcp_internal.period_before(p_since timestamptz, p_until timestamptz) returns timestamptz
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if not isfinite(p_since) or not isfinite(p_until) then
        raise exception using
            errcode = 'ZB002', message = 'the range has no end',
            hint = 'An infinite range has no period before it to compare with. Give both p_since and p_until.';
    end if;
    -- In seconds, because the length of a day would depend on the time zone of the session.
    return bcp_internal.checked_time(
        'the start of the period before',
        p_since - make_interval(secs => extract(epoch from p_until - p_since)::double precision));
end
$func$;

comment on function bcp_internal.period_before is
    'Start of the period of the same length before a range; ZB002 if the range is infinite, or if that period begins '
    'before the year 1.';

grant execute on function bcp_internal.period_before to bcp_reader;

create or replace function bcp_internal.relative_change(p_now double precision, p_before double precision)
returns double precision
-- In PL/pgSQL, which keeps its plan, because answers call it for each row.
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return (p_now - p_before) / nullif(p_before, 0);
end
$func$;

comment on function bcp_internal.relative_change is
    'Change as a share of the value before: 0.5 means half as much again. Null if the value before is 0.';

grant execute on function bcp_internal.relative_change to bcp_reader;

create or replace function bcp_internal.release_reaches(p_release text, p_fixed text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- https://semver.org/#spec-item-11: 1.10 is later than 1.9, 2.0-rc1 is earlier than 2.0, and +build does not count.
    select p_release = p_fixed
        or (string_to_array(regexp_replace(a.parts[1], '(\.0+)+$', ''), '.')::numeric[], a.parts[2] is null,
            coalesce(a.parts[2], ''))
        >= (string_to_array(regexp_replace(b.parts[1], '(\.0+)+$', ''), '.')::numeric[], b.parts[2] is null,
            coalesce(b.parts[2], ''))
    from regexp_match(p_release, '^v?(\d+(?:\.\d+)*)(-[^+]+)?(?:\+.*)?$') as a (parts)
    cross join regexp_match(p_fixed, '^v?(\d+(?:\.\d+)*)(-[^+]+)?(?:\+.*)?$') as b (parts)
$func$;

comment on function bcp_internal.release_reaches is
    'Whether a release is the one with the fix, or a later one. Null unless they are equal or both are versions such '
    'as v1.10.2-rc1.';

grant execute on function bcp_internal.release_reaches to bcp_reader;

create or replace function bcp_internal.releases_before(p_fingerprint text, p_fixed_at timestamptz)
returns setof text
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    -- resolved is always false. The condition is there because an index has it.
    select distinct e.release
    from bcp.error_logs e
    where e.fingerprint = p_fingerprint
      and not e.resolved
      and e."timestamp" <= p_fixed_at
      and e.release is not null
$func$;

comment on function bcp_internal.releases_before is 'Releases in which an issue had an error before its fix.';

grant execute on function bcp_internal.releases_before to bcp_reader;

create or replace function bcp_internal.has_regressed(
    p_fingerprint text, p_fixed_at timestamptz, p_fixed_release text, p_releases_before text[] default null)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- resolved is as in bcp_internal.releases_before.
    return exists (
        select
        from bcp.error_logs e
        where e.fingerprint = p_fingerprint
          and not e.resolved
          and e."timestamp" > p_fixed_at
          and (p_fixed_release is null or e.release is not null and coalesce(
              bcp_internal.release_reaches(e.release, p_fixed_release),
              -- Other names, such as hashes of commits, have no order. A release that failed before the fix is an
              -- earlier one.
              case
                  when p_releases_before is not null then e.release <> all (p_releases_before)
                  else not exists (
                      select
                      from bcp.error_logs b
                      where b.fingerprint = p_fingerprint
                        and not b.resolved
                        and b."timestamp" <= p_fixed_at
                        and b.release = e.release)
              end)));
end
$func$;

comment on function bcp_internal.has_regressed is
    'Whether an issue has an error after its fix that comes from the fixed release or a later one; from any release if '
    'none was named. p_releases_before are those of bcp_internal.releases_before, where a head has asked every shard.';

grant execute on function bcp_internal.has_regressed to bcp_reader;

create or replace function bcp_internal.issue_state(
    p_fingerprint text, p_first_seen timestamptz, p_last_seen timestamptz, p_since timestamptz, p_action text,
    p_acted_at timestamptz, p_release text)
returns text
language sql volatile
-- No search_path, so that it is inlined, as bcp_internal.calls.
as $func$
    select case
        -- Nested, because null does not end an "and": each issue that nobody has touched would be looked up.
        when p_action operator(pg_catalog.=) 'resolved' then
            case when p_last_seen operator(pg_catalog.>) p_acted_at
                and bcp_internal.has_regressed(p_fingerprint, p_acted_at, p_release)
                then 'regressed' else 'resolved' end
        when p_first_seen operator(pg_catalog.>=) p_since then 'new'
        else 'ongoing'
    end
$func$;

comment on function bcp_internal.issue_state is
    'The state of an issue for a range that begins at p_since: resolved or regressed after its last action, new where '
    'its first error is of the range, else ongoing.';

grant execute on function bcp_internal.issue_state to bcp_reader;

create or replace function bcp.error_issues(
    p_since timestamptz default null, p_until timestamptz default null, p_state text default null,
    p_level bcp.error_level_enum default null, p_bcp_name text default null, p_tool_name text default null,
    p_limit integer default 50, p_release text default null, p_fingerprint text default null)
returns table (
    fingerprint text, state text, level bcp.error_level_enum, bcp_name text, tool_name text, error_type text,
    message text, error_count bigint, previous_count bigint, change double precision, total_count bigint,
    first_seen timestamptz, last_seen timestamptz, resolved_at timestamptz, resolved_by text, resolved_release text,
    notes text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_range record := bcp_internal.checked_range(p_since, p_until);
    v_before constant timestamptz := bcp_internal.period_before(v_range.range_from, v_range.range_to);
    v_limit constant integer := bcp_internal.checked_limit(p_limit);
    v_state constant text := bcp_internal.checked_choice('p_state', p_state, '{new,ongoing,regressed,resolved}');
    v_counted record;
    v_first integer;
    v_frequent text[];
begin
    select coalesce(array_agg(c.fingerprint order by c.errors desc), '{}') as fingerprints,
           array_agg(c.errors order by c.errors desc) as errors,
           array_agg(c.errors_before order by c.errors desc) as errors_before
    into v_counted
    from bcp_internal.issue_cells(
        v_before, v_range.range_from, v_range.range_to, p_level, p_bcp_name, p_tool_name, p_release => p_release,
        p_fingerprint => p_fingerprint) c
    where c.errors > 0;
    v_first := cardinality(v_counted.fingerprints);
    -- Unless a state is asked for, only the most frequent need a look at their issue, and those as frequent as the last
    -- of them: if none of these is gone.
    if v_state is null and v_first > v_limit then
        v_frequent := array(
            select f
            from unnest(v_counted.fingerprints, v_counted.errors) as c (f, errors)
            where c.errors >= v_counted.errors[v_limit]);
        if (select count(*) from bcp_internal.issues(v_frequent)) >= v_limit then
            v_first := cardinality(v_frequent);
        end if;
    end if;
    return query
    with counted as (
        select c.*
        from unnest(
            v_counted.fingerprints[:v_first], v_counted.errors[:v_first], v_counted.errors_before[:v_first])
            as c (fingerprint, errors, errors_before)
    ), states as (
        select
            i.*, c.errors, c.errors_before, a.action, a.acted_at, a.acted_by, a.release, a.notes,
            bcp_internal.issue_state(
                i.fingerprint, i.first_seen, i.last_seen, v_range.range_from, a.action, a.acted_at, a.release) as state
        from counted c
        join bcp_internal.issues(array(select x.fingerprint from counted x)) i using (fingerprint)
        left join lateral (
            select *
            from bcp.issue_actions x
            where x.fingerprint = c.fingerprint
            order by x.action_id desc
            limit 1
        ) a on true
    )
    select
        s.fingerprint, s.state, s.level, s.bcp_name, s.tool_name, s.error_type, s.message, s.errors, s.errors_before,
        bcp_internal.relative_change(s.errors, s.errors_before), s.events, s.first_seen, s.last_seen,
        case when s.action = 'resolved' then s.acted_at end, case when s.action = 'resolved' then s.acted_by end,
        case when s.action = 'resolved' then s.release end, s.notes
    from states s
    where v_state is null or s.state = v_state
    order by s.errors desc, s.last_seen desc, s.fingerprint
    limit v_limit;
end
$func$;

comment on function bcp.error_issues is
    'What causes the errors? One row per issue, a group of errors with one cause, that has an error in the range; most '
    'frequent first, at most p_limit (1 to 10000). state is resolved after bcp.resolve_issue, and regressed if an '
    'error came after that in the fixed release or a later one. Otherwise it is new if the first error ever is in the '
    'range, else ongoing. change compares error_count with previous_count, the count of the period of the same length '
    'before: 0.5 means half as much again, null if there were none. level is the most severe ever, message the latest, '
    'as a sample; total_count, first_seen and last_seen are of all time. Reads aggregates, and for an issue that was '
    'resolved in a release also its errors since then. The range is [p_since, p_until), the last 24 hours by default. '
    'With p_release it counts errors of that release alone, from raw rows, but the state is that of the whole issue. '
    'p_fingerprint asks about one issue.';

grant execute on function bcp.error_issues to bcp_reader;

create or replace function bcp_internal.act_on_issue(p_fingerprint text, p_action text, p_notes text, p_release text)
returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
begin
    if not exists (select from bcp_internal.issues(array[p_fingerprint])) then
        raise exception using
            errcode = 'ZB002', message = 'there is no issue with this p_fingerprint',
            hint = 'select fingerprint, message from bcp.error_issues() lists them.';
    end if;
    insert into bcp.issue_actions (fingerprint, acted_at, action, release, notes, acted_by)
    values (p_fingerprint, v_now, p_action, nullif(p_release, ''), bcp_internal.anonymize_text(nullif(p_notes, '')),
        session_user);
    return v_now;
end
$func$;

comment on function bcp_internal.act_on_issue is
    'Records what was done about an issue and returns the time; ZB002 if there is no such issue.';

create or replace function bcp.resolve_issue(p_fingerprint text, p_notes text default null, p_release text default null)
returns timestamptz
language sql volatile
-- Only the owner may write text that the anonymiser has not seen.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.act_on_issue(p_fingerprint, 'resolved', p_notes, p_release)
$func$;

comment on function bcp.resolve_issue is
    'Says that an issue of bcp.error_issues is fixed, and returns the time of that: now. p_release is the release with '
    'the fix: then errors of earlier releases, or without a release, do not make the issue regress; without p_release '
    'any later error does. p_notes are masked. Called again, it replaces the time and the release. For bcp_admin. '
    'ZB002 if there is no such issue.';

grant execute on function bcp.resolve_issue to bcp_admin;

create or replace function bcp.reopen_issue(p_fingerprint text, p_notes text default null) returns timestamptz
language sql volatile
-- Only the owner may write text that the anonymiser has not seen.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.act_on_issue(p_fingerprint, 'reopened', p_notes, null)
$func$;

comment on function bcp.reopen_issue is
    'Undoes bcp.resolve_issue, and returns the time of that: now. The issue is new or ongoing again. p_notes are '
    'masked. For bcp_admin. ZB002 if there is no such issue.';

grant execute on function bcp.reopen_issue to bcp_admin;
