"""The tools: what each takes, and how it answers from the questions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from bcp_analytics import queries, upkeep
from bcp_analytics.agents import _given as given
from bcp_analytics.agents._fence import Answer, Row, row_of
from bcp_analytics.agents._given import Given, Schema

Conn = AsyncConnection[Any]
Work = Callable[[Conn, Given, Answer], Awaitable[None]]

_BEFORE = "Compared with the period of the same length before."
_NARROW = "Give a shorter range, bcp_name or tool_name, or another limit."
_OF_ISSUES = (
    *("fingerprint", "state", "level", "bcp_name", "tool_name", "error_type", "message", "error_count"),
    *("previous_count", "first_seen", "last_seen", "resolved_release", "notes"),
)
_OF_TRENDS = (
    *("bcp_name", "tool_name", "call_count", "previous_call_count", "success_rate", "previous_success_rate"),
    *("p50_duration_ms", "p95_duration_ms", "previous_p95_duration_ms", "p99_duration_ms"),
)
_OF_CALLS = (
    *("start_time", "bcp_name", "tool_name", "outcome", "error_type", "error_message", "duration_ms"),
    *("parameters", "session_id", "client_name", "release"),
)
_OF_CHANGES = (
    *("changed_at", "bcp_name", "tool_name", "change", "description", "previous_description", "call_count"),
    *("previous_call_count", "success_rate", "previous_success_rate", "p95_duration_ms"),
    *("previous_p95_duration_ms", "context_bytes", "previous_context_bytes"),
)
_A_YEAR = timedelta(days=365)
_URGENCY = {"regressed": 0, "new": 1, "ongoing": 2, "resolved": 3}
OCCURRENCES = """
select "timestamp" as happened_at, level::text as level, bcp_name, tool_name, error_type, message, release,
    session_id, stack_trace
from bcp.error_logs
where fingerprint = %s and "timestamp" >= %s and "timestamp" < %s
order by "timestamp" desc
limit %s
"""
ISSUE = """
select i.* from bcp.error_issues(p_since => %s, p_until => %s, p_fingerprint => %s) as i
"""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool."""

    about: str
    """What it answers, for the model."""
    work: Work
    properties: dict[str, Schema]
    required: tuple[str, ...] = ()
    changes: bool = False
    """Whether it changes anything: then it needs an administrator's rights, and to be allowed."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of its arguments."""
        found: Schema = {"type": "object", "properties": self.properties, "additionalProperties": False}
        return found | ({"required": list(self.required)} if self.required else {})


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.2%}"


def _issue_rows(issues: list[Any]) -> list[Row]:
    """Regressed and new ones first: these are what changed."""
    ordered = sorted(issues, key=lambda issue: (_URGENCY[issue.state], -issue.error_count))
    return [row_of(issue, *_OF_ISSUES) for issue in ordered]


async def _totals(conn: Conn, asked: Given, answer: Answer) -> None:
    [now] = await queries.report_totals(conn, **asked.range, **asked.some("bcp_name", "tool_name"))
    p95 = "unknown" if now.p95_duration_ms is None else f"{now.p95_duration_ms:.4g} ms"
    answer.say(
        f"{asked.words[0].upper()}{asked.words[1:]}: {now.call_count} calls ({now.previous_call_count} in "
        f"the period of the same length before), {now.error_count} failed, success "
        f"{_percent(now.success_rate)}, p95 {p95}, {now.tool_count} tools."
    )
    if not now.call_count:
        answer.say("No call was recorded in this range. Try an earlier since, such as 7d or 30d.")


async def _alerts(conn: Conn, asked: Given, answer: Answer) -> None:
    alerts = await queries.active_alerts(conn, **asked.some("bcp_name", "tool_name"))
    answer.say(f"{len(alerts)} alerts are open.")
    names = ("rule_name", "severity", "bcp_name", "tool_name", "metric", "value", "threshold", "opened_at")
    answer.rows(
        "alert", [row_of(a, *names) for a in alerts], limit=5, how="See the page of alerts.", share=0.2
    )


async def _issues(conn: Conn, asked: Given, answer: Answer, most: int, share: float = 1.0) -> None:
    named = asked.some("bcp_name", "tool_name", "state", "level")
    found = _issue_rows(await queries.error_issues(conn, **asked.range, **named, limit=1_000))
    counts = {state: sum(row["state"] == state for row in found) for state in _URGENCY}
    counted = ", ".join(f"{count} {state}" for state, count in counts.items())
    answer.say(f"Issues (groups of errors with one cause): {counted}.")
    answer.rows("issue", found, limit=most, how=f"The tool issues lists them. {_NARROW}", share=share)


async def _failed_calls(conn: Conn, asked: Given, answer: Answer, most: int, share: float = 1.0) -> None:
    named = asked.some("bcp_name", "tool_name")
    calls = await queries.failed_calls(conn, **asked.range, **named, limit=most + 1)
    rows = [row_of(call, *_OF_CALLS) for call in calls]
    answer.rows("failed_call", rows, limit=most, how=f"These are the newest. {_NARROW}", share=share)


async def _worse(conn: Conn, asked: Given, answer: Answer, most: int, share: float) -> None:
    named = asked.some("bcp_name", "tool_name")
    trends = await queries.tool_trends(conn, **asked.range, **named)
    worse = [
        (
            trend.success_rate - (1 if trend.previous_success_rate is None else trend.previous_success_rate),
            trend,
        )
        for trend in trends
        if trend.success_rate is not None
        and trend.success_rate < (1 if trend.previous_success_rate is None else trend.previous_success_rate)
    ]
    worse.sort(key=lambda pair: pair[0])
    answer.say(f"{len(worse)} tools succeed less often than in the period before.")
    rows = [row_of(trend, *_OF_TRENDS) for _, trend in worse]
    answer.rows(
        "tool_that_got_worse", rows, limit=most, how=f"The tool trends lists them. {_NARROW}", share=share
    )


async def overview(conn: Conn, asked: Given, answer: Answer) -> None:
    """Answer how the store's tools do as a whole."""
    await _totals(conn, asked, answer)
    await _alerts(conn, asked, answer)
    await _issues(conn, asked, answer, 5, 0.5)
    trends = await queries.tool_trends(conn, **asked.range, **asked.some("bcp_name"))
    rows = [row_of(trend, *_OF_TRENDS) for trend in trends]
    answer.rows("tool", rows, limit=10, how=f"Most called first; the tool trends lists them. {_NARROW}")
    answer.more("/", **asked.query)


async def failures(conn: Conn, asked: Given, answer: Answer) -> None:
    """Answer what broke."""
    await _totals(conn, asked, answer)
    await _issues(conn, asked, answer, asked.get("limit", 10), 0.5)
    await _worse(conn, asked, answer, 5, 0.5)
    await _failed_calls(conn, asked, answer, 5)
    answer.more("/errors", **asked.query)


async def tool(conn: Conn, asked: Given, answer: Answer) -> None:
    """Answer how one tool does."""
    await _totals(conn, asked, answer)
    named = asked.some("bcp_name", "tool_name")
    trends = await queries.tool_trends(conn, **asked.range, **named)
    answer.rows("tool", [row_of(trend) for trend in trends], limit=5, how="Give bcp_name.", share=0.3)
    parts = await queries.usage_breakdown(conn, **asked.range, **named, by=["release", "client_name"])
    answer.rows("release_and_client", [row_of(part) for part in parts], limit=5, how=_NARROW, share=0.3)
    await _issues(conn, asked, answer, 5, 0.6)
    await _failed_calls(conn, asked, answer, 5)
    answer.more("/tools", **asked.query)


async def issues(conn: Conn, asked: Given, answer: Answer) -> None:
    """List issues."""
    await _issues(conn, asked, answer, asked.get("limit", 15))
    answer.more("/errors", **asked.query)


async def issue(conn: Conn, asked: Given, answer: Answer) -> None:
    """Answer all about one issue: also what happened before yesterday, unless the range says otherwise."""
    since = asked.since if asked.ranged else asked.now - _A_YEAR
    fingerprint = asked.get("fingerprint")
    async with conn.cursor(row_factory=dict_row) as cur:
        await cur.execute(ISSUE, [since, asked.until, fingerprint])
        found = await cur.fetchall()
        if not found:
            answer.say("No issue of this fingerprint had an error in the range: the tool issues lists them.")
            return
        most = asked.get("limit", 5)
        await cur.execute(OCCURRENCES, [fingerprint, since, asked.until, most + 1])
        occurrences = await cur.fetchall()
    answer.say("The issue, and its newest occurrences.")
    answer.rows("issue", [row_of(one) for one in found], limit=1, how="")
    rows = [row_of(one) for one in occurrences]
    answer.rows("occurrence", rows, limit=most, how="These are the newest. Give until or a larger limit.")
    answer.more("/errors", **asked.query)


async def session(conn: Conn, asked: Given, answer: Answer) -> None:
    """Answer what happened in a session, the latest rows of it."""
    most = asked.get("limit", 40)
    times = {name: getattr(asked, name) for name in ("since", "until") if name in asked.values}
    named = asked.some("session_id")
    found = await queries.session_timeline(conn, **named, **times, limit=10_000)
    if not found:
        answer.say("There is no such session, or nothing in it in the range.")
        return
    answer.say(f"The session has {len(found)} rows. The latest come first.")
    names = (
        *("happened_at", "since_previous_ms", "bcp_name", "tool_name", "duration_ms", "outcome", "level"),
        *("error_type", "message", "session_id"),
    )
    latest = [row_of(event, *names, what=event.kind) for event in reversed(found)]
    answer.rows("event", latest, limit=most, how="Give until to see earlier ones, or another limit.")


async def trends(conn: Conn, asked: Given, answer: Answer) -> None:
    """Answer what changed."""
    await _totals(conn, asked, answer)
    order = asked.some("order")
    found = await queries.tool_trends(conn, **asked.range, **asked.some("bcp_name", "tool_name"), **order)
    answer.say(_BEFORE)
    rows = [row_of(trend, *_OF_TRENDS, "call_change", "p95_change") for trend in found]
    answer.rows("tool", rows, limit=asked.get("limit", 15), how=_NARROW)
    answer.more("/tools", **asked.query)


async def context_cost(conn: Conn, asked: Given, answer: Answer) -> None:
    """Answer what fills the model's context."""
    most = asked.get("limit", 15)
    named = asked.some("bcp_name", "tool_name", "by")
    found = await queries.context_cost(conn, **asked.range, **named, limit=most + 1)
    answer.say(f"What filled the models' context {asked.words}, most tokens first. share is from 0 to 1.")
    answer.rows("cost", [row_of(cost) for cost in found], limit=most, how=_NARROW)
    answer.more("/context", **asked.query)


async def intents(conn: Conn, asked: Given, answer: Answer) -> None:
    """Answer why agents call, which tools they miss, and what changed in the tools."""
    most = asked.get("limit", 10)
    bundle, named = asked.some("bcp_name"), asked.some("bcp_name", "tool_name")
    missed = await queries.missing_tools(conn, **asked.range, **bundle, limit=most + 1)
    changes = await queries.tool_changes(conn, **asked.range, **named, limit=most + 1)
    wanted = await queries.intents(conn, **asked.range, **named, limit=most + 1)
    answer.say(f"Why agents called {asked.words}, as far as they said so; the same words are one intent.")
    answer.say(
        "missing_tool is what they looked for in vain, tool_change a tool that was defined anew or went."
    )
    rows = [row_of(one, "intent", "bcp_name", "request_count", "last_seen") for one in missed]
    answer.rows("missing_tool", rows, limit=most, how=_NARROW, share=0.3)
    rows = [row_of(one, *_OF_CHANGES) for one in changes]
    answer.rows("tool_change", rows, limit=most, how=f"These are the newest. {_NARROW}", share=0.5)
    names = ("intent", "bcp_name", "tool_name", "call_count", "success_rate", "session_count", "last_seen")
    answer.rows("intent", [row_of(one, *names) for one in wanted], limit=most, how=_NARROW)
    answer.more("/tools", **asked.query)


async def search(conn: Conn, asked: Given, answer: Answer) -> None:
    """Find errors by their words."""
    most = asked.get("limit", 10)
    named = asked.some("query", "bcp_name", "tool_name")
    found = await queries.search_errors(conn, **asked.range, **named, limit=most + 1)
    answer.say(f"{min(len(found), most)} errors {asked.words}, best match first.")
    names = (
        *("happened_at", "level", "error_type", "message", "bcp_name", "tool_name", "session_id", "release"),
        "fingerprint",
    )
    answer.rows("error", [row_of(error, *names) for error in found], limit=most, how=_NARROW)
    answer.more("/errors", **asked.query)


async def resolve_issue(conn: Conn, asked: Given, answer: Answer) -> None:
    """Mark an issue as resolved."""
    await upkeep.resolve_issue(conn, asked.get("fingerprint"), **asked.some("notes", "release"))
    answer.say("The issue is resolved. An error of it that comes later, or in a later release, reopens it.")


_FINGERPRINT = {"fingerprint": given.TEXT | {"description": "Of an issue, as issues and failures list it."}}
TOOLS: dict[str, Tool] = {
    "overview": Tool(
        "How do the recorded tools do? Calls, failures, success, p95, open alerts, new issues, top tools.",
        overview,
        given.RANGE | given.BCP,
    ),
    "failures": Tool(
        "What broke? New, regressed and frequent issues, tools that succeed less often than before, and the "
        "newest failed calls. Start here for: what broke since yesterday?",
        failures,
        given.RANGE | given.BCP | given.TOOL | given.limit(10, 50),
    ),
    "tool": Tool(
        "How does one tool do? Calls, success, percentiles, by release and client, issues, failed calls.",
        tool,
        given.RANGE | given.BCP | given.TOOL,
        ("tool_name",),
    ),
    "issues": Tool(
        "Which causes of errors are there? One row per issue, regressed and new first.",
        issues,
        given.RANGE
        | given.BCP
        | given.TOOL
        | {
            "state": given.choice(
                "new", "ongoing", "regressed", "resolved", about="Only issues in this state."
            ),
            "level": given.choice("debug", "info", "warn", "error", "fatal", about="Only of this level."),
        }
        | given.limit(15, 100),
    ),
    "issue": Tool(
        "What is known of one issue? Its state, and its newest occurrences with stack trace and session. All "
        "of the last year by default.",
        issue,
        _FINGERPRINT | given.RANGE | given.limit(5, 20),
        ("fingerprint",),
    ),
    "session": Tool(
        "What happened in a session, call by call? Without session_id the one that was active last.",
        session,
        {"session_id": given.TEXT | {"description": "As other answers name it."}}
        | given.RANGE
        | given.limit(40, 200),
    ),
    "trends": Tool(
        f"What changed? Calls, success and percentiles of each tool. {_BEFORE}",
        trends,
        given.RANGE
        | given.BCP
        | given.TOOL
        | {
            "order": given.choice(
                *("calls", "call_change", "success_rate", "p50_change", "p95_change", "p99_change"),
                about="What comes first: most calls, or the greatest change for the worse.",
            )
        }
        | given.limit(15, 100),
    ),
    "context_cost": Tool(
        "What fills the models' context? Tokens and bytes of answers, by tool or by session.",
        context_cost,
        given.RANGE
        | given.BCP
        | given.TOOL
        | {"by": given.choice("tool", "session", about="One row per tool, or per session.")}
        | given.limit(15, 100),
    ),
    "intents": Tool(
        "Why do agents call, which tools do they look for in vain, and which tools were added, changed or "
        "removed, with their figures before and after?",
        intents,
        given.RANGE | given.BCP | given.TOOL | given.limit(10, 50),
    ),
    "search": Tool(
        "Which errors say this? Full text of messages, types and tools, as in a web search.",
        search,
        {"query": given.TEXT | {"description": 'Words, "a phrase", or, -without.'}}
        | given.RANGE
        | given.BCP
        | given.TOOL
        | given.limit(10, 50),
        ("query",),
    ),
    "resolve_issue": Tool(
        "Mark an issue as resolved, once its cause is mended. This is for everybody: ask the user first.",
        resolve_issue,
        _FINGERPRINT
        | {
            "notes": given.TEXT | {"description": "What was done, for people."},
            "release": given.TEXT | {"description": "The release that mends it."},
        },
        ("fingerprint",),
        changes=True,
    ),
}
"""By their names."""
