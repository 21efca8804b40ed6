"""What the functions of SQL answer, day by day, as the views of the lake have it, and how both compare."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

    Db = psycopg.Connection[Any]

Rows = dict[tuple[Any, ...], tuple[Any, ...]]
FIRST, LAST = date(2026, 1, 5), date(2026, 1, 7)

KEYS = {
    "bcp_usage_1h": ("bucket", "bcp_name", "tool_name"),
    "bcp_usage_1d": ("day", "bcp_name", "tool_name"),
    "bcp_errors_1d": ("day", "level", "bcp_name", "tool_name", "error_type"),
    "bcp_session_stats_1d": ("day", "client_name"),
    "bcp_top_users_1d": ("day", "user_id"),
    "bcp_context_cost_1d": ("day", "bcp_name", "tool_name"),
}
_USAGE = (
    "call_count", "success_count", "error_count", "success_rate", "avg_duration_ms", "p50_duration_ms",
    "p95_duration_ms", "p99_duration_ms", "max_duration_ms", "request_bytes", "response_bytes",
)  # fmt: skip
VALUES = {
    "bcp_usage_1h": _USAGE,
    "bcp_usage_1d": _USAGE,
    "bcp_errors_1d": ("error_count", "share", "issue_count", "first_seen", "last_seen"),
    "bcp_session_stats_1d": (
        "session_count", "user_count", "call_count", "error_count", "calls_per_session", "single_call_count",
        "avg_duration_ms", "p50_duration_ms", "p95_duration_ms", "max_duration_ms",
    ),
    "bcp_top_users_1d": (
        "call_count", "success_count", "error_count", "success_rate", "share", "response_bytes"
    ),
    "bcp_context_cost_1d": (
        "call_count", "response_bytes", "avg_response_bytes", "share", "tokens", "given_tokens"
    ),
}  # fmt: skip
_ASKED = {
    "bcp_usage_1h": "bcp.tool_usage_stats(%s, %s, '1 hour')",
    "bcp_usage_1d": "bcp.tool_usage_stats(%s, %s, '1 day')",
    "bcp_errors_1d": "bcp.error_analysis(%s, %s)",
    "bcp_session_stats_1d": "bcp.session_stats(%s, %s)",
    "bcp_top_users_1d": "bcp.top_users(%s, %s, p_limit => 10000)",
    "bcp_context_cost_1d": "bcp.context_cost(%s, %s, p_limit => 10000)",
}


def of_sql(conn: Db, view: str) -> Rows:
    """Ask the function that a view stands for, for each day by itself."""
    found: Rows = {}
    day = FIRST
    while day <= LAST:
        names = {"day": "%s::date", "bucket": "time_bucket at time zone 'UTC'", "level": "level::text"}
        listed = ", ".join(names.get(name, name) for name in (*KEYS[view], *VALUES[view]))
        params: list[Any] = [f"{day}T00:00:00Z", f"{day + timedelta(days=1)}T00:00:00Z"]
        if "day" in KEYS[view]:
            params.insert(0, day)
        query = sql.SQL(f"select {listed} from {_ASKED[view]}")  # type: ignore[arg-type]
        rows = conn.execute(query, params).fetchall()
        found |= as_rows(rows, len(KEYS[view]))
        day += timedelta(days=1)
    return found


def as_rows(rows: list[tuple[Any, ...]], keys: int) -> Rows:
    made = {tuple(map(_plain, row[:keys])): tuple(map(_plain, row[keys:])) for row in rows}
    assert len(made) == len(rows), "a key twice"
    return made


def _plain(value: Any) -> Any:
    # Engines give times with a zone, whichever, or without one, and then in UTC.
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return value


def differences(found: Rows, expected: Rows) -> list[str]:
    """Counts and what is no float have to be the same, floats up to 1e-12 of their size."""
    said = [f"missing {key}"[:200] for key in expected.keys() - found.keys()]
    said += [f"too many {key}"[:200] for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        for number, (one, other) in enumerate(zip(found[key], expected[key], strict=True)):
            if isinstance(other, float) and one is not None:
                same = math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-300)
            else:
                same = one == other and type(one) is type(other)
            if not same:
                said.append(f"{str(key)[:120]} value {number}: {one!r} and not {other!r}")
    return said
