-- The part of ingest that all kinds of events share: times and ids, duplicates, users, and the books.

create or replace function bcp_internal.event_time(
    p_field text, p_value text, p_oldest timestamptz, p_latest timestamptz)
returns timestamptz
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_time timestamptz;
begin
    if p_value is null then
        return null;
    end if;
    if p_value !~ '^\d{4,6}-\d\d-\d\d[Tt ]\d\d:\d\d' then
        raise exception using errcode = 'ZB005', message = p_field || ' is not an ISO 8601 time',
            hint = 'Write it like 2026-01-31T23:59:59.123Z; without an offset it is read as UTC.';
    end if;
    v_time := p_value::timestamptz;
    if v_time < p_oldest then
        raise exception using
            errcode = 'ZB005', message = p_field || ' is longer ago than the setting max_event_age allows';
    elsif v_time > p_latest then
        raise exception using
            errcode = 'ZB005', message = p_field || ' is later than the setting max_event_lead allows';
    end if;
    return v_time;
end
$func$;

comment on function bcp_internal.event_time(text, text, timestamptz, timestamptz) is
    'Time of a field of an event; ZB005 where it is no time, or out of bounds. The time zone of the caller must be '
    'UTC.';

create or replace function bcp_internal.event_text(p_field text, p_value text, p_max_chars integer) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if length(p_value) > p_max_chars then
        raise exception using
            errcode = 'ZB005', message = format('%s is longer than %s characters', p_field, p_max_chars);
    elsif p_value ~ '^\s*$' then
        raise exception using errcode = 'ZB005', message = p_field || ' is empty';
    end if;
    return p_value;
end
$func$;

comment on function bcp_internal.event_text(text, text, integer) is
    'Name or id of an event; ZB005 where it is empty or too long.';

create or replace function bcp_internal.event_id(p_id text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select bcp_internal.event_text('an id', nullif(p_id, ''), 500)
$func$;

comment on function bcp_internal.event_id(text) is
    'Optional id of an event, null where it is empty; ZB005 where it is too long for an index.';

create or replace function bcp_internal.dedup_window(p_kind text) returns interval
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select coalesce(
        nullif(bcp_internal.setting('dedup_window_' || p_kind)::interval, interval '0'),
        bcp_internal.setting('dedup_window')::interval)
$func$;

comment on function bcp_internal.dedup_window(text) is
    'How long ids of a kind of event are remembered: by the setting of the kind, else by dedup_window.';

create or replace function bcp_internal.new_keys(p_kind text, p_ids uuid[]) returns setof uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_now constant timestamptz := bcp_internal.now();
    v_oldest constant timestamptz := v_now - bcp_internal.dedup_window(p_kind);
begin
    return query
        -- In one order, so that two senders of the same events wait for each other instead of deadlocking.
        insert into bcp_internal.event_keys as k (event_id, kind, seen_at)
        select distinct id, p_kind, v_now from unnest(p_ids) as id order by id
        on conflict (event_id, kind) do update set seen_at = excluded.seen_at where k.seen_at < v_oldest
        returning k.event_id;
end
$func$;

comment on function bcp_internal.new_keys(text, uuid[]) is
    'Claims event ids and returns those that did not come before within bcp_internal.dedup_window.';

create or replace function bcp_internal.touch_users(p_ids text[], p_times timestamptz[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- An open transaction that touched a user stops nobody: the row of that user is left as it is, and the next event
-- catches up.
set lock_timeout = '200ms'
as $func$
declare
    -- The users who have no row yet.
    v_ids text[];
    v_firsts timestamptz[];
    v_lasts timestamptz[];
    v_new bigint;
begin
    with seen as materialized (
        -- Sorting by the rules of a language takes four times as long.
        select t.id collate "C" as id, min(t.at) as first, max(t.at) as last
        from unnest(p_ids, p_times) as t (id, at)
        where t.id is not null
        group by t.id collate "C"
    ), free as materialized (
        select u.user_id, s.first, s.last
        from seen s
        join bcp.users u on u.user_id = s.id collate "default"
        -- Updating a busy user's row in every batch would serialise senders, so update it at most once a minute.
        where s.first < u.first_seen or s.last >= u.last_seen + interval '1 minute'
        for update of u skip locked
    ), updated as (
        update bcp.users u
        set first_seen = least(u.first_seen, f.first), last_seen = greatest(u.last_seen, f.last)
        from free f
        where u.user_id = f.user_id
    )
    select array_agg(s.id), array_agg(s.first), array_agg(s.last)
    into v_ids, v_firsts, v_lasts
    from seen s
    where not exists (select from bcp.users u where u.user_id = s.id collate "default");
    if v_ids is not null then
        begin
            insert into bcp.users (user_id, first_seen, last_seen)
            select t.id, t.first, t.last
            from unnest(v_ids, v_firsts, v_lasts) as t (id, first, last)
            -- In one order, so that two senders of the same users wait for each other instead of deadlocking.
            order by t.id collate "C"
            on conflict (user_id) do nothing;
            get diagnostics v_new = row_count;
        exception
            when lock_not_available then null;
        end;
        perform bcp_internal.note_new_ids('user', v_new);
    end if;
end
$func$;

comment on function bcp_internal.touch_users(text[], timestamptz[]) is
    'Makes or updates the rows of the users that events name, except those that another open transaction holds.';

create or replace function bcp_internal.event_ip(p_value text) returns inet
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_ip inet;
begin
    begin
        v_ip := p_value;
    exception
        when invalid_text_representation then
            raise exception using errcode = 'ZB005', message = 'ip_address is not an IP address';
    end;
    -- Outside the block, because PostgreSQL plans a function in SQL anew in each subtransaction.
    return bcp_internal.anonymize_ip(v_ip);
end
$func$;

comment on function bcp_internal.event_ip(text) is
    'Network of the ip_address of an event; ZB005 where it is no address.';

create or replace function bcp_internal.check_batch(p_type text) returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_type is distinct from 'array' then
        raise exception using
            errcode = 'ZB001',
            message = 'a batch is a JSON array of events, this is ' || coalesce('of type ' || p_type, 'null'),
            hint = 'Wrap a single event in [ and ].';
    end if;
end
$func$;

comment on function bcp_internal.check_batch(text) is 'ZB001 where the JSON type of a batch is not array.';

create or replace function bcp_internal.claim_batch(p_kind text, p_batch_id uuid) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    perform bcp_internal.check_floods();
    if p_batch_id is null then
        return true;
    end if;
    -- A second sender of the same batch waits here until the first one has committed or rolled back.
    insert into bcp_internal.batch_keys as k (batch_id, kind, seen_at)
    values (p_batch_id, p_kind, bcp_internal.now())
    on conflict (batch_id, kind) do update set seen_at = excluded.seen_at
        where k.seen_at < excluded.seen_at - bcp_internal.dedup_window(p_kind);
    return found;
end
$func$;

comment on function bcp_internal.claim_batch(text, uuid) is
    'True for the first call with a batch id within bcp_internal.dedup_window, and for every call without one. 53400 '
    'where the role may send nothing now.';

create or replace function bcp_internal.source_name(p_source text) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_name constant text := coalesce(p_source, nullif(current_setting('application_name'), ''), 'unknown');
    v_hash constant bytea := sha256(convert_to(v_name, 'UTF8'));
    v_masked text;
    -- Read before the name is masked: a verdict may be kept for older rules than it was made by, never for newer ones.
    v_version constant uuid := (select s.version from bcp_internal.anonymizer_state s);
begin
    if exists (select from bcp_internal.clean_sources c where c.name_hash = v_hash and c.version = v_version) then
        return v_name;
    end if;
    v_masked := bcp_internal.anonymize_text(v_name);
    if v_masked = v_name then
        -- A sender may have another name in every batch.
        insert into bcp_internal.clean_sources (name_hash, version)
        select v_hash, v_version
        where (select count(*) from bcp_internal.clean_sources) < 1000;
    end if;
    return v_masked;
end
$func$;

comment on function bcp_internal.source_name(text) is
    'Who sends the events: p_source, else the application_name; masked. A name with nothing to mask is noted in '
    'bcp_internal.clean_sources, and not looked through again until rules change.';

create or replace function bcp_internal.book_batch(
    p_kind text, p_source text, p_batch_id uuid, p_accepted bigint, p_stored bigint, p_duplicates bigint,
    p_rejected bigint, p_repaired bigint default 0)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    insert into bcp.ingest_batches (
        received_at, kind, source, batch_id, accepted, stored, duplicates, rejected, repaired)
    values (
        bcp_internal.now(), p_kind, p_source, p_batch_id, p_accepted, p_stored, p_duplicates, p_rejected, p_repaired);
end
$func$;

comment on function bcp_internal.book_batch(text, text, uuid, bigint, bigint, bigint, bigint, bigint) is
    'Writes a batch into bcp.ingest_batches; p_source is already masked.';

create or replace function bcp_internal.event_problem(p_kind text, p_event jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select case
        when pg_column_size(p_event) > bcp_internal.setting('max_event_bytes')::bigint
            then 'the event is larger than the setting max_event_bytes allows'
        when jsonb_typeof(p_event) = 'object' and p_event @@ bcp_internal.event_shape(p_kind) then null
        else coalesce(bcp_internal.shape_problem(p_kind, p_event), 'a field of the event has a wrong type')
    end
$func$;

comment on function bcp_internal.event_problem(text, jsonb) is
    'What is wrong with the size or the shape of an event, null where nothing is. It never repeats a value.';

create or replace function bcp_internal.ingest_with_care(
    p_kind text, p_source text, p_batch_id uuid, p_events jsonb, p_unreadable jsonb,
    out stored bigint, out rejected bigint, out repaired bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_max_bytes constant bigint := bcp_internal.setting('max_event_bytes');
    v_shape constant jsonpath := bcp_internal.event_shape(p_kind);
    v_quick constant record := bcp_internal.quick_shape(p_kind);
    v_events jsonb[];
    v_sound boolean[];
    v_rest record;
begin
    rejected := 0;
    -- Check shape and size first, without trying to store, so that a batch of a broken sender stays cheap.
    select array_agg(a.e), array_agg(a.is_sound)
    into v_events, v_sound
    from (
        select
            e,
            coalesce(
                pg_column_size(e) <= v_max_bytes and jsonb_typeof(e) = 'object'
                and bcp_internal.has_shape(e, v_shape, v_quick.required, v_quick.others, v_quick.shape),
                false)
        from jsonb_array_elements(p_events) with ordinality as a (e, n)
        order by n
    ) as a (e, is_sound);
    if p_unreadable <> '[]' or false = any (v_sound) then
        with given as materialized (
            select
                a.n, a.e, case when a.is_sound then a.e else bcp_internal.repaired_event(p_kind, a.e) end as mended
            from unnest(v_events, v_sound) with ordinality as a (e, is_sound, n)
        ), checked as materialized (
            select g.n, g.e, g.mended,
                   coalesce(
                       pg_column_size(mended) <= v_max_bytes and jsonb_typeof(mended) = 'object'
                           and mended @@ v_shape,
                       false) as is_sound
            from given g
        ), rejects as (
            select bcp_internal.reject_event(
                p_kind, p_source, p_batch_id, 'ZB005', r.problem,
                case when pg_column_size(r.e) <= v_max_bytes then r.e end,
                r.octets)
            from (
                select c.e, bcp_internal.event_problem(p_kind, c.e), octet_length(c.e::text)
                from checked c
                where not c.is_sound
                union all
                select u -> 'event', u ->> 'problem', (u ->> 'octets')::bigint
                from jsonb_array_elements(p_unreadable) as u
            ) as r (e, problem, octets)
        )
        select array_agg(c.mended order by c.n) filter (where c.is_sound), (select count(*) from rejects)
        into v_events, rejected
        from checked c;
    end if;
    select * into v_rest from bcp_internal.store_or_reject(p_kind, p_source, p_batch_id, coalesce(v_events, '{}'));
    stored := v_rest.stored;
    rejected := rejected + v_rest.rejected;
    repaired := v_rest.repaired;
end
$func$;

comment on function bcp_internal.ingest_with_care(text, text, uuid, jsonb, jsonb) is
    'Stores the events of a batch that can be stored, repaired where they must be, and rejects the others.';

create or replace function bcp_internal.ingest(
    p_kind text, p_batch_id uuid, p_events jsonb, p_source text, p_unreadable jsonb default '[]',
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- With a caller's setting of off, PostgreSQL would read the strings in these functions in another way than they are
-- written.
set standard_conforming_strings = on
as $func$
declare
    v_source constant text := bcp_internal.source_name(p_source);
    v_max_bytes constant bigint := bcp_internal.setting('max_event_bytes');
    v_stored bigint;
    v_repaired bigint := 0;
begin
    perform bcp_internal.check_batch(jsonb_typeof(p_events));
    accepted := jsonb_array_length(p_events) + jsonb_array_length(p_unreadable);
    stored := 0;
    rejected := 0;
    if bcp_internal.claim_batch(p_kind, p_batch_id) then
        if p_kind = 'tool_usage' and p_unreadable = '[]' then
            select t.stored, t.repaired
            into v_stored, v_repaired
            from bcp_internal.try_to_store_sound(p_events, v_max_bytes) as t;
        end if;
        if v_stored is not null then
            stored := v_stored;
        else
            select r.stored, r.rejected, r.repaired
            into stored, rejected, v_repaired
            from bcp_internal.ingest_with_care(p_kind, v_source, p_batch_id, p_events, p_unreadable) as r;
        end if;
    end if;
    duplicates := accepted - stored - rejected;
    perform bcp_internal.book_batch(p_kind, v_source, p_batch_id, accepted, stored, duplicates, rejected, v_repaired);
end
$func$;

comment on function bcp_internal.ingest(text, uuid, jsonb, text, jsonb) is
    'Takes in a batch: accepted = stored + duplicates + rejected, and one row of bcp.ingest_batches says so.';

create or replace function bcp_internal.ingest_text(
    p_kind text, p_batch_id uuid, p_events text, p_source text,
    out accepted bigint, out stored bigint, out duplicates bigint, out rejected bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
-- With a caller's setting of off, PostgreSQL would read the strings in these functions in another way than they are
-- written.
set standard_conforming_strings = on
as $func$
declare
    v_events jsonb;
    v_type text;
    v_unreadable jsonb := '[]';
begin
    v_events := bcp_internal.try_jsonb(p_events);
    if v_events is null then
        -- The type json keeps what jsonb refuses (a NUL, half a surrogate pair), so an event with one can be repaired,
        -- or rejected alone.
        begin
            v_type := json_typeof(p_events::json);
        exception
            when data_exception or program_limit_exceeded then
                raise exception using
                    errcode = 'ZB001',
                    message = 'the batch is not JSON',
                    hint = 'A batch is a JSON array of events.';
        end;
        perform bcp_internal.check_batch(v_type);
        select
            coalesce(jsonb_agg(read order by n) filter (where read is not null), '[]'),
            coalesce(jsonb_agg(jsonb_build_object(
                'event', bcp_internal.try_jsonb(bcp_internal.readable_json(e)),
                'octets', octet_length(e),
                'problem', 'the event cannot be read, or holds a character that PostgreSQL cannot store, or a number '
                    'out of range'
            ) order by n) filter (where read is null), '[]')
        into v_events, v_unreadable
        from (
            select e, n, coalesce(bcp_internal.try_jsonb(e), bcp_internal.readable_event(e))
            from (
                select a.e::text, a.n from json_array_elements(p_events::json) with ordinality as a (e, n)
            ) as a (e, n)
        ) as elements (e, n, read);
    end if;
    select * into accepted, stored, duplicates, rejected
    from bcp_internal.ingest(p_kind, p_batch_id, v_events, p_source, v_unreadable);
end
$func$;

comment on function bcp_internal.ingest_text(text, uuid, text, text) is
    'Takes in a batch as text, like bcp_internal.ingest. An event that jsonb cannot hold is repaired, and fails no '
    'other event.';
