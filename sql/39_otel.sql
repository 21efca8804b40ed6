-- What the server needs to take OpenTelemetry in: rows of bcp.otel_mappings that can be read, and why events of a batch
-- were rejected.

create or replace function bcp_internal.otel_field_is_known(p_signal text, p_field text, p_as_source boolean)
returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select p_field ~ '^(attributes|resource|scope)\..' or p_field = any (
        case p_signal
            when 'span' then '{name,kind,status}'::text[]
            else '{event,severity}' || case when p_as_source then '{body,time,observed_time}'::text[] else '{}' end
        end)
$func$;

comment on function bcp_internal.otel_field_is_known(text, text, boolean) is
    'Whether a record of the signal has such a field: for a condition, or as the source of a value.';

create or replace function bcp_internal.otel_condition_problem(p_signal text, p_field text, p_condition jsonb)
returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when not bcp_internal.otel_field_is_known(p_signal, p_field, false)
            then format('matches names %s, which is no field of a %s', left(p_field, 60), p_signal)
        when jsonb_typeof(p_condition) = 'object' and not coalesce(
            p_condition = '{"present": true}'
                or p_condition - '{prefix,from}'::text[] = '{}'
                    and (select count(*) = 1 and bool_and(jsonb_typeof(value) = 'string')
                         from jsonb_each(p_condition)), false)
            then format('the condition of %s is none of {"present": true}, {"prefix": ...}, {"from": ...}', p_field)
        when jsonb_typeof(p_condition) = 'array'
            and p_condition @? '$[*] ? (@.type() == "object" || @.type() == "array")'
            then format('the condition of %s lists something other than values', p_field)
    end
$func$;

comment on function bcp_internal.otel_condition_problem(text, text, jsonb) is
    'What is wrong with a member of bcp.otel_mappings.matches, null where nothing is.';

create or replace function bcp_internal.otel_source_problem(p_signal text, p_field text, p_source jsonb) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when p_field <> all (bcp_internal.known_fields('tool_usage') || '{is_error}'::text[])
            then format('fills names %s, which is no field of a call', left(p_field, 60))
        when jsonb_typeof(p_source) = 'string' then case
            when not bcp_internal.otel_field_is_known(p_signal, p_source #>> '{}', true)
                then format(
                    '%s comes from %s, which is no field of a %s', p_field, left(p_source #>> '{}', 60), p_signal)
        end
        when jsonb_typeof(p_source) = 'object' then case
            when p_source ? 'literal' and p_source - 'literal' = '{}' then null
            when p_source ? 'under' and p_source - 'under' = '{}' and p_source ->> 'under' ~ '^attributes\..' then null
            when p_source ? 'from'
                and p_source - '{from,member,after}'::text[] = '{}'
                and not p_source ?& '{member,after}'
                and jsonb_typeof(coalesce(p_source -> 'member', p_source -> 'after', '""')) = 'string'
                and bcp_internal.otel_field_is_known(p_signal, p_source ->> 'from', true) then null
            else format('the source of %s is not of the form that the column fills describes', p_field)
        end
        else format('the source of %s is neither a string nor an object', p_field)
    end
$func$;

comment on function bcp_internal.otel_source_problem(text, text, jsonb) is
    'What is wrong with a source in bcp.otel_mappings.fills, null where nothing is.';

create or replace function bcp_internal.check_otel_mapping() returns trigger
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_problem text;
begin
    if jsonb_typeof(new.matches) <> 'object' or new.matches = '{}' then
        v_problem := 'matches is no object with a condition';
    elsif jsonb_typeof(new.fills) <> 'object' then
        v_problem := 'fills is no object';
    else
        select min(problem)
        into v_problem
        from (
            select bcp_internal.otel_condition_problem(new.signal, key, value) from jsonb_each(new.matches)
            union all
            select bcp_internal.otel_source_problem(new.signal, f.key, source)
            from jsonb_each(new.fills) as f
            cross join lateral jsonb_array_elements(
                case jsonb_typeof(f.value) when 'array' then f.value else jsonb_build_array(f.value) end) as source
            union all
            select 'a call needs a source of ' || field
            from unnest('{bcp_name,tool_name}'::text[]) as field
            where new.action = 'call' and coalesce(new.fills -> field, '[]') in ('[]', 'null')
        ) as problems (problem);
    end if;
    if v_problem is not null then
        raise exception using
            errcode = 'ZB003',
            message = format('the mapping %s cannot be used: %s', new.mapping, v_problem),
            hint = 'The comments of the columns of bcp.otel_mappings say what can stand there.';
    end if;
    return new;
end
$func$;

comment on function bcp_internal.check_otel_mapping() is
    'Refuses, with ZB003 and a hint, a row of bcp.otel_mappings that the server could not read.';

create or replace trigger check_otel_mapping before insert or update on bcp.otel_mappings
for each row execute function bcp_internal.check_otel_mapping();

create or replace function bcp.rejection_reasons(p_batch_id uuid)
returns table (reason text, rejected bigint)
language sql volatile
-- A writer reads no table. It learns why events of its own batch were rejected, of which it knows the id; a reason
-- holds no value of an event.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select r.reason, count(*)
    from bcp.rejected_events r
    where r.batch_id = p_batch_id
      -- So that only the latest chunks are looked at.
      and r.rejected_at >= bcp_internal.now() - bcp_internal.setting('dedup_window')::interval
    group by r.reason
    order by count(*) desc, r.reason
$func$;

comment on function bcp.rejection_reasons(uuid) is
    'Why were events of a batch rejected? One row per reason, most frequent first, of batches of the last '
    'dedup_window. A reason names the field and what is wrong with it, and never its value.';

grant execute on function bcp.rejection_reasons(uuid) to bcp_writer;

create or replace function bcp_internal.note_otlp_ignored(p_counts jsonb) returns void
language sql volatile
-- The role that a server connects as may insert into no table.
security definer
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.ingest(
        'metrics', null,
        jsonb_agg(jsonb_build_object(
            'metric_name', 'bcp_otlp_ignored',
            'metric_value', c.counted -> 'records',
            'labels', jsonb_build_object('signal', c.counted -> 'signal', 'reason', c.counted -> 'reason'))),
        'bcp_analytics')
    from (select counted from jsonb_array_elements(p_counts) with ordinality as a (counted, n) where n <= 100) as c
$func$;

comment on function bcp_internal.note_otlp_ignored(jsonb) is
    'Stores how many records of OpenTelemetry a server has ignored since it said so last, at most 100 of the array, as '
    'the metric bcp_otlp_ignored. Each says signal, reason and records.';

grant execute on function bcp_internal.note_otlp_ignored(jsonb) to bcp_admin;
