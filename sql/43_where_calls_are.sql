-- Where a question for single calls has to look: spans of time, latest first, without those in which an aggregate says
-- that no such call is. What an aggregate has not seen yet is looked through.

create or replace function bcp_internal.latest_first(p_since timestamptz, p_until timestamptz)
returns table (range_from timestamptz, range_to timestamptz)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
-- The setting has the same reason as that of bcp_internal.checked_range.
set plan_cache_mode = auto
as $func$
begin
    -- Between days of UTC, where most chunks end: the calls of a chunk are looked through in one span, and one whose
    -- rows have indexes does not share a plan with those of the columnstore.
    return query
    select greatest(p_since, s.first), s.last
    from (values
        (interval '0', interval '1 day'), ('1 day', '4 days'), ('4 days', '16 days'), ('16 days', '64 days'),
        ('64 days', null)
    ) as d (after, upto)
    cross join lateral (
        select date_trunc('day', p_until - d.upto, 'UTC'),
               case when d.after = interval '0' then p_until else date_trunc('day', p_until - d.after, 'UTC') end
    ) as s (first, last)
    where s.last > p_since
    order by d.after;
end
$func$;

comment on function bcp_internal.latest_first is
    'Splits [p_since, p_until) into up to five spans, latest first, each longer than the one before. Planning takes '
    'about 0.15 ms per chunk in the columnstore and a third of that per other chunk. A question for the latest few '
    'rows asks span by span, and mostly finds them in the first.';

grant execute on function bcp_internal.latest_first to bcp_reader;

create or replace function bcp_internal.looked_up(p_aggregate text, p_ranges tstzmultirange) returns tstzmultirange
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_changed constant tstzmultirange := bcp_internal.invalidated(p_aggregate) * p_ranges;
begin
    return (
        select bcp_internal.in_buckets(
            -- Each gap costs a scan, so many small gaps become whole days.
            p_ranges - bcp_internal.in_buckets(
                v_changed,
                case when (select count(*) from unnest(v_changed)) > 20 then interval '1 day' else a.bucket end,
                p_widened => true),
            a.bucket)
        from bcp_internal.aggregates() a
        where a.name = p_aggregate);
end
$func$;

comment on function bcp_internal.looked_up is
    'The whole buckets within the ranges for which an aggregate says where calls are. Whatever has changed since, at '
    'any age, is for raw rows: unlike bcp_internal.covered, which counts calls whose rows are gone.';

grant execute on function bcp_internal.looked_up to bcp_reader;

create or replace function bcp_internal.spans_of_calls(
    p_since timestamptz, p_until timestamptz, p_event_id text default null)
returns table (range_from timestamptz, range_to timestamptz)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO'
-- Compiling takes longer than running.
set jit = off
as $func$
declare
    v_hash constant bigint := uuid_hash_extended(bcp_internal.event_uuid(p_event_id), 0);
    v_ranges tstzmultirange;
    v_known tstzmultirange;
    v_hours tstzmultirange;
begin
    if v_hash is null then
        return query select * from bcp_internal.latest_first(p_since, p_until);
        return;
    end if;
    v_ranges := tstzmultirange(tstzrange(p_since, greatest(p_since, p_until)));
    v_known := bcp_internal.looked_up('call_ids_1h', bcp_internal.finite(p_since, p_until));
    if not isempty(v_known) then
        execute format(
            'select range_agg(tstzrange(bucket, bucket + interval ''1 hour'')) from bcp.call_ids_1h'
            ' where slot = $1 and %s and position($2 in ids) > 0', bcp_internal.within('bucket', v_known))
        into v_hours
        using (v_hash & 15)::smallint, substr(int8send(v_hash), 1, 3);
        v_ranges := v_ranges - v_known + coalesce(v_hours, '{}');
    end if;
    return query select lower(r), upper(r) from unnest(v_ranges) r order by 1 desc;
end
$func$;

comment on function bcp_internal.spans_of_calls is
    'Where to look for calls of [p_since, p_until), latest first. For the call of an event id these are the hours in '
    'which bcp.call_ids_1h may have it, and what that has not seen; without one as bcp_internal.latest_first.';

grant execute on function bcp_internal.spans_of_calls to bcp_reader;

create or replace function bcp_internal.spans_of_parameters(
    p_since timestamptz, p_until timestamptz, p_contains jsonb)
returns table (range_from timestamptz, range_to timestamptz, bcp_names text[])
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- Compiling takes longer than running.
set jit = off
as $func$
declare
    v_hashes smallint[];
    v_known tstzmultirange := '{}';
begin
    if jsonb_typeof(p_contains) = 'object' then
        select array_agg(distinct (hashtextextended(key, 0) & 1023)::smallint) into v_hashes
        from jsonb_object_keys(p_contains) as key;
    end if;
    if v_hashes is not null then
        v_known := bcp_internal.looked_up(
            'parameter_keys_1d',
            bcp_internal.in_buckets(bcp_internal.finite(p_since, p_until), interval '1 day', p_widened => true));
    end if;
    return query
        with parts as (
            select lower(r) as since, upper(r) as until, k.is_known
            from bcp_internal.latest_first(p_since, p_until) s
            cross join lateral (values
                (true, tstzmultirange(tstzrange(s.range_from, s.range_to)) * v_known),
                (false, tstzmultirange(tstzrange(s.range_from, s.range_to)) - v_known)) as k (is_known, ranges)
            cross join lateral unnest(k.ranges) as r
        )
        select p.since, p.until, n.bcp_names
        from parts p
        left join lateral (
            select array_agg(b.bcp_name) as bcp_names
            from (
                select a.bcp_name
                from bcp.parameter_keys_1d a
                where p.is_known
                  and a.key_hash = any (v_hashes)
                  and a.bucket > p.since - interval '24 hours'
                  and a.bucket < p.until
                group by a.bcp_name
                having count(distinct a.key_hash) = cardinality(v_hashes)
            ) b
        ) n on true
        where not p.is_known or n.bcp_names is not null
        order by p.since desc;
end
$func$;

comment on function bcp_internal.spans_of_parameters is
    'Where to look for calls of [p_since, p_until) whose parameters contain p_contains, latest first: as '
    'bcp_internal.latest_first, and in which bundles, as bcp.parameter_keys_1d has its keys. bcp_names is null where '
    'any bundle may have them.';

grant execute on function bcp_internal.spans_of_parameters to bcp_reader;
