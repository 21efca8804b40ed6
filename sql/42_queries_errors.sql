-- Questions about errors.

create or replace function bcp_internal.error_cells(
    p_since timestamptz, p_until timestamptz, p_level bcp.error_level_enum, p_bcp_name text, p_tool_name text)
returns table (
    level bcp.error_level_enum, bcp_name text, tool_name text, error_type text, fingerprint text, errors bigint,
    first_seen timestamptz, last_seen timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
-- As in 40_query_helpers.sql.
set plan_cache_mode = force_custom_plan
as $func$
declare
    v record;
begin
    select * into v from bcp_internal.cover(
        p_since, p_until, interval '1 day', bcp_internal.watermark('errors_1h'), bcp_internal.watermark('errors_1d'));
    return query
    with pieces as (
        select e.level, e.bcp_name, e.tool_name, e.error_type, e.fingerprint, e.errors, e.first_seen, e.last_seen
        from bcp.errors_1d e
        where e.bucket >= v.days_from and e.bucket < v.days_to
        union all
        select e.level, e.bcp_name, e.tool_name, e.error_type, e.fingerprint, e.errors, e.first_seen, e.last_seen
        from bcp.errors_1h e
        where e.bucket >= v.hours_from and e.bucket < v.days_from
        union all
        select e.level, e.bcp_name, e.tool_name, e.error_type, e.fingerprint, e.errors, e.first_seen, e.last_seen
        from bcp.errors_1h e
        where e.bucket >= v.days_to and e.bucket < v.hours_to
        union all
        select l.level, l.bcp_name, l.tool_name, l.error_type, l.fingerprint, 1, l."timestamp", l."timestamp"
        from bcp.error_logs l
        where l."timestamp" >= p_since and l."timestamp" < v.hours_from
        union all
        select l.level, l.bcp_name, l.tool_name, l.error_type, l.fingerprint, 1, l."timestamp", l."timestamp"
        from bcp.error_logs l
        where l."timestamp" >= v.hours_to and l."timestamp" < p_until
    )
    select p.level, p.bcp_name, p.tool_name, p.error_type, p.fingerprint, sum(p.errors)::bigint, min(p.first_seen), max(p.last_seen)
    from pieces p
    where (p_level is null or p.level = p_level)
      and (p_bcp_name is null or p.bcp_name = p_bcp_name)
      and (p_tool_name is null or p.tool_name = p_tool_name)
    group by 1, 2, 3, 4, 5;
end
$func$;

comment on function bcp_internal.error_cells(timestamptz, timestamptz, bcp.error_level_enum, text, text) is
    'Errors of a range by level, bundle, tool, type and issue.';

create or replace function bcp.error_analysis(
    p_since timestamptz default null, p_until timestamptz default null, p_level bcp.error_level_enum default null,
    p_bcp_name text default null, p_tool_name text default null)
returns table (
    level bcp.error_level_enum, bcp_name text, tool_name text, error_type text, error_count bigint,
    share double precision, issue_count bigint, first_seen timestamptz, last_seen timestamptz, sample_message text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    with cells as materialized (
        select c.*
        from bcp_internal.checked_range(p_since, p_until) r
        cross join lateral bcp_internal.error_cells(r.range_from, r.range_to, p_level, p_bcp_name, p_tool_name) c
    ), grouped as (
        select
            level, bcp_name, tool_name, error_type, sum(errors)::bigint as errors, count(distinct fingerprint) as issues,
            min(first_seen) as first_seen, max(last_seen) as last_seen,
            (array_agg(fingerprint order by errors desc, fingerprint))[1] as top_issue
        from cells
        group by 1, 2, 3, 4
    )
    select
        g.level, g.bcp_name, g.tool_name, g.error_type, g.errors, g.errors / sum(g.errors) over ()::double precision,
        g.issues, g.first_seen, g.last_seen, i.message
    from grouped g
    left join bcp.error_issues i on i.fingerprint = g.top_issue
    order by g.errors desc, g.level desc, g.bcp_name, g.tool_name, g.error_type
$func$;

comment on function bcp.error_analysis(timestamptz, timestamptz, bcp.error_level_enum, text, text) is
    'What fails, where, and how often? One row a level, tool and type, most frequent first; share is of all the errors in the answer, from 0 to 1; sample_message is the latest of its most frequent issue. The range is [p_since, p_until), the last 24 hours by default.';

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

comment on column bcp.daily_error_summary.day is 'Start of the day.';

comment on column bcp.daily_error_summary.level is 'Severity.';

comment on column bcp.daily_error_summary.bcp_name is 'Bundle of tools.';

comment on column bcp.daily_error_summary.tool_name is 'Tool, null where none was involved.';

comment on column bcp.daily_error_summary.error_type is 'Class of the error.';

comment on column bcp.daily_error_summary.total_errors is 'Errors of the day.';

comment on column bcp.daily_error_summary.issues is 'How many issues they belong to.';

comment on column bcp.daily_error_summary.first_seen is 'Time of the earliest.';

comment on column bcp.daily_error_summary.last_seen is 'Time of the latest.';

create or replace function bcp.daily_error_summary(
    p_since timestamptz default null, p_until timestamptz default null, p_level bcp.error_level_enum default null,
    p_bcp_name text default null, p_tool_name text default null)
returns setof bcp.daily_error_summary
language sql stable
set search_path = pg_catalog, pg_temp
-- As above.
set plan_cache_mode = force_custom_plan
as $func$
    select d.*
    from bcp_internal.checked_range(p_since, p_until) r
    cross join lateral (
        select *
        from bcp.daily_error_summary v
        where v.day >= date_trunc('day', r.range_from, 'UTC')
          and v.day < r.range_to
          and (p_level is null or v.level = p_level)
          and (p_bcp_name is null or v.bcp_name = p_bcp_name)
          and (p_tool_name is null or v.tool_name = p_tool_name)
    ) d
    order by d.day desc, d.total_errors desc, d.level desc, d.bcp_name, d.tool_name, d.error_type
$func$;

comment on function bcp.daily_error_summary(timestamptz, timestamptz, bcp.error_level_enum, text, text) is
    'Rows of the view bcp.daily_error_summary whose day overlaps [p_since, p_until), the last 24 hours by default; latest first.';
