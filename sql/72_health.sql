-- Is the store itself well?

create or replace function bcp_internal.anonymizer_works() returns boolean
language plpgsql stable
-- Roles that may call this must not read the keys of the anonymiser.
security definer
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_masked jsonb;
begin
    v_masked := bcp_internal.anonymize_json('{"note": "write to probe@example.com", "password": "hunter2"}');
    return v_masked ->> 'password' = '[REDACTED]' and strpos(v_masked ->> 'note', 'probe@') = 0;
exception
    when others then
        return false;
end
$func$;

comment on function bcp_internal.anonymizer_works is
    'Whether the anonymiser masks a known e-mail address and a known password.';

grant execute on function bcp_internal.anonymizer_works to bcp_reader;

create or replace function bcp_internal.logged_values() returns table (setting text, safe text)
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    -- docs/how-to/anonymise.md, "The server's log", says how each of these brings values into the log. The values are
    -- those of the session that asks. A module that is not loaded, such as auto_explain, has no setting.
    select s.name, s.safe
    from (
        values
            (1, 'log_min_error_statement', '{panic}'::text[], 'panic'),
            (2, 'log_parameter_max_length_on_error', '{0}', '0'),
            (3, 'log_statement', '{none,ddl}', 'none'),
            (4, 'log_min_duration_statement', '{-1}', '-1'),
            (5, 'log_min_duration_sample', '{-1}', '-1'),
            (6, 'log_transaction_sample_rate', '{0}', '0'),
            (7, 'auto_explain.log_min_duration', '{-1}', '-1'),
            (8, 'debug_print_parse', '{off}', 'off'),
            (9, 'debug_print_rewritten', '{off}', 'off'),
            (10, 'debug_print_plan', '{off}', 'off')
    ) as s (ordinal, name, harmless, safe)
    where nullif(current_setting(s.name, true), '') <> all (s.harmless)
      -- Senders that use parameters, as the Python package does, are safe without these three.
      and not (s.ordinal between 4 and 6 and current_setting('log_parameter_max_length') = '0')
    order by s.ordinal
$func$;

comment on function bcp_internal.logged_values is
    'Settings by which the server may log statements with their values, and the safe value of each.';

grant execute on function bcp_internal.logged_values to bcp_reader;

create or replace function bcp_internal.ingest_checks()
returns table (ordinal integer, check_name text, status text, value text, detail text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    with day as materialized (
        select coalesce(sum(accepted), 0) as accepted, coalesce(sum(stored), 0) as stored,
               coalesce(sum(duplicates), 0) as duplicates, coalesce(sum(rejected), 0) as rejected,
               coalesce(sum(repaired), 0) as repaired, max(received_at) as last_received
        from bcp.ingest_batches
        where received_at >= bcp_internal.now() - interval '24 hours'
    )
    select 2, 'ingest', case when d.last_received is null then 'warn' else 'ok' end, d.accepted::text,
           case
               when d.last_received is null then 'nothing came in within 24 hours'
               else format(
                   '%s stored, %s duplicates within 24 hours; latest at %s', d.stored, d.duplicates, d.last_received)
           end
    from day d
    union all
    select 3, 'ledger', case when d.accepted = d.stored + d.duplicates + d.rejected then 'ok' else 'fail' end,
           (d.accepted - d.stored - d.duplicates - d.rejected)::text,
           'accepted - stored - duplicates - rejected within 24 hours'
    from day d
    union all
    select 4, 'rejected',
           case when d.rejected = 0 then 'ok' when d.rejected <= 0.01 * d.accepted then 'warn' else 'fail' end,
           d.rejected::text,
           coalesce((
               select 'mostly: ' || r.reason
               from bcp.rejected_events r
               where r.rejected_at >= bcp_internal.now() - interval '24 hours'
               group by r.reason
               order by count(*) desc, r.reason
               limit 1), 'nothing was rejected within 24 hours')
    from day d
    union all
    select 4, 'repaired', case when d.repaired = 0 then 'ok' else 'warn' end, d.repaired::text,
           case
               when d.repaired = 0 then 'no event that came in within 24 hours had to be repaired'
               else 'events within 24 hours with a bad value that was converted, cut or taken out:'
                   ' attributes._repaired names the fields'
           end
    from day d
    union all
    select 5, 'open calls', case when count(*) = 0 then 'ok' else 'warn' end, count(*)::text,
           'calls that began over an hour ago and have not ended: bcp.open_tool_calls'
    from bcp.open_tool_calls
    where started_at < bcp_internal.now() - interval '1 hour'
    union all
    select 10, 'sessions', case when count(*) = 0 then 'ok' else 'warn' end, count(*)::text,
           coalesce(
               'clients with a new session per call, in bcp.degenerate_sessions: ' || string_agg(
                   coalesce(d.client_name, 'those without a name'), ', ' order by d.calls desc, d.client_name),
               'no client sends a new session with each call')
    from bcp.degenerate_sessions d
    union all
    select 17, 'floods', case when count(*) = 0 then 'ok' else 'fail' end, count(*)::text,
           coalesce(
               'roles that are refused: ' || string_agg(
                   format('%s (%s different of kind %s within an hour)', f.sent_by, f.names, f.kind), ', '
                   order by f.sent_by, f.kind),
               'no role sent more different names than the settings allow')
    from bcp.floods f
    union all
    select 18, 'no session', 'ok', count(*) filter (where l.session_id is null)::text,
           format(
               'of %s calls within the last hour: they name no session, and no user from whom one could be found',
               count(*))
    from bcp.tool_usage_logs l
    where l.start_time >= bcp_internal.now() - interval '1 hour' and l.operation <> 'tools/list'
$func$;

comment on function bcp_internal.ingest_checks is
    'Checks of bcp.health, with their place in its answer: does everything that senders send come in?';

grant execute on function bcp_internal.ingest_checks to bcp_reader;

create or replace function bcp_internal.store_checks()
returns table (ordinal integer, check_name text, status text, value text, detail text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select 6, 'anonymiser', case when bcp_internal.anonymizer_works() then 'ok' else 'fail' end, '',
           'masks a known e-mail address and a known password'
    union all
    select 8, 'size', 'ok',
           pg_size_pretty(sum(public.hypertable_size(format('%I.%I', hypertable_schema, hypertable_name)::regclass))),
           format('%s hypertables, %s chunks', count(*), sum(num_chunks))
    from timescaledb_information.hypertables
    where hypertable_schema = 'bcp'
    union all
    select 9, 'retention', case when count(*) = 0 then 'ok' else 'warn' end, count(*)::text,
           coalesce(
               'chunks past their retention are kept; bcp.cleanup_log has each. '
                   || string_agg(distinct k.reason, '; '),
               'no chunk past its retention is kept')
    from (
        select
            case
                when l.action = 'kept' and not starts_with(l.reason, 'restored') then l.reason
                -- The log says nothing if cleanup does not run.
                when c.due_since < bcp_internal.now() - interval '1 day' then
                    'cleanup has not come to it for a day or more'
            end as reason
        from bcp_internal.old_chunks() c
        left join lateral (
            select l.action, l.reason
            from bcp.cleanup_log l
            where l.table_name = c.table_name and l.range_start = c.range_start
            order by l.logged_at desc
            limit 1
        ) l on true
    ) k
    where k.reason is not null
    union all
    select 12, 'packs', 'ok', count(*) filter (where p.enabled)::text,
           string_agg(p.name || case when p.enabled then ' is on' else ' is off' end, ', ' order by p.name)
    from bcp.anonymization_packs p
    union all
    select 14, 'times', case when count(*) = 0 then 'ok' else 'warn' end, count(*)::text,
           coalesce(
               'chunks outside the years 1 to 9999, which no command goes over, of '
                   || string_agg(distinct c.hypertable_name, ', ')
                   || '; as the owner: select drop_chunks(''bcp.<table>'', older_than => timestamptz ''0001-01-01Z''),'
                   ' and again with newer_than => timestamptz ''10000-01-01Z''',
               'all rows are of the years 1 to 9999')
    from timescaledb_information.chunks c
    where c.hypertable_schema = 'bcp' and not tstzrange(c.range_start, c.range_end) <@ bcp_internal.known_years()
    union all
    select 16, 'alert rules', case when count(r.last_error) = 0 then 'ok' else 'fail' end, count(r.last_error)::text,
           coalesce(
               'could not be evaluated: ' || string_agg(
                   format('%s (SQLSTATE %s)', r.rule_name, r.last_error), ', ' order by r.rule_name)
                   filter (where r.last_error is not null),
               'every rule could be evaluated')
    from bcp.alert_rules r
    union all
    select 19, 'notifications',
           case
               when n.channels = 0 then 'ok'
               when n.failed > 0 or n.expired_channels is not null
                   or n.seen_at > bcp_internal.now() - interval '5 minutes' is not true then 'fail'
               when n.retried > 0 then 'warn'
               else 'ok'
           end,
           n.failed::text,
           case
               when n.channels = 0 then 'no channel: nobody is told of alerts. See bcp.create_notification_channel'
               else concat_ws(
                   '; ',
                   case when n.failed > 0 then
                       'messages that were given up within 24 hours, of ' || n.failed_channels
                       || ': bcp.notification_log says why' end,
                   'alerts or messages that no notifier fetched expired within 24 hours, of ' || n.expired_channels,
                   case when n.seen_at > bcp_internal.now() - interval '5 minutes' is not true then
                       coalesce('no notifier has looked since ' || n.seen_at, 'no notifier has run yet')
                       || ': start bcp-analytics serve or bcp-analytics notify' end,
                   format('%s channels, %s messages are tried again', n.channels, n.retried))
           end
    from bcp_internal.notification_troubles() n
$func$;

comment on function bcp_internal.store_checks is
    'Checks of bcp.health, with their place in its answer: is everything in order that the store holds and does?';

grant execute on function bcp_internal.store_checks to bcp_reader;

create or replace function bcp_internal.server_checks()
returns table (ordinal integer, check_name text, status text, value text, detail text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select 1, 'database', 'ok', current_setting('server_version'),
           format('TimescaleDB %s, licence %s', e.extversion, current_setting('timescaledb.license', true))
    from pg_extension e
    where e.extname = 'timescaledb'
    union all
    select 7, 'jobs', case when bool_or(t.status = 'fail') then 'fail' when count(*) > 0 then 'warn' else 'ok' end,
           (select count(*) from bcp_internal.jobs())::text,
           coalesce(
               string_agg(t.trouble, E'\n' order by t.ordinal), 'every job of ours runs, and none failed when last run')
    from bcp_internal.job_troubles() with ordinality as t (status, trouble, ordinal)
    union all
    select 11, 'server log', case when count(*) = 0 then 'ok' else 'warn' end, count(*)::text,
           coalesce(
               'statements may go into the server''s log with values that nothing has masked; set '
                   || string_agg(format('%s = %s', l.setting, l.safe), ', ')
                   || ', or log_parameter_max_length = 0 where all who send use parameters',
               'no setting of this session lets statements with values into the server''s log')
    from bcp_internal.logged_values() l
    union all
    select 13, 'schema public',
           case when o.names is not null then 'fail' when c.names is not null then 'warn' else 'ok' end,
           coalesce(o.n, 0)::text,
           coalesce(
               'functions that would be called in the place of TimescaleDB''s: drop routine ' || o.names,
               'who may create functions there could have them called in the place of TimescaleDB''s:'
                   ' revoke create on schema public from ' || c.names,
               'nobody may create functions beside those of TimescaleDB')
    from (select string_agg(f::text, ', ') as names, count(*) as n from bcp_internal.foreign_overloads() f) o
    cross join (select string_agg(b, ', ') as names from bcp_internal.creators_beside() b) c
    union all
    select 15, 'strangers', case when count(*) = 0 then 'ok' else 'warn' end, count(*)::text,
           case
               when count(*) = 0 then 'no role may connect but those that were told so'
               else format(
                   'every role of the server may connect and take locks; revoke connect on database %I from public,'
                   ' and grant it to the roles that need it', current_database())
           end
    from pg_database d
    cross join lateral aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) p
    where d.datname = current_database() and p.grantee = 0 and p.privilege_type = 'CONNECT'
$func$;

comment on function bcp_internal.server_checks is
    'Checks of bcp.health, with their place in its answer: does the server run the jobs of the store, and what may '
    'other roles do beside it?';

grant execute on function bcp_internal.server_checks to bcp_reader;

create or replace function bcp.health()
returns table (check_name text, status text, value text, detail text)
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    select c.check_name, c.status, c.value, c.detail
    from (
        select * from bcp_internal.ingest_checks()
        union all
        select * from bcp_internal.store_checks()
        union all
        select * from bcp_internal.server_checks()
    ) c
    order by c.ordinal, c.check_name
$func$;

comment on function bcp.health is
    'Is the store itself well? One row per check: status is ok, warn or fail, and detail says what to look at.';

grant execute on function bcp.health to bcp_reader;
