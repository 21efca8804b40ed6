"""Who calls what in the demo: bundles, tools, clients, incidents.

Figures are invented, but their shapes are those of real traffic: latency is lognormal with a slow tail, and a
few tools get most calls.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which a tool fails."""

    outcome: str
    """One of the outcomes of `bcp.tool_usage_logs`."""
    error_type: str
    message: str
    """A template; `{n}` becomes a number, `{email}` the address of the person concerned."""
    level: str = "error"
    """Severity of the error event."""
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and how its calls behave."""

    bcp: str
    name: str
    operations: tuple[str, ...]
    weight: float
    """Share of the calls, relative to the other tools."""
    median_ms: float
    sigma: float
    """Standard deviation of the logarithm of the duration."""
    tail: float
    """Share of calls that are far slower than the lognormal distribution says."""
    error_rate: float
    failures: tuple[Failure, ...]
    releases: tuple[str, str]
    """Release of the tool before and after the middle of the period."""


@dataclass(frozen=True, slots=True)
class Client:
    """A program that calls tools."""

    name: str
    version: str
    models: tuple[str, ...]
    weight: float
    user_agent: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A few bad hours of one tool."""

    bcp: str
    tool: str
    days_ago: int
    """It begins on the day this many days before the end of the period, or the Friday before."""
    begins: float
    """Hour of that day, UTC."""
    hours: float
    error_rate: float
    slowdown: float
    """Durations are this many times longer meanwhile."""
    failure: Failure


_INVALID = Failure(
    "error", "ValidationError", "argument 'limit' must be at most 500, got {n}", "warn", "invalid_params"
)
_DENIED = Failure("rejected", "PermissionDenied", "{email} may not use this tool", "warn", "403")
_TIMEOUT = Failure(
    "timeout", "TimeoutError", "no answer from upstream within 30 s (attempt {n})", "error", "504"
)
_LIMITED = Failure("error", "RateLimited", "too many requests: retry after {n} s", "warn", "429")
_MISSING = Failure("soft_fail", "NotFound", "no record with id {n}", "info", "404")
_CANCELLED = Failure("cancelled", "Cancelled", "the client cancelled the request", "info")
_BROKEN = Failure(
    "error", "UpstreamUnavailable", "upstream answered 503 to request {n} of {email}", "error", "503"
)
_DECLINED = Failure(
    "soft_fail", "CardDeclined", "the bank declined the card of {email}", "info", "card_declined"
)
_DEADLOCK = Failure(
    "error", "DeadlockDetected", "process {n} waits for a lock held by another", "fatal", "40P01"
)

TOOLS = (
    Tool(
        "crm",
        "find_customer",
        ("search",),
        17,
        85,
        0.55,
        0.010,
        0.006,
        (_LIMITED, _TIMEOUT),
        ("3.1.0", "3.2.0"),
    ),
    Tool("crm", "get_customer", ("read",), 12, 34, 0.45, 0.005, 0.010, (_MISSING,), ("3.1.0", "3.2.0")),
    Tool(
        "crm",
        "update_customer",
        ("update", "merge"),
        4,
        140,
        0.60,
        0.010,
        0.020,
        (_INVALID, _DENIED),
        ("3.1.0", "3.2.0"),
    ),
    Tool(
        "mail", "search", ("search",), 9, 210, 0.70, 0.020, 0.008, (_INVALID, _TIMEOUT), ("1.14.2", "1.14.2")
    ),
    Tool(
        "mail",
        "send",
        ("send", "reply"),
        6,
        620,
        0.50,
        0.015,
        0.018,
        (_LIMITED, _BROKEN),
        ("1.14.2", "1.14.2"),
    ),
    Tool("files", "read_file", ("read",), 19, 6, 0.80, 0.004, 0.012, (_MISSING, _DENIED), ("0.9.1", "0.9.1")),
    Tool(
        "files",
        "search_files",
        ("search",),
        7,
        95,
        0.90,
        0.020,
        0.004,
        (_TIMEOUT, _CANCELLED),
        ("0.9.1", "0.9.1"),
    ),
    Tool(
        "payments",
        "charge",
        ("create", "capture"),
        4,
        480,
        0.40,
        0.012,
        0.022,
        (_DECLINED, _TIMEOUT),
        ("2026.9", "2026.10"),
    ),
    Tool("payments", "get_invoice", ("read",), 5, 55, 0.50, 0.004, 0.006, (_MISSING,), ("2026.9", "2026.10")),
    Tool(
        "warehouse",
        "run_query",
        ("select",),
        8,
        900,
        1.10,
        0.040,
        0.026,
        (_INVALID, _TIMEOUT, _DEADLOCK),
        ("5.0.0", "5.0.1"),
    ),
    Tool(
        "web",
        "fetch",
        ("get",),
        7,
        380,
        0.85,
        0.030,
        0.030,
        (_BROKEN, _TIMEOUT, _CANCELLED),
        ("0.4.0", "0.5.0"),
    ),
    Tool("calendar", "find_slot", ("search",), 2, 160, 0.50, 0.008, 0.005, (_INVALID,), ("1.2.0", "1.2.0")),
)

CLIENTS = (
    Client("support-agent", "4.2.1", ("model-large", "model-small"), 45, "support-agent/4.2.1"),
    Client("desktop-chat", "1.19.0", ("model-large",), 30, "desktop-chat/1.19.0"),
    Client("nightly-batch", "0.7.3", ("model-small",), 10, "nightly-batch/0.7.3"),
    Client("ide-plugin", "2.3.0", ("model-code", "model-large"), 15, "ide-plugin/2.3.0"),
)

_NETWORK_DOWN = Failure(
    "error", "UpstreamUnavailable", "the card network answered 503 to charge {n} of {email}", "fatal", "503"
)

INCIDENTS = (
    Incident("payments", "charge", 9, 13.5, 3.5, 0.55, 4.0, _NETWORK_DOWN),
    Incident("web", "fetch", 3, 9.0, 2.0, 0.40, 6.0, _TIMEOUT),
    Incident("mail", "send", 19, 15.0, 4.0, 0.30, 1.5, _LIMITED),
)
