-- Tool calls as rows: read from JSON, written back as JSON, and checked.

-- Generated from the fields of bcp.tool_call, so that a new one is read without a change here.
do $block$
declare
    v_values text;
    v_columns text;
    v_base text;
    v_times text;
begin
    select
        string_agg(
            case
                when a.attname = 'attributes' then $value$nullif(d.e - k.names, '{}')$value$
                -- What does not look like a time goes where the sender is told so.
                when a.atttypid = 'timestamptz'::regtype then format(
                    $value$
                    case
                        when r.%1$I is null then null
                        when r.%1$I like '____-__-__T__:__%%' then r.%1$I::timestamptz
                        else bcp_internal.event_time(%1$L, r.%1$I, '-infinity', 'infinity')
                    end$value$, a.attname)
                else format('r.%I', a.attname)
            end, ', ' order by a.attnum),
        string_agg(
            format(
                '%I %s', a.attname,
                case when a.atttypid = 'timestamptz'::regtype then 'text' else a.atttypid::regtype::text end),
            ', ' order by a.attnum) filter (where a.attname <> 'attributes'),
        string_agg(case when a.attname = 'attributes' then 'd.e - v_names' else 'null' end, ', ' order by a.attnum),
        string_agg(
            format($value$and coalesce(d.e ->> %L like '____-__-__T__:__%%', true)$value$, a.attname), ' '
            order by a.attnum) filter (where a.atttypid = 'timestamptz'::regtype)
    into strict v_values, v_columns, v_base, v_times
    from pg_catalog.pg_attribute a
    where a.attrelid = 'bcp.tool_call'::regclass and a.attnum > 0 and not a.attisdropped;
    execute format(
        $statement$
            create or replace function bcp_internal.read_tool_calls(p_events jsonb[]) returns bcp.tool_call[]
            language plpgsql stable
            set search_path = pg_catalog, pg_temp
            set timezone = 'UTC'
            set datestyle = 'ISO'
            as $func$
            begin
                return (
                    select array_agg(row(%s)::bcp.tool_call order by d.n)
                    from unnest(p_events) with ordinality as d (e, n)
                    cross join lateral jsonb_to_record(d.e) as r (%s)
                    cross join bcp_internal.known_fields('tool_usage') as k (names));
            end
            $func$
        $statement$, v_values, v_columns);
    execute format(
        $statement$
            create or replace function bcp_internal.read_sound_calls(
                p_events jsonb, p_max_bytes bigint, out calls bcp.tool_call[], out repaired bigint)
            language plpgsql stable
            set search_path = pg_catalog, pg_temp
            set timezone = 'UTC'
            set datestyle = 'ISO'
            as $func$
            declare
                v_names constant text[] := bcp_internal.known_fields('tool_usage');
                v_shape constant jsonpath := bcp_internal.event_shape('tool_usage');
                v_quick constant record := bcp_internal.quick_shape('tool_usage');
                v_are_sound boolean;
            begin
                select
                    array_agg(jsonb_populate_record(
                        case when d.e - v_names <> '{}' then row(%s)::bcp.tool_call end,
                        case when d.e ? 'attributes' then d.e - 'attributes' else d.e end)),
                    bool_and(coalesce(
                        pg_column_size(d.e) <= p_max_bytes
                        and bcp_internal.has_shape(d.e, v_shape, v_quick.required, v_quick.others, v_quick.shape)
                        %s, false)),
                    count(*) filter (where d.e ? '_repaired')
                into calls, v_are_sound, repaired
                from jsonb_array_elements(p_events) as d (e);
                if not v_are_sound then
                    calls := null;
                end if;
            end
            $func$
        $statement$, v_base, v_times);
end
$block$;

comment on function bcp_internal.read_tool_calls(jsonb[]) is
    'The events as rows, in their order. Their shape must be right. Raises an error where a value does not have the '
    'type of its column.';

comment on function bcp_internal.read_sound_calls(jsonb, bigint) is
    'The events of a batch as rows, in their order, in one go: null, or an error, where an event has a wrong shape or '
    'size, or a value that bcp_internal.read_tool_calls may have to say something about. And how many of them say '
    'that they were repaired.';

create or replace function bcp_internal.write_tool_call(p_call bcp.tool_call) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select case jsonb_typeof((p_call).attributes) when 'object' then (p_call).attributes else '{}' end
        || coalesce(jsonb_object_agg(key, value) filter (where value <> 'null' and key <> 'attributes'), '{}')
    from jsonb_each(to_jsonb(p_call))
$func$;

comment on function bcp_internal.write_tool_call(bcp.tool_call) is 'The event, as JSON, that a row stands for.';

create or replace function bcp_internal.check_tool_calls(
    p_calls bcp.tool_call[], p_now timestamptz, out starts timestamptz[], out ends timestamptz[], out ids uuid[],
    out problem text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_oldest constant timestamptz := p_now - bcp_internal.setting('max_event_age')::interval;
    v_latest constant timestamptz := p_now + bcp_internal.setting('max_event_lead')::interval;
    v_blank constant text := E' \t\n\r\f\x0b';
    -- No call that began and ended within these bounds took longer. A longer one may be too long for an interval, so it
    -- is not multiplied.
    v_longest constant double precision := extract(epoch from v_latest - v_oldest) * 1000;
begin
    select array_agg(s.start_time), array_agg(s.end_time), array_agg(s.id), min(s.problem)
    into starts, ends, ids, problem
    from (
        select
            t.start_time, t.end_time,
            case when c.event_id <> '' then bcp_internal.event_uuid(c.event_id) end as id,
            case
                when c.bcp_name is null then 'bcp_name is missing'
                when c.tool_name is null then 'tool_name is missing'
                when length(c.bcp_name) > 500 then 'bcp_name is longer than 500 characters'
                when length(c.tool_name) > 500 then 'tool_name is longer than 500 characters'
                when btrim(c.bcp_name, v_blank) = '' then 'bcp_name is empty'
                when btrim(c.tool_name, v_blank) = '' then 'tool_name is empty'
                when greatest(
                    length(c.operation), length(c.user_id), length(c.session_id), length(c.conversation_id),
                    length(c.event_id)) > 500 then 'an id is longer than 500 characters'
                when '' in (
                    btrim(nullif(c.operation, ''), v_blank), btrim(nullif(c.user_id, ''), v_blank),
                    btrim(nullif(c.session_id, ''), v_blank), btrim(nullif(c.conversation_id, ''), v_blank),
                    btrim(nullif(c.event_id, ''), v_blank)) then 'an id is empty'
                when c.duration_ms < 0 then 'duration_ms is negative'
                when c.duration_ms > v_longest then 'duration_ms is longer than the setting max_event_age allows'
                when c.request_bytes not between 0 and 1099511627776 then 'request_bytes is not from 0 to 2^40'
                when c.response_bytes not between 0 and 1099511627776 then 'response_bytes is not from 0 to 2^40'
                when c.response_tokens not between 0 and 1099511627776 then 'response_tokens is not from 0 to 2^40'
                when t.start_time < v_oldest then 'start_time is longer ago than the setting max_event_age allows'
                when t.start_time > v_latest then 'start_time is later than the setting max_event_lead allows'
                when t.end_time < v_oldest then 'end_time is longer ago than the setting max_event_age allows'
                when t.end_time > v_latest then 'end_time is later than the setting max_event_lead allows'
                when t.end_time < t.start_time then 'end_time is before start_time'
                when c.outcome <> all (bcp_internal.outcomes())
                    then 'outcome is none of ' || array_to_string(bcp_internal.outcomes(), ', ')
                when c.success <> (c.outcome = 'success') and bcp_internal.contradicts(c.outcome, c.success)
                    then 'success contradicts outcome'
                when jsonb_typeof(c.attributes) <> 'object' then 'attributes is no object'
            end as problem
        from unnest(p_calls) with ordinality as c
        cross join lateral (
            select
                case when c.duration_ms <= v_longest then c.duration_ms end * interval '1 millisecond' as duration,
                coalesce(c.end_time, p_now) as end_time
        ) as d
        -- Any two of start, end and duration are enough. What cannot be known stays null, and a call without a time
        -- began now.
        cross join lateral (
            select
                coalesce(c.start_time, d.end_time - coalesce(d.duration, interval '0')) as start_time,
                case
                    when c.start_time is not null then coalesce(c.end_time, c.start_time + d.duration)
                    when d.duration is not null then d.end_time
                end as end_time
        ) as t
        order by c.ordinality
    ) as s;
end
$func$;

comment on function bcp_internal.check_tool_calls(bcp.tool_call[], timestamptz) is
    'Start, end and given id of each tool call; and what is wrong with one of them, null where nothing is.';
