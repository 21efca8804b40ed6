-- Ingest of a batch in which an event may be bad.
--
-- A batch is stored by statements over all of it. If that raises an error, what can be repaired is repaired
-- (sql/37_repair.sql), and the batch is stored. If that raises an error too, the batch is halved until the events that
-- cannot be stored stand alone. Those are rejected, and the others are stored together, in the same transaction.

create or replace function bcp_internal.redact_rejected(p_kind text, p_event jsonb) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_max_bytes constant integer := bcp_internal.setting('max_document_bytes');
    v_event jsonb := p_event;
begin
    if p_event is null then
        return '{"_unredacted": "too large or unreadable"}';
    elsif jsonb_typeof(p_event) <> 'object' then
        return bcp_internal.truncate_json(
            bcp_internal.anonymize_json(
                bcp_internal.cut_json(p_event, 2 * v_max_bytes, bcp_internal.setting('max_json_depth')::integer)),
            v_max_bytes,
            case when octet_length(p_event::text) > 2 * v_max_bytes then octet_length(p_event::text) end);
    end if;
    -- An address that is none cannot be cut to its network; nor can one that the anonymiser leaves as it is.
    if p_event ? 'ip_address' then
        v_event := jsonb_set(v_event, '{ip_address}', '"[REDACTED]"');
    end if;
    select m.e || coalesce(m.attributes, '{}') into v_event
    from bcp_internal.mask_events(p_kind, array[v_event], p_rejected => true) as m;
    return bcp_internal.truncate_json(v_event, v_max_bytes);
exception
    when others then
        -- An event that cannot be redacted is not kept, so that a broken rule leaks nothing.
        return jsonb_build_object('_unredacted', jsonb_typeof(p_event));
end
$func$;

comment on function bcp_internal.redact_rejected(text, jsonb) is
    'A rejected event as it may be kept: masked and cut, or only its JSON type where masking fails.';

create or replace function bcp_internal.reject_event(
    p_kind text, p_source text, p_batch_id uuid, p_code text, p_reason text, p_event jsonb, p_event_bytes bigint)
returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $func$
    insert into bcp.rejected_events (rejected_at, kind, source, batch_id, reason_code, reason, event, event_bytes)
    values (bcp_internal.now(), p_kind, p_source, p_batch_id, p_code, p_reason,
            bcp_internal.redact_rejected(p_kind, p_event), p_event_bytes)
$func$;

comment on function bcp_internal.reject_event(text, text, uuid, text, text, jsonb, bigint) is
    'Keeps a rejected event, redacted.';

create or replace function bcp_internal.raise_if_not_of_events(p_state text, p_message text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- These errors are not the fault of an event: connection, transaction state, conflicts, permissions and missing
    -- objects, resources, locks, the system itself, an anonymiser without its keys. The whole batch fails and can be
    -- sent again.
    if p_state = '55P03' then
        raise exception using
            errcode = p_state,
            message = 'another open transaction has held for 30 s what this batch needs: a session, an issue, an event '
                'id or a new chunk',
            hint = 'Nothing was stored: send it again. Senders that idle in a transaction end by '
                'idle_in_transaction_session_timeout.';
    elsif left(p_state, 2) in ('08', '25', '40', '42', '53', '55', '57', '58', 'XX') or p_state = 'ZB006' then
        raise exception using errcode = p_state, message = p_message;
    end if;
end
$func$;

comment on function bcp_internal.raise_if_not_of_events(text, text) is
    'Raises an error again that is not the fault of an event.';

create or replace function bcp_internal.try_to_store_sound(
    p_events jsonb, p_max_bytes bigint, out stored bigint, out repaired bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_read record;
    v_state text;
    v_message text;
begin
    v_read := bcp_internal.read_sound_calls(p_events, p_max_bytes);
    if v_read.calls is not null then
        repaired := v_read.repaired;
        stored := bcp_internal.store_tool_calls(v_read.calls);
    end if;
exception
    when others then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
        perform bcp_internal.raise_if_not_of_events(v_state, v_message);
        stored := null;
end
$func$;

comment on function bcp_internal.try_to_store_sound(jsonb, bigint) is
    'Stores a batch of tool calls of which each is right; stored is null where one is not, or cannot be stored.';

create or replace function bcp_internal.try_to_store(
    p_kind text, p_events jsonb[], p_keep boolean, out stored bigint, out state text, out message text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    stored := case p_kind
        when 'tool_usage' then bcp_internal.store_tool_usage(p_events)
        when 'errors' then bcp_internal.store_errors(p_events)
        when 'metrics' then bcp_internal.store_metrics(p_events)
        when 'sessions' then bcp_internal.store_sessions(p_events)
    end;
    if not p_keep then
        raise exception 'undone, with its locks';
    end if;
exception
    when others then
        if stored is null then
            get stacked diagnostics state = returned_sqlstate, message = message_text;
            perform bcp_internal.raise_if_not_of_events(state, message);
        end if;
end
$func$;

comment on function bcp_internal.try_to_store(text, jsonb[], boolean) is
    'Stores events, or without p_keep only finds out whether they can be stored; and what went wrong where they '
    'cannot.';

create or replace function bcp_internal.reject_bad(
    p_kind text, p_source text, p_batch_id uuid, p_events jsonb[], p_state text, p_message text)
returns jsonb[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_count constant integer := cardinality(p_events);
    v_good jsonb[] := '{}';
    v_half record;
    v_maskable jsonb;
begin
    if v_count = 1 then
        -- These are messages of the anonymiser (sql/20_anonymize.sql). To find out which field it means is expensive,
        -- so it is done only here, for a single event.
        if p_state = 'ZB005'
            and p_message similar to '(the JSON is nested deeper|the anonymiser cannot go through)%'
        then
            v_maskable := bcp_internal.maskable_event(p_kind, p_events[1]);
            if v_maskable <> p_events[1]
                and (bcp_internal.try_to_store(p_kind, array[v_maskable], false)).state is null
            then
                return array[v_maskable];
            end if;
        end if;
        if p_state = '22P02' then
            -- Of the fields with a type of their own only an address has a function that tells what is wrong with it.
            begin
                perform bcp_internal.event_ip(p_events[1] ->> 'ip_address');
            exception
                when sqlstate 'ZB005' then
                    get stacked diagnostics p_state = returned_sqlstate, p_message = message_text;
            end;
        end if;
        -- Only our own messages are known to contain no value of the event.
        perform bcp_internal.reject_event(
            p_kind, p_source, p_batch_id, p_state,
            case
                when p_state like 'ZB%' then p_message
                when p_state in ('22007', '22008') then 'a time of the event does not exist'
                when p_state = '22003' then 'a number of the event is out of range'
                else 'PostgreSQL refused a value of the event with SQLSTATE ' || p_state
            end,
            p_events[1], octet_length(p_events[1]::text));
        return v_good;
    end if;
    for v_half in
        select half.events, t.state, t.message
        from (values (p_events[:v_count / 2]), (p_events[v_count / 2 + 1:])) as half (events)
        cross join lateral bcp_internal.try_to_store(p_kind, half.events, false) as t
    loop
        v_good := v_good || case
            when v_half.state is null then v_half.events
            else bcp_internal.reject_bad(p_kind, p_source, p_batch_id, v_half.events, v_half.state, v_half.message)
        end;
    end loop;
    return v_good;
end
$func$;

comment on function bcp_internal.reject_bad(text, text, uuid, jsonb[], text, text) is
    'Of events that cannot be stored together, for the reason given: finds by halving those that cannot be stored '
    'alone, rejects them, and returns the others, without fields that the anonymiser cannot go through.';

create or replace function bcp_internal.store_or_reject(
    p_kind text, p_source text, p_batch_id uuid, p_events jsonb[], p_repair boolean default true,
    out stored bigint, out rejected bigint, out repaired bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_count constant integer := cardinality(p_events);
    v_tried record;
    v_good jsonb[];
begin
    rejected := 0;
    stored := 0;
    repaired := 0;
    if v_count = 0 then
        return;
    end if;
    v_tried := bcp_internal.try_to_store(p_kind, p_events, true);
    stored := v_tried.stored;
    if v_tried.state is null then
        repaired := (select count(*) from unnest(p_events) as e where e ? '_repaired');
        return;
    end if;
    if p_repair then
        v_good := array(
            select bcp_internal.repaired_event(p_kind, e) from unnest(p_events) with ordinality as a (e, n) order by n);
        if v_good <> p_events then
            select p.* into stored, rejected, repaired
            from bcp_internal.store_or_reject(p_kind, p_source, p_batch_id, v_good, p_repair => false) as p;
            return;
        end if;
    end if;
    -- A transaction that stores a batch locks its keys, then its users, sessions and issues, each in one order, so that
    -- two batches that share some wait for each other instead of deadlocking. If one half were kept while the next is
    -- stored, that order would be broken. So the bad events are found first, by trying and undoing, and then all good
    -- ones are stored at once.
    v_good := bcp_internal.reject_bad(p_kind, p_source, p_batch_id, p_events, v_tried.state, v_tried.message);
    if cardinality(v_good) < v_count or v_good <> p_events then
        select p.stored, v_count - cardinality(v_good) + p.rejected, p.repaired into stored, rejected, repaired
        from bcp_internal.store_or_reject(p_kind, p_source, p_batch_id, v_good, p_repair => false) as p;
    else
        -- Each half can be stored, but not both together, for example because of their size.
        select sum(p.stored), sum(p.rejected), sum(p.repaired) into stored, rejected, repaired
        from (values (v_good[:v_count / 2]), (v_good[v_count / 2 + 1:])) as half (events)
        cross join lateral bcp_internal.store_or_reject(
            p_kind, p_source, p_batch_id, half.events, p_repair => false) as p;
    end if;
end
$func$;

comment on function bcp_internal.store_or_reject(text, text, uuid, jsonb[], boolean) is
    'Stores events, and rejects those that cannot be stored; with p_repair those with a bad value are repaired first. '
    'Events that are neither stored nor rejected are duplicates. repaired counts the stored ones and the duplicates '
    'whose _repaired names a field.';
