-- Errors of a range, added up: what answers about errors are made from.

create or replace function bcp_internal.error_pieces(
    p_since timestamptz, p_until timestamptz, p_level bcp.error_level_enum, p_bcp_name text, p_tool_name text,
    p_release text, p_fingerprint text, p_by_day boolean default false, p_cuts timestamptz[] default null)
returns table (relation text, time_column text, condition text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    return query
        select p.relation, c.time_column,
               bcp_internal.within(c.time_column, p.ranges)
                   || coalesce(
                       ' and level = ' || case p.relation
                           when 'errors_1d_packed'
                           then array_position(enum_range(null::bcp.error_level_enum), p_level)::text
                           else quote_literal(p_level)
                       end, '')
                   || bcp_internal.condition_on('bcp_name', p_bcp_name)
                   || bcp_internal.condition_on('tool_name', p_tool_name)
                   || bcp_internal.condition_on('release', p_release)
                   || coalesce(' and fingerprint = ' || quote_literal(p_fingerprint), '')
        from bcp_internal.pieces(
            'errors',
            case
                -- Aggregates have no release.
                when p_release is not null then '{}'
                when p_by_day then '{1d_packed,1d,1h}'
                else '{1mo,1d_packed,1d,1h}'
            end::text[],
            p_since, p_until, p_cuts => p_cuts) p
        cross join lateral (
            select case p.relation when 'error_logs' then 'timestamp' else 'bucket' end
        ) as c (time_column);
end
$func$;

comment on function bcp_internal.error_pieces is
    'The relations that answer for the errors of a range, as bcp_internal.pieces has them, and the condition for each: '
    'its ranges, and what the errors must have.';

grant execute on function bcp_internal.error_pieces to bcp_reader;

create or replace function bcp_internal.error_cells(
    p_since timestamptz, p_until timestamptz, p_level bcp.error_level_enum, p_bcp_name text, p_tool_name text,
    p_by_day boolean default false, p_release text default null, p_fingerprint text default null)
returns table (
    day timestamptz, level bcp.error_level_enum, bcp_name text, tool_name text, error_type text, fingerprint text,
    errors bigint, first_seen timestamptz, last_seen timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set enable_sort = off
as $func$
declare
    v_width constant interval := case when p_by_day then interval '1 day' end;
    v_scans text;
begin
    select string_agg(
        case r.relation
            when 'errors_1d_packed' then format(
                -- Grouping right above the scan is vectorised.
                'select %sday, (%L::bcp.error_level_enum[])[level] as level, bcp_name, tool_name, error_type,'
                ' fingerprint, errors, first_seen, last_seen from (select %s level, bcp_name, tool_name, error_type,'
                ' fingerprint, sum(errors) as errors, min(first_seen) as first_seen, max(last_seen) as last_seen'
                ' from bcp.%I where %s group by %s level, bcp_name, tool_name, error_type, fingerprint) scan',
                case when not p_by_day then 'null::timestamptz as ' end, enum_range(null::bcp.error_level_enum),
                case when p_by_day then b.bucket || ' as day,' end, r.relation, r.condition,
                case when p_by_day then '1,' end)
            else format(
                'select %s as day, level, bcp_name, tool_name, error_type, fingerprint, %s from bcp.%I where %s',
                b.bucket,
                case r.relation
                    when 'error_logs' then '1 as errors, "timestamp" as first_seen, "timestamp" as last_seen'
                    else 'errors, first_seen, last_seen'
                end,
                r.relation, r.condition)
        end, ' union all ')
    into v_scans
    from bcp_internal.error_pieces(
        p_since, p_until, p_level, p_bcp_name, p_tool_name, p_release, p_fingerprint, p_by_day => p_by_day) r
    cross join lateral bcp_internal.bucket_of(r.time_column, v_width, 'UTC', interval '0') as b (bucket);
    if v_scans is null then
        return;
    end if;
    return query execute format(
        'select e.day, e.level, e.bcp_name, e.tool_name, e.error_type, e.fingerprint, sum(e.errors)::bigint,'
        ' min(e.first_seen), max(e.last_seen) from (%s) e group by 1, 2, 3, 4, 5, 6', v_scans);
end
$func$;

comment on function bcp_internal.error_cells is
    'Errors of a range by level, bundle, tool, type and issue, and by UTC day if p_by_day is true; of one issue if '
    'p_fingerprint is given. With a release all rows come from the raw table.';

grant execute on function bcp_internal.error_cells to bcp_reader;

create or replace function bcp_internal.issue_cells(
    p_before timestamptz, p_since timestamptz, p_until timestamptz, p_level bcp.error_level_enum, p_bcp_name text,
    p_tool_name text, p_release text default null, p_fingerprint text default null)
returns table (fingerprint text, errors bigint, errors_before bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- The settings have the same reason as those of bcp_internal.usage_cells.
set jit = off
set enable_sort = off
-- Two months of aggregates take 10 ms, and starting workers for them takes 15.
set parallel_setup_cost = 20000
as $func$
declare
    v_scans text;
begin
    select string_agg(
        format(
            'select fingerprint, errors::double precision as errors, errors_before::double precision as errors_before'
            ' from (select fingerprint, sum(%1$s) filter (where %2$I >= %3$L) as errors,'
            ' sum(%1$s) filter (where %2$I < %3$L) as errors_before'
            ' from bcp.%4$I where %5$s group by fingerprint) scan',
            case r.relation when 'error_logs' then '1' else 'errors' end, r.time_column, p_since, r.relation,
            r.condition),
        ' union all ')
    into v_scans
    from bcp_internal.error_pieces(
        p_before, p_until, p_level, p_bcp_name, p_tool_name, p_release, p_fingerprint, p_cuts => array[p_since]) r;
    if v_scans is null then
        return;
    end if;
    return query execute format(
        'select e.fingerprint, coalesce(sum(e.errors), 0)::bigint, coalesce(sum(e.errors_before), 0)::bigint'
        ' from (%s) e group by 1', v_scans);
end
$func$;

comment on function bcp_internal.issue_cells is
    'Errors by issue of a range, and of the time from p_before up to it. Filters work as in bcp_internal.error_cells.';

grant execute on function bcp_internal.issue_cells to bcp_reader;

create or replace function bcp_internal.ready_error_days(p_since timestamptz, p_until timestamptz)
returns tstzmultirange
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.covered('error_totals_1d', bcp_internal.finite(p_since, p_until))
$func$;

comment on function bcp_internal.ready_error_days is
    'The days of a range of which bcp.error_totals_1d has the rows of bcp.daily_error_summary.';

grant execute on function bcp_internal.ready_error_days to bcp_reader;
