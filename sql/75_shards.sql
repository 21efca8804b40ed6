-- How a head asks its shards: all at the same moment, each over a connection that the session keeps, and whoever does
-- not answer is named.
--
-- dblink is in a schema of its own that only the owner may use. Its connections belong to the session, not to a role: a
-- reader who could call it would have the owner's open connections.

create or replace function bcp_internal.is_lost(p_sqlstate text) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    -- Connections that failed, servers that stop, start or have no connection left, and foreign servers that are wrong.
    select p_sqlstate ~ '^(08|57P0|53300|HV|28)'
$func$;

comment on function bcp_internal.is_lost is 'Whether an error says that a shard could not be asked at all.';

-- In PL/pgSQL, which keeps its plans: these two are called some fifteen times for each question to the shards.
create or replace function bcp_internal.clock_for_shards() returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_clock constant text := coalesce(current_setting('bcp.now', true), '');
begin
    -- Shards take the head for their owner, who may set the clock. Who may not set it here may not set it there.
    return case
        when v_clock = '' then ''
        when (select pg_has_role(session_user, n.nspowner, 'usage') from pg_namespace n where n.nspname = 'bcp')
            then v_clock
        else ''
    end;
end
$func$;

comment on function bcp_internal.clock_for_shards is
    'The clock of this session, as bcp_internal.now has it: what the owner has set, else nothing.';

create or replace function bcp_internal.shard_connection(p_shard text, p_as text) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- A session that has set its own clock has other connections, which have that clock, too. So has one whose shard
    -- was moved meanwhile: removed and added again, or altered. dblink tells names apart by their first 63 bytes.
    return format(
        'bcp:%s:%s:%s:%s', p_shard, p_as, left(md5(bcp_internal.clock_for_shards()), 8),
        left(md5((
            select s.oid || '.' || s.xmin from pg_foreign_server s where s.srvname = 'bcp_shard_' || p_shard)), 8));
end
$func$;

comment on function bcp_internal.shard_connection is
    'Name of the connection to a shard, where it is now, that asks as a role. Before the last colon it is that of the '
    'same shard elsewhere.';

create or replace function bcp_internal.connect_shard(p_shard text, p_as text, p_connection text) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_connection = any (bcp_dblink.dblink_get_connections()) then
        return false;
    end if;
    perform bcp_dblink.dblink_disconnect(o.name)
    from unnest(bcp_dblink.dblink_get_connections()) as o (name)
    where starts_with(o.name, left(p_connection, -8));
    perform bcp_dblink.dblink_connect(p_connection, 'bcp_shard_' || p_shard);
    -- The role comes last, because it may not change every setting.
    perform bcp_dblink.dblink_exec(p_connection, format(
        'set datestyle = ''ISO, MDY''; set intervalstyle = postgres; set timezone = ''UTC'';'
        ' set extra_float_digits = 1; set bytea_output = hex; set standard_conforming_strings = on;'
        ' set client_min_messages = error;'
        ' set application_name = %L; set bcp.now = %L; set bcp.partial = off; %s',
        'bcp head', bcp_internal.clock_for_shards(),
        case
            when p_as <> 'owner' then format('set role %I', p_as)
            -- Events and the ids of people stand in these statements, and pg_stat_activity shows the last one of a
            -- session for as long as it stays idle.
            else 'do $$ begin if has_parameter_privilege(''track_activities'', ''set'') then'
                ' set track_activities = off; end if; end $$'
        end));
    return true;
end
$func$;

comment on function bcp_internal.connect_shard is
    'Connects to a shard, to ask as bcp_reader or, as owner, with all the rights of the login. Whether it had to.';

create or replace function bcp_internal.send_to_shard(
    p_shard text, p_as text, p_connection text, p_statement text)
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_is_new boolean := bcp_internal.connect_shard(p_shard, p_as, p_connection);
begin
    -- The server may have gone since the last question: then a new connection says whether it is back.
    if not v_is_new and (
        bcp_dblink.dblink_is_busy(p_connection) = 1 or bcp_dblink.dblink_send_query(p_connection, p_statement) = 0)
    then
        perform bcp_dblink.dblink_disconnect(p_connection);
        v_is_new := bcp_internal.connect_shard(p_shard, p_as, p_connection);
    elsif not v_is_new then
        return false;
    end if;
    if bcp_dblink.dblink_send_query(p_connection, p_statement) = 0 then
        raise exception using errcode = '08006', message = bcp_dblink.dblink_error_message(p_connection);
    end if;
    return true;
end
$func$;

comment on function bcp_internal.send_to_shard is
    'Sends a statement and does not wait for its answer. Whether the connection is a new one.';

create or replace function bcp_internal.cancel_on_shard(p_shard text, p_connection text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_began constant timestamptz := clock_timestamp();
begin
    -- From PostgreSQL 17 on a cancel waits for 30 seconds at most. Before, it waits without an end, and nothing
    -- interrupts it, so a server that hangs is found by connecting to it: that takes as long as connect_timeout, at
    -- least 2 seconds, and with PostgreSQL 16 until the next cancel.
    if current_setting('server_version_num')::integer < 170000 then
        begin
            perform bcp_dblink.dblink_connect('bcp:answers', 'bcp_shard_' || p_shard);
            perform bcp_dblink.dblink_disconnect('bcp:answers');
        exception
            when query_canceled or others then
                -- One that says no at once, as one without a connection left does, does not hang.
                if clock_timestamp() - v_began > interval '1.5 seconds' then
                    return;
                end if;
        end;
    end if;
    perform bcp_dblink.dblink_cancel_query(p_connection);
end
$func$;

comment on function bcp_internal.cancel_on_shard is
    'Cancels what a shard does for a connection, unless the shard hangs: then nothing is sent.';

create or replace function bcp_internal.leave_shard(p_shard text, p_connection text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    if p_connection = any (bcp_dblink.dblink_get_connections()) then
        if bcp_dblink.dblink_is_busy(p_connection) = 1 then
            perform bcp_internal.cancel_on_shard(p_shard, p_connection);
        end if;
        perform bcp_dblink.dblink_disconnect(p_connection);
    end if;
end
$func$;

comment on function bcp_internal.leave_shard is
    'Ends the connection to a shard, and what it still does for it: what is left of an answer must not be taken for '
    'the next one.';

create or replace function bcp_internal.raise_of_shard(
    p_shard text, p_sqlstate text, p_message text, p_detail text, p_hint text)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
begin
    -- What libpq says of a connection that failed may name hosts and logins, which are not for every reader.
    if bcp_internal.is_lost(p_sqlstate) then
        raise exception using
            errcode = '08006', message = format('the shard %s does not answer (SQLSTATE %s)', p_shard, p_sqlstate),
            hint = 'As the owner of the head, bcp-analytics federate check says why. set bcp.partial = on asks the'
                ' shards that do answer.';
    elsif p_sqlstate ~ '^ZB' then
        raise exception using
            errcode = p_sqlstate, message = p_message, detail = coalesce(p_detail, ''), hint = coalesce(p_hint, '');
    end if;
    raise exception using
        errcode = p_sqlstate, message = format('the shard %s: %s', p_shard, p_message),
        detail = coalesce(p_detail, ''), hint = case
            -- Functions, columns, tables and types that are not there.
            when p_sqlstate in ('42883', '42703', '42P01', '42704') then
                'Does the shard have the version of the head? bcp-analytics federate check says so.'
            else coalesce(p_hint, '')
        end;
end
$func$;

comment on function bcp_internal.raise_of_shard is
    'Raises the error of a shard with its name; an error of ours as it is, because every shard would raise it.';

create or replace function bcp.missing_shards() returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $func$
    select coalesce(string_to_array(nullif(split_part(
        current_setting('bcp.missing_shards', true), '|', 2), ''), ','), '{}')
$func$;

comment on function bcp.missing_shards is
    'Which shards are not in the latest answer of this session? Their names; empty where the answer is whole, and in a '
    'database that is no head. Shards are left out only where the session has said set bcp.partial = on; otherwise a '
    'shard that does not answer is an error.';

grant execute on function bcp.missing_shards to bcp_reader;

create or replace function bcp_internal.note_missing(p_shards text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- A question asks the shards several times; all of these have the time of the statement in common.
    v_statement constant text := extract(epoch from statement_timestamp())::text;
    v_known constant text[] := case
        when split_part(current_setting('bcp.missing_shards', true), '|', 1) = v_statement then bcp.missing_shards()
        else '{}'
    end;
begin
    perform set_config('bcp.missing_shards', v_statement || '|' || array_to_string(array(
        select distinct s from unnest(v_known || p_shards) as s order by s), ','), false);
end
$func$;

comment on function bcp_internal.note_missing is
    'Notes for bcp.missing_shards which shards this statement could not ask.';

create or replace function bcp_internal.await_shard(p_connection text, p_others text[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_began constant timestamptz := clock_timestamp();
    v_pause double precision := 0.0005;
    v_other text;
    v_busy integer;
begin
    -- While dblink waits it may not notice that the statement is cancelled, so the waiting is done here.
    loop
        -- Each look takes in what has come since the last, at most some kilobytes, and a shard whose rows nobody takes
        -- in stops sending: the longer the pause, the more looks. Looks are assignments, which cost a tenth of perform.
        for n in 0..ceil(1600 * v_pause)::integer loop
            v_busy := bcp_dblink.dblink_is_busy(p_connection);
            if v_busy = 0 then
                return;
            end if;
            foreach v_other in array p_others loop
                v_busy := bcp_dblink.dblink_is_busy(v_other);
            end loop;
        end loop;
        -- Looks cost processor time that shards may need, so pauses grow with what they have waited for.
        v_pause := least(greatest(0.0005, 0.02 * extract(epoch from clock_timestamp() - v_began)), 0.01);
        perform pg_sleep(v_pause);
    end loop;
end
$func$;

comment on function bcp_internal.await_shard is
    'Waits until a shard has answered on a connection, and takes in what others send meanwhile.';

create or replace function bcp_internal.on_shards(
    p_as text, p_columns text, p_statement text, p_statements jsonb default null, p_partial boolean default null)
returns setof record
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_partial constant boolean := coalesce(
        p_partial, coalesce(nullif(current_setting('bcp.partial', true), ''), 'off')::boolean);
    v_shards constant text[] := array(
        select s.shard_name from bcp.shards s
        where p_statements is null or p_statements ? s.shard_name
        order by s.shard_name);
    -- Named once, because the names are needed some fifteen times for each question.
    v_connections constant text[] := array(
        select bcp_internal.shard_connection(s, p_as) from unnest(v_shards) with ordinality as s (s, n) order by n);
    v_take constant text := format(
        'select $1, t.* from bcp_dblink.dblink_get_result($2) as t (%s)', p_columns);
    v_connection text;
    v_shard text;
    v_waiting text[] := '{}';
    v_busy text[] := '{}';
    v_new text[] := '{}';
    v_missing text[] := '{}';
    v_awaited text;
    v_state text;
    v_message text;
    v_detail text;
    v_hint text;
begin
    -- What was meant for a shard that was removed in between would be lost.
    select k into v_shard from jsonb_object_keys(p_statements) k where k <> all (v_shards) limit 1;
    if found then
        raise exception using
            errcode = '08006', message = format('the shard %s was removed just now', v_shard), hint = 'Try again.';
    end if;
    for i in 1..cardinality(v_shards) loop
        v_shard := v_shards[i];
        begin
            if bcp_internal.send_to_shard(
                v_shard, p_as, v_connections[i], coalesce(p_statements ->> v_shard, p_statement))
            then
                v_new := v_new || v_shard;
            end if;
            v_waiting := v_waiting || v_shard;
            v_busy := v_busy || v_connections[i];
        exception
            when others then
                get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
                if not (v_partial and bcp_internal.is_lost(v_state)) then
                    perform bcp_internal.raise_of_shard(v_shard, v_state, v_message, null, null);
                end if;
                v_missing := v_missing || v_shard;
        end;
    end loop;
    foreach v_shard in array v_waiting loop
        v_connection := v_busy[1];
        v_busy := v_busy[2:];
        begin
            begin
                v_awaited := v_shard;
                perform bcp_internal.await_shard(v_connection, v_busy);
                v_awaited := null;
                return query execute v_take using v_shard, v_connection;
            exception
                -- A connection that was kept may have ended long ago, with the server that is back now. What changes
                -- something is not sent again: who asked for it does that, and knows how.
                when others then
                    if v_shard = any (v_new) or p_as <> 'bcp_reader' or not bcp_internal.is_lost(sqlstate) then
                        raise;
                    end if;
                    perform bcp_internal.leave_shard(v_shard, v_connection);
                    v_awaited := v_shard;
                    perform bcp_internal.send_to_shard(
                        v_shard, p_as, v_connection, coalesce(p_statements ->> v_shard, p_statement));
                    perform bcp_internal.await_shard(v_connection, v_busy);
                    v_awaited := null;
                    return query execute v_take using v_shard, v_connection;
            end;
            -- The end of the answer, which is whole also if the connection is lost in front of it.
            begin
                perform from bcp_dblink.dblink_get_result(v_connection) as t (nothing text);
            exception
                when others then perform bcp_internal.leave_shard(v_shard, v_connection);
            end;
        exception
            when query_canceled or others then
                get stacked diagnostics
                    v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail,
                    v_hint = pg_exception_hint;
                if v_state = '57014' and v_awaited is not null then
                    raise;
                elsif not (v_partial and bcp_internal.is_lost(v_state)) then
                    perform bcp_internal.raise_of_shard(v_shard, v_state, v_message, v_detail, v_hint);
                end if;
                perform bcp_internal.leave_shard(v_shard, v_connection);
                v_missing := v_missing || v_shard;
        end;
    end loop;
    perform bcp_internal.note_missing(v_missing);
    if v_missing <> '{}' and p_partial is null then
        raise warning using
            message = format(
                'the answer is without the shards %s, which do not answer', array_to_string(v_missing, ', '));
    end if;
exception
    when query_canceled or others then
        -- PostgreSQL signals a cancel to the process and to its group, and people cancel twice: what arrives here must
        -- neither leave a shard at work nor hide which one had not answered.
        for i in 1..cardinality(v_shards) loop
            begin
                perform bcp_internal.leave_shard(v_shards[i], v_connections[i]);
            exception
                when query_canceled then perform bcp_internal.leave_shard(v_shards[i], v_connections[i]);
            end;
        end loop;
        if sqlstate = '57014' and v_awaited is not null then
            raise exception using
                errcode = sqlstate, message = sqlerrm, detail = format('The shard %s had not answered yet.', v_awaited);
        end if;
        raise;
end
$func$;

comment on function bcp_internal.on_shards is
    'Sends a statement to all shards at the same moment, or to each that p_statements names its own, and returns all '
    'their rows: the name of the shard, and p_columns. A shard that does not answer is an error that names it, unless '
    'p_partial, by default the setting bcp.partial, is on. Only the owner may call it, since it runs any statement.';
