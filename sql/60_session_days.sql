-- Figures of sessions by day, kept ready for bcp.session_stats. Each statement that changes sessions notes their days
-- in its own transaction, and a noted day does not count: the sessions themselves answer for it, until the job has made
-- it anew. So the figures are right at every moment.

create or replace function bcp_internal.note_session_days() returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- Whether a day is ready is not looked up. It may become so while this transaction goes on, and a note that two
    -- batches share would make one wait for the other.
    case tg_op
        when 'INSERT' then
            insert into bcp_internal.changed_session_days
            select distinct date_trunc('day', n.started_at, 'UTC') from new_rows n;
        when 'UPDATE' then
            insert into bcp_internal.changed_session_days
            select date_trunc('day', n.started_at, 'UTC') from new_rows n
            union
            select date_trunc('day', o.started_at, 'UTC') from old_rows o;
        when 'DELETE' then
            insert into bcp_internal.changed_session_days
            select distinct date_trunc('day', o.started_at, 'UTC') from old_rows o;
        when 'TRUNCATE' then
            delete from bcp_internal.session_days;
    end case;
    return null;
end
$func$;

comment on function bcp_internal.note_session_days is
    'Notes the days on which sessions began that a statement has changed.';

create or replace trigger note_inserted after insert on bcp.user_sessions
    referencing new table as new_rows
    for each statement execute function bcp_internal.note_session_days();
create or replace trigger note_updated after update on bcp.user_sessions
    referencing old table as old_rows new table as new_rows
    for each statement execute function bcp_internal.note_session_days();
create or replace trigger note_deleted after delete on bcp.user_sessions
    referencing old table as old_rows
    for each statement execute function bcp_internal.note_session_days();
create or replace trigger note_truncated after truncate on bcp.user_sessions
    for each statement execute function bcp_internal.note_session_days();

create or replace function bcp_internal.refresh_session_days() returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_today constant timestamptz := date_trunc('day', bcp_internal.now(), 'UTC');
    v_changed timestamptz[];
    v_first timestamptz;
    v_days timestamptz[];
begin
    -- One refresh at a time. Readers do not wait for it, and neither does ingest.
    lock table bcp_internal.session_days in share row exclusive mode;
    with noted as (
        delete from bcp_internal.changed_session_days returning day
    )
    select array_agg(distinct day) into v_changed from noted;
    -- From here on each statement sees what the notes were about. A change that commits later has a note of its own,
    -- which stays.
    delete from bcp_internal.session_days s where s.day = any (v_changed);
    -- From 1900 on, where every range that is asked for begins at the earliest: by hand, any time can be written.
    select least(min(s.day), (select min(c) from unnest(v_changed) c where c >= '1900-01-01Z')) into v_first
    from bcp_internal.session_days s;
    if not exists (select from bcp_internal.session_days) then
        select date_trunc('day', min(u.started_at), 'UTC') into v_first
        from bcp.user_sessions u
        where u.started_at >= '1900-01-01Z';
    end if;
    v_days := array(
        select d.day
        from generate_series(v_first, v_today - interval '24 hours', interval '24 hours') as d (day)
        where not exists (select from bcp_internal.session_days s where s.day = d.day)
        order by 1);
    if v_days = '{}' then
        return 0;
    end if;
    insert into bcp_internal.session_days
    select
        d.day, f.client_name, coalesce(f.session_count, 0), coalesce(f.user_count, 0), coalesce(f.ended_count, 0),
        coalesce(f.call_count, 0), coalesce(f.error_count, 0), f.calls_per_session, coalesce(f.single_call_count, 0),
        f.avg_duration_ms, f.p50_duration_ms, f.p95_duration_ms, f.max_duration_ms, coalesce(f.last_activity, d.day)
    from unnest(v_days) as d (day)
    left join bcp_internal.session_figures(format(
        $query$
            select date_trunc('day', started_at, 'UTC') as bucket, *
            from bcp.user_sessions
            where last_activity >= %1$L and started_at >= %1$L and started_at < %2$L
              and date_trunc('day', started_at, 'UTC') = any (%3$L)
        $query$, v_days[1], v_days[cardinality(v_days)] + interval '24 hours', v_days)) f on f.bucket = d.day;
    return cardinality(v_days);
end
$func$;

comment on function bcp_internal.refresh_session_days is
    'Makes the figures of days of sessions that are over and have none, or whose sessions have changed, and returns of '
    'how many days.';
