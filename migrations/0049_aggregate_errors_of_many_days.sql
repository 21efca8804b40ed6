-- Aggregates for questions about the errors of many days, made from bcp.errors_1d, which is never dropped. The first
-- refresh fills them; until then the days answer.

-- The rows of bcp.daily_error_summary, in its order, in which the columnstore reads them without a sort. Grouping and
-- sorting the days, which have a row for each issue, took nine tenths of the answer. A level is a number in it, because
-- TimescaleDB 2.23 cannot read in the order of an enum ("missing operator in opfamily").
create materialized view bcp.error_totals_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day'
) as
select
    public.time_bucket(interval '1 day', bucket) as bucket,
    case level when 'debug' then 1 when 'info' then 2 when 'warn' then 3 when 'error' then 4 when 'fatal' then 5
    end::smallint as level,
    bcp_name,
    tool_name,
    error_type,
    sum(errors)::bigint as errors,
    count(distinct fingerprint) as issues,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from bcp.errors_1d
group by 1, 2, 3, 4, 5
with no data;

alter materialized view bcp.error_totals_1d set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket desc, errors desc, level desc, bcp_name, tool_name, error_type',
    timescaledb.compress_chunk_interval = '30 days'
);

-- What bcp.errors_1d has, so that the columnstore adds it up by vectors: it groups by small integers but not by enums,
-- and states of sums of bigint are made anew for each group. A sum that integer does not hold would fail each refresh.
create materialized view bcp.errors_1d_packed
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day'
) as
select
    public.time_bucket(interval '1 day', bucket) as bucket,
    case level when 'debug' then 1 when 'info' then 2 when 'warn' then 3 when 'error' then 4 when 'fatal' then 5
    end::smallint as level,
    bcp_name,
    tool_name,
    error_type,
    fingerprint,
    least(sum(errors), 2147483647)::integer as errors,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from bcp.errors_1d
group by 1, 2, 3, 4, 5, 6
with no data;

alter materialized view bcp.errors_1d_packed set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, bcp_name, tool_name, error_type, fingerprint, level',
    timescaledb.compress_chunk_interval = '30 days'
);

-- Months spare a question about a quarter most of its days.
create materialized view bcp.errors_1mo
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '3650 days'
) as
select
    public.time_bucket(interval '1 month', bucket) as bucket,
    level,
    bcp_name,
    tool_name,
    error_type,
    fingerprint,
    sum(errors)::bigint as errors,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from bcp.errors_1d
group by 1, 2, 3, 4, 5, 6
with no data;

do $block$
declare
    v_view record;
    v_column record;
begin
    for v_view in
        select * from (values
            ('error_totals_1d', 'Errors per day by level, tool and type.'),
            ('errors_1d_packed', 'Errors per day by level, tool, type and group, in types that are added up fast.'),
            ('errors_1mo', 'Errors per month by level, tool, type and group.')) as v (name, says)
    loop
        execute pg_catalog.format('comment on view bcp.%I is %L', v_view.name, v_view.says);
        for v_column in
            select c.* from (values
                ('bucket', 'Start of the bucket, UTC.'),
                ('level', case v_view.name when 'errors_1mo' then 'Severity.'
                                           else 'Severity: 1 is debug, 5 is fatal.' end),
                ('bcp_name', 'Bundle of tools.'),
                ('tool_name', 'Tool, null where none was involved.'),
                ('error_type', 'Class of the error.'),
                ('fingerprint', 'Group of the error: see bcp.error_issues.'),
                ('errors', 'Errors in the bucket.'),
                ('issues', 'Number of groups that they belong to.'),
                ('first_seen', 'Time of the earliest.'),
                ('last_seen', 'Time of the latest.')) as c (name, says)
            join pg_catalog.pg_attribute a
                on a.attrelid = pg_catalog.format('bcp.%I', v_view.name)::regclass and a.attname = c.name
        loop
            execute pg_catalog.format('comment on column bcp.%I.%I is %L', v_view.name, v_column.name, v_column.says);
        end loop;
    end loop;
end
$block$;
