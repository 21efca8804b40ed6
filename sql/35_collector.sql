-- Collectors: what they report about themselves, and the ledger of everything that was sent.

create or replace function bcp.report_collector(
    p_source text, p_instance uuid, p_recorded bigint default 0, p_sent bigint default 0, p_spooled bigint default 0,
    p_spooled_bytes bigint default 0, p_dropped bigint default 0, p_last_error text default null,
    p_started_at timestamptz default null, p_last_error_at timestamptz default null)
returns timestamptz
language plpgsql volatile
-- The writer role may insert into no table.
security definer
set search_path = pg_catalog, pg_temp
-- With a caller's setting of off, PostgreSQL would read the strings in these functions in another way than they are
-- written.
set standard_conforming_strings = on
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_source text;
begin
    if length(p_source) > 500 or p_source ~ '^\s*$' then
        raise exception using errcode = 'ZB002', message = 'source is empty or longer than 500 characters';
    elsif p_last_error !~ '^[A-Za-z_][A-Za-z0-9_.]{0,200}( [A-Z0-9]{1,20})?$' then
        -- A message could tell about people or secrets that no rule finds.
        raise exception using errcode = 'ZB002', message = 'last_error is not a class and a code',
            hint = 'Such as ReadOnlySqlTransaction 25006.';
    elsif p_source is null or p_instance is null
        or coalesce(least(p_recorded, p_sent, p_spooled, p_spooled_bytes, p_dropped), 0) < 0
        or coalesce(greatest(p_recorded, p_sent, p_spooled, p_spooled_bytes, p_dropped), 0) > 1000000000000000
    then
        raise exception using
            errcode = 'ZB002', message = 'source or instance is null, or a count is negative or over 10^15';
    end if;
    perform bcp_internal.check_floods();
    perform bcp_internal.note_names('collector', array[p_instance::text]);
    v_source := bcp_internal.source_name(p_source);
    insert into bcp.collector_reports as r (
        instance, source, recorded, sent, spooled, spooled_bytes, dropped, last_error, last_error_at, started_at,
        reported_at)
    values (
        p_instance, v_source, coalesce(p_recorded, 0), coalesce(p_sent, 0), coalesce(p_spooled, 0),
        coalesce(p_spooled_bytes, 0), coalesce(p_dropped, 0), bcp_internal.anonymize_text(p_last_error),
        bcp_internal.checked_time('p_last_error_at', p_last_error_at),
        coalesce(bcp_internal.checked_time('p_started_at', p_started_at), v_now), v_now)
    on conflict (instance) do update set
        source = excluded.source, recorded = excluded.recorded, sent = excluded.sent, spooled = excluded.spooled,
        spooled_bytes = excluded.spooled_bytes, dropped = excluded.dropped, last_error = excluded.last_error,
        last_error_at = excluded.last_error_at,
        started_at = coalesce(p_started_at, r.started_at), reported_at = excluded.reported_at
        where r.sent_by = excluded.sent_by;
    if not found then
        raise exception using errcode = 'ZB002', message = 'instance is that of a collector of another role',
            hint = 'Use a new UUID for each collector.';
    end if;
    -- Each short-lived program leaves a row. Keep rows only for as long as the ledger looks back.
    delete from bcp.collector_reports r
    using bcp.data_retention_policies p
    where p.table_name = 'ingest_batches' and p.cleanup_enabled
      and r.source = v_source and r.sent_by = session_user
      and r.reported_at < v_now - p.retention_days * interval '1 day';
    return v_now;
end
$func$;

comment on function bcp.report_collector(
    text, uuid, bigint, bigint, bigint, bigint, bigint, text, timestamptz, timestamptz) is
    'Notes what a collector has done since it began, in events, and returns the time. source and last_error are '
    'masked. last_error is a class and a code, never a message, and may be over by now; p_last_error_at is when it '
    'happened. ZB002 where an argument is out of bounds, or the instance belongs to another role. Reports of the same '
    'role and source that are older than bcp.ingest_batches may be are removed.';

grant execute on function bcp.report_collector to bcp_writer;

create or replace view bcp.ingest_ledger as
select
    hour,
    source,
    coalesce(b.accepted, 0) as accepted,
    coalesce(b.stored, 0) as stored,
    coalesce(b.duplicates, 0) as duplicates,
    coalesce(b.rejected, 0) as rejected,
    coalesce(c.spooled, 0) as spooled,
    coalesce(c.spooled_bytes, 0) as spooled_bytes,
    coalesce(c.dropped, 0) as dropped,
    sent_by,
    coalesce(b.repaired, 0) as repaired
from (
    select
        public.time_bucket('1 hour', received_at) as hour, source, sent_by, sum(accepted)::bigint as accepted,
        sum(stored)::bigint as stored, sum(duplicates)::bigint as duplicates, sum(rejected)::bigint as rejected,
        sum(repaired)::bigint as repaired
    from bcp.ingest_batches
    group by 1, 2, 3
) as b
full join (
    select
        public.time_bucket('1 hour', reported_at) as hour, source, sent_by,
        least(sum(spooled), 9e18)::bigint as spooled,
        least(sum(spooled_bytes), 9e18)::bigint as spooled_bytes, least(sum(dropped), 9e18)::bigint as dropped
    from bcp.collector_reports
    group by 1, 2, 3
) as c using (hour, source, sent_by);

comment on view bcp.ingest_ledger is
    'What came in, by hour, source and role: accepted = stored + duplicates + rejected. Beside it what the collectors '
    'of the source said in their latest report, in the hour of that report.';

comment on column bcp.ingest_ledger.hour is 'Hour in which the events came in, UTC.';

comment on column bcp.ingest_ledger.source is 'Who sent them.';

comment on column bcp.ingest_ledger.sent_by is 'Role that was logged in; the source is what that role said.';

comment on column bcp.ingest_ledger.accepted is 'Events taken in: the sum of stored, duplicates and rejected.';

comment on column bcp.ingest_ledger.stored is 'Events that became rows.';

comment on column bcp.ingest_ledger.duplicates is 'Events that had been taken in before.';

comment on column bcp.ingest_ledger.rejected is 'Events in bcp.rejected_events.';

comment on column bcp.ingest_ledger.spooled is
    'Events that waited on the sender''s disk when a collector last reported, in the hour of that report.';

comment on column bcp.ingest_ledger.spooled_bytes is 'Size of these spools, in bytes.';

comment on column bcp.ingest_ledger.dropped is
    'Events that these collectors have lost since they began, for lack of room.';

comment on column bcp.ingest_ledger.repaired is
    'Events taken in with bad values that were converted, cut or taken out: attributes._repaired of each names its '
    'fields.';

grant select on bcp.ingest_ledger to bcp_reader;
