"""What is sent: one text per message, made once for all who watch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bcp_analytics.serve._stream._sums import ALL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bcp_analytics.queries import ActiveAlert, RecentCall
    from bcp_analytics.serve._stream._sums import Key, RunningSums

# Of the lists of a message, in bytes: there may be many rows, with long names. What does not fit is counted.
_MOST = {"bundles": 32_000, "tools": 128_000, "recent_calls": 32_000, "changes": 32_000, "open": 32_000}
_CALL = (
    "event_id", "bcp_name", "tool_name", "operation", "outcome", "success", "error_type", "duration_ms",
    "client_name", "session_id",
)  # fmt: skip
_ALERT = (
    "alert_id", "rule_name", "severity", "bcp_name", "tool_name", "metric", "value", "threshold",
    "description",
)  # fmt: skip


_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def message(kind: str, data: str, now: datetime | None = None) -> str:
    """Return the text of a message, from its data as JSON and the time of the database."""
    return f'{{"type":"{kind}","timestamp":"{_iso(now or datetime.now(UTC))}","data":{data}}}'


def as_json(value: object) -> str:
    """Return JSON in ASCII, so that no text of an event is a character that means something to somebody."""
    return _encode(value)


class MetricFrames:
    """Makes the messages of type metric; keeps the text of a tool until its sums change."""

    def __init__(self, running: RunningSums, *, window: int) -> None:
        """Take what to show, and over how many seconds it adds up."""
        self._running = running
        self._window = window
        self._texts: dict[Key, str] = {}

    def start(self) -> None:
        """Drop all texts, because the sums begin anew."""
        self._texts.clear()

    def frame(self, now: datetime, calls: Sequence[RecentCall]) -> str:
        """Return the message of a tick."""
        sums = self._running.sums
        for key in self._texts.keys() - sums.keys():
            del self._texts[key]
        ranked = sorted(sums, key=lambda key: (-sums[key].calls, -sums[key].today[0], str(key)))
        bundles = [key for key in ranked if key[1] is None and key != ALL]
        tools = [key for key in ranked if key[1] is not None]
        lists = {
            "bundles": (map(self._text, bundles), len(bundles)),
            "tools": (map(self._text, tools), len(tools)),
            "recent_calls": (map(_call, calls), len(calls)),
        }
        head = f'{{"window_seconds":{self._window},"all":{self._text(ALL)},'
        return message("metric", head + _members(lists) + "}", now)

    def _text(self, key: Key) -> str:
        sums = self._running.sums[key]
        if sums.changed or key not in self._texts:
            self._texts[key] = as_json(_named(key) | sums.figures())
            sums.changed = False
        return self._texts[key]


class AlertFrames:
    """Makes the messages of type alert: what has opened and closed, and what is open."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._open: dict[int, dict[str, Any]] | None = None

    def take(self, alerts: Iterable[ActiveAlert], now: datetime) -> str | None:
        """Return the message about what has changed since the last time; None where nothing has."""
        before = self._open
        self._open = {alert.alert_id: _alert(alert) for alert in alerts}
        if before is None:
            return self.current(now)
        changes = [{"event": "opened"} | alert for n, alert in self._open.items() if n not in before]
        changes += [{"event": "closed"} | alert for n, alert in before.items() if n not in self._open]
        return self._frame(changes, self._open.values(), now) if changes else None

    def current(self, now: datetime) -> str | None:
        """Return the message for who begins to watch; None where no alert is open."""
        return self._frame([], self._open.values(), now) if self._open else None

    @staticmethod
    def _frame(
        changes: Collection[dict[str, Any]], still_open: Collection[dict[str, Any]], now: datetime
    ) -> str:
        lists = {
            "changes": (map(as_json, changes), len(changes)),
            "open": (map(as_json, still_open), len(still_open)),
        }
        return message("alert", "{" + _members(lists) + "}", now)


def _members(lists: Mapping[str, tuple[Iterable[str], int]]) -> str:
    """Return lists as members of an object: as many of their rows as fit, and how many do not.

    Each comes with how many rows it has. Those that do not fit are not made.
    """
    members = []
    for name, (rows, number) in lists.items():
        fitting: list[str] = []
        left = _MOST[name]
        for row in rows:
            left -= len(row) + 1
            if left < 0:
                break
            fitting.append(row)
        members.append(f'"{name}":[{",".join(fitting)}],"{name}_left_out":{number - len(fitting)}')
    return ",".join(members)


def _named(key: Key) -> dict[str, Any]:
    return {
        name: value for name, value in zip(("bcp_name", "tool_name"), key, strict=True) if value is not None
    }


def _call(call: RecentCall) -> str:
    times = {"stored_at": _iso(call.stored_at), "start_time": _iso(call.start_time)}
    return as_json(times | {name: getattr(call, name) for name in _CALL})


def _alert(alert: ActiveAlert) -> dict[str, Any]:
    return {name: getattr(alert, name) for name in _ALERT} | {"opened_at": _iso(alert.opened_at)}


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
