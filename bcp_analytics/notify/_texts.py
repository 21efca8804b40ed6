"""What people read: a title and lines, made of a payload whose texts anybody may have written."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from bcp_analytics._render.visible import visible_line

if TYPE_CHECKING:
    from bcp_analytics.notify._claims import Claim

_MOST = 120
_METRICS = {
    "avg_duration_ms": "mean duration",
    "success_rate": "success rate",
    "error_rate": "error rate",
    "throughput": "calls a minute",
    "burn_rate": "burn rate",
}


def plain(text: object, most: int = _MOST) -> str:
    """Return a text of an event in one line, cut, with nothing in it that a chat would obey or link."""
    line = visible_line(str(text))
    if len(line) > most:
        line = line[: most - 1] + "…"
    # A zero-width space ends what would be a mention, a link or an image, and reads as nothing.
    return line.replace("@", "@\u200b").replace("://", ":\u200b//").replace("](", "]\u200b(")


def _number(value: float | None, metric: str = "") -> str:
    if value is None:
        return "unknown"
    # Infinite values are text in JSON.
    value = float(value)
    if metric.endswith("_rate") and metric != "burn_rate":
        return f"{value:.2%}"
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"  # noqa: PLR2004
    return shown + (" ms" if metric.endswith("_ms") else "")


def _time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M UTC")


def _whose(row: dict[str, Any]) -> str:
    parts = [plain(row[key]) for key in ("bcp_name", "tool_name") if row.get(key)]
    return "/".join(parts) or "all calls"


def _alert(alert: dict[str, Any]) -> str:
    metric = alert["metric"]
    said = (
        f"{alert['event'].upper()} {_whose(alert)}: {_METRICS.get(metric, metric)} "
        f"{_number(alert['value'], metric)}, threshold {_number(alert['threshold'], metric)}, "
        f"of {alert['calls']:,} calls"
    )
    if closed := alert.get("closed_at"):
        return f"{said}; open from {_time(alert['opened_at'])} to {_time(closed)}"
    return f"{said}; since {_time(alert['opened_at'])}"


def _alerts(payload: dict[str, Any]) -> tuple[str, list[str]]:
    alerts = payload["alerts"]
    counts = {event: sum(a["event"] == event for a in alerts) for event in ("opened", "closed")}
    said = ", ".join(f"{n} {event}" for event, n in counts.items() if n)
    if more := payload["total"] - len(alerts):
        said = f"{said}, {more:,} more"
    lines = [plain(payload["description"], 500)] if payload.get("description") else []
    lines += [_alert(alert) for alert in alerts]
    if more:
        lines.append(f"... and {more:,} more: bcp.alert_history has all.")
    return f"[{payload['severity']}] {plain(payload['rule_name'])}: {said}", lines


def _changed(row: dict[str, Any]) -> str:
    parts = []
    if row["success_rate"] is not None and row["previous_success_rate"] is not None:
        before, now = row["previous_success_rate"], row["success_rate"]
        parts.append(f"success {_number(before, 'success_rate')} -> {_number(now, 'success_rate')}")
    if row["p95_duration_ms"] is not None and row["previous_p95_duration_ms"] is not None:
        before, now = row["previous_p95_duration_ms"], row["p95_duration_ms"]
        parts.append(f"p95 {_number(before, '_ms')} -> {_number(now, '_ms')}")
    return f"- {_whose(row)}: {', '.join(parts)}, of {row['call_count']:,} calls"


def _digest(payload: dict[str, Any]) -> tuple[str, list[str]]:
    title = f"Digest of week {payload['week']}"
    if "sqlstate" in payload:
        return title, [f"It could not be computed: SQLSTATE {payload['sqlstate']}. bcp.health() may say why."]
    totals = payload["totals"]
    calls, before = totals["call_count"], totals["previous_call_count"]
    rate = totals["success_rate"]
    title += f": {calls:,} calls" + ("" if rate is None else f", {_number(rate, 'success_rate')} succeeded")
    figures = (
        f"{calls:,} calls ({before:,} the week before), {totals['error_count']:,} failed, "
        f"{totals['tool_count']:,} tools, {totals['session_count'] or 0:,} sessions, "
        f"p95 {_number(totals['p95_duration_ms'], '_ms')}."
    )
    lines = [
        figures,
        "",
        "What changed:",
        *(_changed(row) for row in payload["changed"]),
        "",
        "What broke:",
        *(
            f"- {row['state']}, {row['error_count']:,} times, {_whose(row)}: "
            f"{plain(row['error_type'] or 'error')}: {plain(row['message'] or '', 200)}"
            for row in payload["broke"]
        ),
        *(
            f"- alert {plain(row['rule_name'])} opened {row['opened']:,} times, "
            f"{row['still_open']:,} still open"
            for row in payload["alerts"]
        ),
        "",
        "What costs, in tokens of the model's context:",
        *(
            f"- {_whose(row)}: {row['tokens']:,}, {_number(row['share'], 'success_rate')}"
            for row in payload["costs"]
        ),
    ]
    told = []
    for n, line in enumerate(lines):
        told.append(line)
        if line.endswith(":") and (n + 1 == len(lines) or not lines[n + 1]):
            told.append("- nothing")
    return title, told


def texts(claim: Claim) -> tuple[str, list[str]]:
    """Return the title of a message, and its lines."""
    if claim.about == "alerts":
        return _alerts(claim.payload)
    if claim.about == "digest":
        return _digest(claim.payload)
    return f"Test of the channel {plain(claim.channel_name)}", ["Alerts of bcp_analytics arrive here."]
