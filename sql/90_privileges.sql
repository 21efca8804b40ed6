-- Least privilege: bcp_writer may call the ingest functions and nothing else, bcp_reader may read and ask,
-- bcp_admin may also change settings and rules. Nobody but the owner reads the anonymiser's keys, and
-- only the owner may refresh aggregates by hand, erase, or mask again: a procedure that commits cannot run as
-- another role.

revoke all on all functions in schema bcp, bcp_internal from public, bcp_reader, bcp_writer, bcp_admin;

revoke all on all procedures in schema bcp, bcp_internal from public, bcp_reader, bcp_writer, bcp_admin;

revoke all on all tables in schema bcp, bcp_internal from public, bcp_reader, bcp_writer, bcp_admin;

grant usage on schema bcp to bcp_reader, bcp_writer, bcp_admin;

grant bcp_reader, bcp_writer to bcp_admin;

-- The functions of an answer run as who asks, so that row counts and plans are the asker's own.
grant usage on schema bcp_internal to bcp_reader;

do $block$
declare
    v_function record;
begin
    for v_function in
        select p.oid::regprocedure as signature, p.proname ~ '^(ingest_|log_|record_|touch_|end_|begin_|report_)' as writes,
               p.proname in ('apply_policies', 'rotate_anonymization_key', 'resolve_issue', 'reopen_issue', 'acknowledge_alert',
                             'cleanup_plan', 'cleanup_old_data', 'find_erasure', 'hash_of',
                             'enable_anonymization_pack', 'disable_anonymization_pack') as manages,
               n.nspname = 'bcp' as is_public, p.prokind
        from pg_proc p
        join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'bcp'
             and p.proname not in ('refresh_analytics_views', 'run_cleanup', 'erase_user', 'anonymize_history')
           or (n.nspname = 'bcp_internal' and p.proname in (
               'known_years', 'checked_time', 'now', 'setting', 'watermark', 'latency_ms', 'checked_range', 'checked_event_range', 'checked_interval', 'invalidated', 'logged_changes',
               'in_buckets', 'stale', 'grain', 'pieces', 'within', 'aggregates', 'refresh_start', 'filters', 'call_filter', 'is_aggregated', 'event_uuid', 'bucket_of',
               'usage_statement', 'usage_cells', 'usage_totals', 'sketch_statement', 'sketch_place', 'latency_cells',
               'latency_quantiles', 'error_cells', 'anonymizer_works', 'logged_values', 'checked_limit', 'checked_choice',
               'checked_outcome', 'outcomes', 'calls', 'latest_first', 'activity_cells', 'listed_tools', 'period_before', 'relative_change',
               'release_reaches', 'has_regressed', 'archive_columns', 'archive_time_column', 'archive_text', 'archive_rows',
               'checksum_text', 'archive_checksum', 'chunk_is_archived', 'chunks_to_archive', 'archived_rows', 'time_column', 'old_chunks',
               'retention_cutoff', 'foreign_overloads', 'creators_beside', 'jobs', 'job_troubles'))
    loop
        execute format('grant execute on routine %s to %I', v_function.signature, case
            when not v_function.is_public then 'bcp_reader'
            when v_function.manages then 'bcp_admin'
            when v_function.writes then 'bcp_writer'
            else 'bcp_reader'
        end);
    end loop;
end
$block$;

-- What a session may set changes how text is read and written: the code of a function itself (with
-- standard_conforming_strings off its strings end elsewhere), and times, numbers and names in the statements it makes
-- (of 10:36 IST, India's, PostgreSQL reads 08:36 UTC). So what a session enters by has the defaults, and all that it calls
-- has them too: functions of schema bcp, of triggers, those that make statements, and those that a procedure calls which
-- commits and so can have no settings itself. 2 us a call, so not every small function.
--
-- Who runs as the owner, besides, waits no longer for what somebody's open transaction holds, shows nobody its plans, and
-- puts new chunks where the hypertable is.
do $block$
declare
    v_function record;
begin
    for v_function in
        select p.oid::regprocedure as signature, p.prosecdef,
               coalesce((select split_part(c, '=', 2) from unnest(p.proconfig) c where starts_with(c, 'lock_timeout=')), '30s') as lock_timeout
        from pg_proc p
        where p.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)
          and p.proconfig::text ~ 'search_path'
          and (p.prosecdef or p.pronamespace = 'bcp'::regnamespace or p.prorettype = 'trigger'::regtype
               or p.prosrc ~ '\mexecute\M|%([0-9]+[$])?L'
               or exists (
                   select from pg_proc c
                   where c.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace) and c.prokind = 'p' and strpos(c.prosrc, 'bcp_internal.' || p.proname || '(') > 0))
    loop
        execute format(
            'alter routine %s set standard_conforming_strings = on set array_nulls = on set transform_null_equals = off'
            ' set quote_all_identifiers = off set datestyle = %L set intervalstyle = postgres set timezone = %L'
            ' set extra_float_digits = 1 set bytea_output = hex',
            v_function.signature, 'ISO, MDY', 'UTC');
        if v_function.prosecdef then
            execute format(
                'alter routine %s set lock_timeout = %L set debug_print_parse = off set debug_print_rewritten = off'
                ' set debug_print_plan = off set default_tablespace = %L set default_table_access_method = heap',
                v_function.signature, v_function.lock_timeout, '');
        end if;
    end loop;
end
$block$;

-- The archive's books, which bcp-analytics archive and restore keep.
grant execute on function
    bcp_internal.lock_archive(),
    bcp_internal.unlock_archive(),
    bcp_internal.begin_archive(text, timestamptz, timestamptz, text),
    bcp_internal.count_archive(uuid),
    bcp_internal.finish_archive(uuid, jsonb, bigint, text, bigint),
    bcp_internal.discard_archive(uuid),
    bcp_internal.begin_restore(uuid, boolean),
    bcp_internal.finish_restore(uuid, timestamptz),
    bcp_internal.begin_beside(text, text, uuid[]),
    bcp_internal.finish_beside(regclass, uuid)
to bcp_admin;

grant select on all tables in schema bcp to bcp_reader;

grant update (value) on bcp.settings to bcp_admin;

grant insert, update, delete on
    bcp.alert_rules, bcp.data_retention_policies, bcp.sensitive_keys, bcp.sensitive_key_exceptions, bcp.name_value_keys,
    bcp.anonymization_rules
to bcp_admin;

grant update (enabled) on bcp.anonymization_packs to bcp_admin;
