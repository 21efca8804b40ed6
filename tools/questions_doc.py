"""Writes docs/reference/questions.md from the functions' comments and their answers about fixed data:

    python -m tools.questions_doc

A test holds the file to what this returns.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from bcp_analytics.queries._questions import QUESTIONS
from tests.sql.events import ingest

FILE = Path(__file__).parent.parent / "docs" / "reference" / "questions.md"
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)

# The others are asked without arguments, for three rows.
EXAMPLES = {
    "live_metrics": """
select tool_name, sum(call_count) as calls, sum(call_count) filter (where not success) as failed
from bcp.live_metrics() group by tool_name order by tool_name""",
    "recent_calls": """
select start_time, tool_name, outcome, error_type from bcp.recent_calls(p_failed => true, p_limit => 3)""",
    "tool_usage_stats": """
select tool_name, call_count, success_rate, p50_duration_ms, p95_duration_ms
from bcp.tool_usage_stats('2026-06-14', '2026-06-16', '1 day', p_bcp_name => 'files')
where time_bucket = '2026-06-15'""",
    "latency_percentiles": """
select * from bcp.latency_percentiles('2026-06-08', p_percentiles => '{0.5,0.99}', p_bcp_name => 'mail')""",
    "usage_breakdown": """
select client_name, client_model, call_count, success_rate, p50_duration_ms, p99_duration_ms
from bcp.usage_breakdown('2026-06-08', p_by => '{client_name,client_model}')""",
    "hourly_tool_usage": """
select hour, tool_name, total_calls, avg_duration_ms, p95_duration_ms from bcp.hourly_tool_usage() limit 3""",
    "error_analysis": """
select level, tool_name, error_type, error_count, share, issue_count, sample_message
from bcp.error_analysis()""",
    "daily_error_summary": """
select day, level, tool_name, total_errors, issues from bcp.daily_error_summary('2026-06-13')""",
    "intents": """
select stored from bcp.log_tool_usage('mail', 'send', 'tools/call', p_success => true,
    p_start_time => '2026-06-15T11:00Z', p_intent => 'answer the invoice');
select intent, call_count, success_rate, tool_name from bcp.intents()""",
    "missing_tools": """
select stored from bcp.log_tool_usage('mail', 'get_more_tools', 'tools/call',
    p_start_time => '2026-06-15T11:00Z', p_intent => 'delete a mail');
select intent, bcp_name, request_count, last_seen from bcp.missing_tools()""",
    "tool_changes": """
select stored from bcp.ingest_tool_usage(null, '[{"bcp_name": "mail", "tool_name": "tools/definition",
    "operation": "tools/list", "start_time": "2026-06-15T11:00Z", "defines": "send", "digest": "5d41402a",
    "response_data": {"description": "Sends a mail.", "bytes": 310}}]'::jsonb);
select tool_name, change, description, context_bytes, call_count, previous_call_count, success_rate,
    previous_success_rate
from bcp.tool_changes()""",
    "health": """
select * from bcp.health() where check_name in ('ledger', 'anonymiser')""",
    "error_issues": """
select bcp.resolve_issue(fingerprint, 'bigger disk', p_release => '1.3')
from bcp.error_issues()
where error_type = 'OSError';
select fingerprint, state, message, error_count, previous_count, change, notes from bcp.error_issues()""",
    "search_errors": """
select happened_at, rank, headline, tool_name
from bcp.search_errors('"connection refused" or full -retried')""",
    "slow_calls": """
select start_time, duration_ms, tool_name, user_id, outcome
from bcp.slow_calls('2026-06-08', p_min_duration_ms => 1000, p_limit => 3)""",
    "failed_calls": """
select start_time, tool_name, outcome, error_type, parameters from bcp.failed_calls(p_limit => 3)""",
    "find_calls": """
select start_time, tool_name, outcome, user_id, client_model, event_id
from bcp.find_calls(p_event_id => 'call-3');
select start_time, tool_name, outcome
from bcp.find_calls('2026-06-08', p_user_id => 'u1', p_failed => true)""",
    "search_parameters": """
select start_time, tool_name, parameters, user_id
from bcp.search_parameters('{"folder": "/home"}', '$.depth ? (@ > 2)', '2026-06-08', p_limit => 3)""",
    "session_timeline": """
select happened_at, since_previous_ms, kind, tool_name, outcome, message
from bcp.session_timeline('s-1', p_limit => 6)""",
    "session_stats": """
select time_bucket, client_name, session_count, calls_per_session, p50_duration_ms, p95_duration_ms
from bcp.session_stats('2026-06-14')""",
    "top_users": """
select user_id, call_count, error_count, success_rate, share, response_bytes
from bcp.top_users('2026-06-08')""",
    "active_users": """
select * from bcp.active_users('2026-06-13')""",
    "authentication_stats": """
select method, attempt_count, failure_count, success_rate, user_count, failed_user_count, top_failure
from bcp.authentication_stats('2026-06-08')""",
    "tool_sequences": """
select tool_name, next_tool_name, pair_count, share, avg_gap_ms
from bcp.tool_sequences('2026-06-08', p_limit => 4)""",
    "tool_retries": """
select tool_name, failed_count, retried_count, retry_rate, retry_success_rate, avg_gap_ms
from bcp.tool_retries('2026-06-08')""",
    "tool_trends": """
select tool_name, call_count, previous_call_count, call_change, p99_duration_ms, p99_change
from bcp.tool_trends(p_order => 'p99_change')""",
    "context_cost": """
select tool_name, call_count, response_bytes, share, tokens from bcp.context_cost('2026-06-08');
select session_id, response_bytes, tokens
from bcp.context_cost('2026-06-08', p_by => 'session', p_limit => 2)""",
    "latency_heatmap": """
select * from bcp.latency_heatmap('2026-06-15', p_interval => null, p_bands => '{10,100,1000}')""",
    "latency_over_time": """
select * from bcp.latency_over_time('2026-06-13', p_interval => '1 day')""",
    "usage_over_time": """
select * from bcp.usage_over_time('2026-06-12', p_interval => '1 day')""",
    "report_totals": """
select call_count, success_rate, call_change, p95_duration_ms, tool_count, session_count
from bcp.report_totals('2026-06-08')""",
    "active_alerts": """
select rule_name, severity, bcp_name, tool_name, metric, value, threshold, call_count, description
from bcp.active_alerts()""",
    "alert_history": """
select rule_name, severity, bcp_name, tool_name, value, worst_value, opened_at, closed_at
from bcp.alert_history()""",
    "notification_history": """
select logged_at, channel_name, about, rule_name, attempt, status, error from bcp.notification_history()""",
}

_HEAD = """\
# Questions

What you can ask, each question with an example. Written by `python -m tools.questions_doc` from the
functions' comments and from their answers about a few made-up calls, at 12:00 UTC of 2026-06-15. Numbers
are shortened.

Every question is `bcp.NAME` in SQL, `bcp_analytics.NAME` in Python, and `bcp-analytics query NAME` on the
command line. In Python the arguments have the same names without `p_`, and each row is a frozen dataclass.
All need the role `bcp_reader`.

- An argument that is null, or left out, filters nothing. An impossible one raises ZB002 with a hint.
- An empty text finds what names none: `p_client_name => ''` asks about the calls or sessions without a
  client. So it is for users, sessions, clients, their versions, models and releases, and among errors for
  bundles, tools and operations.
- Calls are those of operation `tools/call`, and what an application logs under other names. Lists of tools
  are not calls: `p_operation => 'tools/list'` asks for them.
- `p_failed` true means calls whose success is false; false means all others: succeeded, cancelled or
  unknown.
- Users are found by their ids as they are stored.
- Days and hours are in UTC, unless a function takes `p_time_zone`.
- Answers are fresh: what is newer than the aggregates is read from the raw rows.

"""
_FUNCTION = """
select obj_description(p.oid, 'pg_proc'), pg_get_function_result(p.oid),
       array(
           select concat_ws(
               ' ', n, format_type(t, null),
               'default ' || regexp_replace(pg_get_function_arg_default(p.oid, i::integer), '::.*', ''))
           from unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) with ordinality as a (n, t, i)
           order by i)
from pg_proc p
where p.pronamespace = 'bcp'::regnamespace and p.proname = %s
"""


def events() -> dict[str, list[dict[str, Any]]]:
    """A week of two bundles of tools, and of people who log in and use them."""
    calls: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for number in range(16):
        session = {"session_id": f"s-{number}", "user_id": f"u{number % 5}"}
        session["client_name"] = ["desktop-chat", "ide-plugin"][number % 2]
        model = {"client_model": ["large", "small"][number // 2 % 2]}
        time = NOW - timedelta(hours=11 * number + 1)
        for step, (bcp, tool) in enumerate(
            [
                ("accounts", ["password", "oauth"][number % 2]),
                ("files", "tools/list"),
                ("files", "list_folder"),
                ("files", "read_file"),
                *([("mail", "send")] if number % 3 == 0 else [("files", "read_file")]),
            ]
        ):
            operation = {"accounts": "login"}.get(bcp, "tools/list" if tool == "tools/list" else "tools/call")
            failed = (number + step) % 6 == 4
            call: dict[str, Any] = {
                "bcp_name": bcp,
                "tool_name": tool,
                "operation": operation,
                "start_time": (time + timedelta(seconds=7 * step)).isoformat(),
                "duration_ms": 12.5 * (step + 1) * (number + 1) * (20 if tool == "send" else 1),
                "success": not failed,
                "response_bytes": 900 * (step + 1),
                "release": "1.2",
            }
            if tool == "list_folder":
                call["parameters"] = {"folder": ["/home", "/etc"][number % 2], "depth": number}
            if tool == "tools/list":
                names = {"list_folder": 310, "read_file": 280, "move_file": 350}
                call["response_data"] = {"tools": [{"name": n, "bytes": size} for n, size in names.items()]}
            if failed:
                kind, message = [
                    ("wrong_password", "wrong password"),
                    ("OSError", f"disk {number} is full"),
                    ("ConnectionError", f"connection refused by 10.0.0.{number}:25"),
                ][min(step // 2, 2) if bcp != "mail" else 2]
                call |= {"error_type": kind, "error_message": message}
                errors.append(
                    {
                        "level": "error",
                        "message": message,
                        "error_type": kind,
                        "timestamp": call["start_time"],
                    }
                    | {name: call[name] for name in ("bcp_name", "tool_name", "operation", "release")}
                    | session
                )
            calls.append(call | session | model)
    made_up = {
        "tool_name": "delete_all",
        "success": False,
        "error_type": "-32602",
        "parameters": {"path": "/"},
    }
    calls.append(calls[2] | made_up | {"start_time": (NOW - timedelta(hours=2)).isoformat()})
    for number, call in enumerate(calls):
        call["event_id"] = f"call-{number}"
    return {"tool_usage": calls, "errors": errors}


def document(conn: psycopg.Connection[Any]) -> str:
    """Return the text of the file; sends events, and sets the clock, in the transaction of `conn`."""
    conn.execute("select set_config('bcp.now', %s, true)", [NOW.isoformat()])
    conn.execute("set local timezone = 'UTC'")
    for kind, sent in events().items():
        assert ingest(conn, sent, kind)[3] == 0
    # Few calls, and a job that has not run yet.
    conn.execute(
        "update bcp.alert_rules set lookback = '1 day', min_calls = 2 where rule_name in ('slow', 'errors')"
    )
    conn.execute(
        "select bcp.create_notification_channel('on-call', 'webhook', '{\"url\": \"https://example.com/\"}')"
    )
    conn.execute("select bcp_internal.evaluate_alerts()")
    conn.execute(
        "select bcp_internal.record_notification(c.delivery_id, c.claim, e.error)"
        " from bcp_internal.claim_notifications(9) c cross join (values (null), ('HTTP 503')) e (error)"
        " where (e.error is null) = (c.payload ->> 'rule_name' = 'slow')"
    )
    sections = [_section(conn, name) for name in QUESTIONS]
    table = ["| function | question |", "|---|---|"]
    table += [
        f"| [{name}](#{name}) | {title} |" for name, (title, _) in zip(QUESTIONS, sections, strict=True)
    ]
    return _HEAD + "\n".join(table) + "\n" + "".join(f"\n{text}" for _, text in sections)


def _section(conn: psycopg.Connection[Any], name: str) -> tuple[str, str]:
    row = conn.execute(_FUNCTION, [name]).fetchone()
    assert row is not None
    comment, result, arguments = row
    title, rest = re.fullmatch(r"(.*?[.?])(?: (.*))?", comment).groups()  # type: ignore[union-attr]
    example = EXAMPLES.get(name, f"\nselect * from bcp.{name}() limit 3")
    answers = "\n\n".join(_answer(conn, query) for query in example.split(";\n"))
    parts = [f"## {name}", title, rest, _fence("sql", _signature(name, arguments, result))]
    parts += [_fence("sql", example.strip() + ";"), _fence("text", answers)]
    return title, "\n\n".join(part for part in parts if part) + "\n"


def _signature(name: str, arguments: list[str], result: str) -> str:
    columns = re.fullmatch(r"TABLE\((.*)\)", result)
    shown = _wrapped(f"bcp.{name}(", arguments, ")") + "\n"
    if columns is None:
        return shown + f"returns {result.replace('SETOF', 'setof')}"
    return shown + _wrapped("returns table (", columns[1].split(", "), ")")


def _wrapped(head: str, parts: list[str], tail: str) -> str:
    """Join with commas, in lines that break between parts only."""
    short = [p.replace("timestamp with time zone", "timestamptz").replace("NULL", "null") for p in parts]
    text = head + ", ".join(part.replace(" ", "\xa0") for part in short) + tail
    return "\n".join(textwrap.wrap(text, 110, subsequent_indent="    ")).replace("\xa0", " ")


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _answer(conn: psycopg.Connection[Any], query: str) -> str:
    cur = conn.execute(query.encode())
    rows = [[_shown(value) for value in row] for row in cur.fetchall()]
    if not rows:
        return "(no rows)"
    heads = [column.name for column in cur.description or ()]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in [heads, *rows]]  # fmt: skip
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds").removesuffix("+00:00")
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return "" if value is None else str(value)


def main() -> None:
    from tests.targets import MAKERS  # noqa: PLC0415

    server = MAKERS["embedded"]()
    try:
        server.start()
        with psycopg.connect(server.shared()) as conn:
            FILE.write_text(document(conn), encoding="utf-8")
            conn.rollback()
    finally:
        server.stop()
    sys.stdout.write(f"written: {FILE.name}\n")


if __name__ == "__main__":
    main()
