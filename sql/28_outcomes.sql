-- How a call ended, found from what its sender said. Each rule is one function. All of them see masked text.

create or replace function bcp_internal.outcomes() returns text[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
begin
    return '{success,soft_fail,error,timeout,cancelled,rejected}'::text[];
end
$func$;

comment on function bcp_internal.outcomes() is
    'The ways in which a call may end: the only list of them. Tests hold the types of Python and of the command line '
    'to it.';

grant execute on function bcp_internal.outcomes to bcp_reader;

create or replace function bcp_internal.says_error(p_response jsonb) returns boolean
language sql immutable parallel safe
-- No search_path: with one it could not be inlined; every name is qualified instead.
as $func$
    select p_response operator(pg_catalog.@@) 'strict $.isError == true || $.is_error == true'
$func$;

comment on function bcp_internal.says_error(jsonb) is
    'True where the answer of an MCP tool says isError or is_error: the tool failed, the protocol did not. Else false '
    'or null.';

create or replace function bcp_internal.suspect_success(p_success boolean, p_response jsonb) returns boolean
language sql immutable parallel safe
-- No search_path: with one it could not be inlined; every name is qualified instead.
as $func$
    -- Strict, so that an array is no object. If a predicate cannot compare, its result is unknown, and the next one
    -- decides.
    select case
        when p_success then p_response operator(pg_catalog.@?) 'strict $ ? (
            @.isError == true || @.is_error == true
            || exists(@.error ? (@.type() != "null" && (@.type() != "boolean" || @ == true)))
            || exists(@.content[0].text ? (@ starts with "Error" && @ like_regex "^Error([^A-Za-z0-9_-]|$)"))
            || exists(@[0].text ? (@ starts with "Error" && @ like_regex "^Error([^A-Za-z0-9_-]|$)"))
            || (@ starts with "Error" && @ like_regex "^Error([^A-Za-z0-9_-]|$)"))'
    end
$func$;

comment on function bcp_internal.suspect_success(boolean, jsonb) is
    'Whether an answer says that it is an error though the call claims success: isError or is_error is true, the '
    'member error at its top is neither null nor false, or its text (the answer itself, or the first of its content) '
    'begins with the word Error. Null where success is not true or there is no answer.';

create or replace function bcp_internal.classify_error_type(p_message text, p_response jsonb) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    v_type text;
    v_text text;
    v_head text;
begin
    foreach v_text in array array[
        p_message, p_response #>> '{error,message}', p_response #>> '{content,0,text}', p_response #>> '{error}'
    ] loop
        -- A type stands at the beginning of a message, and a code near it.
        v_text := left(v_text, 500);
        continue when v_text is null;
        -- Such as ValueError: ..., json.decoder.JSONDecodeError: ..., McpError. What others wrote before it is left
        -- out.
        while v_text like 'Error: %' or v_text like 'Error executing tool %: %' or v_text like 'Uncaught %' loop
            v_text := ltrim(substr(v_text, strpos(v_text, case when v_text like 'Error%' then ':' else ' ' end) + 1));
        end loop;
        v_head := btrim(split_part(translate(v_text, '([', '::'), ':', 1));
        if v_head ~ '^([A-Za-z_$][A-Za-z0-9_$]*[.])*[A-Z][A-Za-z0-9_$]*(Error|Exception|Timeout|Interrupt|Failure|Fault|Denied|Exceeded|NotFound|Cancelled|Canceled|Expired)$' then
            v_type := v_head;
        elsif v_text ~ '^([0-9]+ validation errors? for |Input validation error: )' then
            -- Servers of the Python SDK refuse arguments like this: with the message of Pydantic, and older ones with
            -- that of JSON Schema.
            v_type := 'ValidationError';
        elsif v_text ~ '[0-9]{3}' then
            v_type := coalesce(
                -- JSON-RPC 2.0, 5.1: errors of the protocol are -32768 to -32000; LSP and MCP use more of these.
                substring(v_text from '(?:^|[^A-Za-z0-9_.-])(-32[0-9]{3})(?![A-Za-z0-9_.])'),
                -- Such as 503, 503 Service Unavailable, HTTP 503, status code: 503, Client error '404 Not Found'.
                substring(v_text from '^\s*([45][0-9]{2})(?=\s*(?:$|:|[A-Z]))'),
                substring(v_text from '(?:HTTP(?:/[0-9](?:\.[0-9])?)?|[Ss]tatus(?:[ _]?[Cc]ode)?|[Ee]rror)[\s:=(''"]{1,4}([45][0-9]{2})(?![A-Za-z0-9_.])'));
        end if;
        if v_type is null and v_text ~ 'E[A-Z]{3}' then
            v_type := substring(v_text from
                '\m(E(?:CONN[A-Z]+|TIMEDOUT|PIPE|NOENT|ACCES|PERM|EXIST|HOSTUNREACH|NETUNREACH|AI_AGAIN|NOTFOUND))\M');
        end if;
        exit when v_type is not null;
    end loop;
    v_type := coalesce(
        v_type,
        case
            when jsonb_typeof(p_response #> '{error,code}') in ('number', 'string') then p_response #>> '{error,code}'
        end,
        case when jsonb_typeof(p_response #> '{error,type}') = 'string' then p_response #>> '{error,type}' end,
        -- OpenTelemetry's conventions for MCP name it so.
        case when bcp_internal.says_error(p_response) then 'tool_error' end);
    return nullif(left(v_type, 200), '');
end
$func$;

comment on function bcp_internal.classify_error_type(text, jsonb) is
    'Class of the error of a failed call. First the exception with which its message, else its answer, begins; '
    'ValidationError where the text is that of Pydantic or the Python SDK without a class. Else a code of JSON-RPC, '
    'HTTP or the system in it, else error.code or error.type of the answer, else tool_error where the answer says '
    'isError. Null where nothing tells.';

create or replace function bcp_internal.classify_outcome(
    p_success boolean, p_error_type text, p_error_message text, p_response jsonb, p_cancelled_by text default null)
returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
declare
    -- OpenTelemetry's conventions for MCP name an answer that says isError tool_error. The answer itself may be absent.
    v_soft constant boolean := not coalesce(p_success, false)
        and (coalesce(bcp_internal.says_error(p_response), false) or coalesce(p_error_type = 'tool_error', false));
    v_cancelled constant boolean := p_cancelled_by <> '';
    v_text text;
begin
    if p_success then
        return 'success';
    elsif p_success is null and v_cancelled is not true then
        return case when v_soft then 'soft_fail' end;
    end if;
    -- The class tells more than the message, in which a word may be a name: "ValidationError: timeout must be
    -- positive". The text of an answer that says isError is the tool's own, about its subject: "the order was
    -- cancelled".
    foreach v_text in array array[
        p_error_type,
        bcp_internal.classify_error_type(p_error_message, null),
        case when not v_soft then left(p_error_message, 2000) end,
        case when not v_soft then bcp_internal.classify_error_type(null, p_response) end,
        case when not v_soft then left(coalesce(p_response #>> '{error,message}', p_response #>> '{error}'), 2000) end
    ] loop
        v_text := replace(replace(lower(v_text), 'connection abort', ''), 'transaction is abort', '');
        -- Most texts contain none of these words, and one expression over all of them is cheaper than three.
        continue when v_text is null or v_text !~ (
            'time|dead|abort|cancel|keyb|perm|forb|auth|denied|valid|reject|acces'
            '|rate|many|exhaust|quota|^-?[0-9]+$');
        if v_text ~ 'time[ds]?[ _-]?out|deadline[ _-]?exceeded|^(408|504|-32001)$' then
            return 'timeout';
        elsif v_cancelled then
            -- Who gave up does not matter, only why: a client that had waited long enough, or a person who stopped it.
            continue;
        elsif v_text ~ 'abort(ed|error|ing)?([^a-z]|$)|cancell?(ed|ation)|keyboardinterrupt|^(499|-32800)$' then
            return 'cancelled';
        elsif v_text ~ ('permission|forbidden|(un|not )auth(ori[sz]|entic)|denied|validation|rejected|eacces|eperm'
            || '|invalid[ _-]?(arg|param|input|request)|rate[ _-]?limit|too many requests|resource[ _-]?exhausted|quota'
            || '|^(400|401|402|403|405|406|407|413|414|415|422|428|429|431|451|-32600|-32601|-32602)$') then
            return 'rejected';
        end if;
    end loop;
    return case when v_cancelled then 'cancelled' when v_soft then 'soft_fail' else 'error' end;
end
$func$;

comment on function bcp_internal.classify_outcome(boolean, text, text, jsonb, text) is
    'Outcome of a call whose sender gave none. Success is success. A call that somebody cancelled (p_cancelled_by) is '
    'timeout where class or message say that it took too long, else cancelled. Another failure is timeout, cancelled '
    'or rejected where class, message or answer say so (by words, HTTP status or JSON-RPC code), else soft_fail where '
    'the answer says isError or the class is tool_error, else error. Where it is so, only classes and codes are looked '
    'at. Where success is unknown, only isError and tool_error tell.';

create or replace function bcp_internal.contradicts(p_outcome text, p_success boolean) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $func$
    select p_success <> (p_outcome = 'success') and (p_success or p_outcome <> 'cancelled')
$func$;

comment on function bcp_internal.contradicts(text, boolean) is
    'Whether a sender says of a call both that it succeeded and that it did not. The outcome cancelled agrees with a '
    'success of false.';
