"""Running sums of the calls that were stored just now, kept from what each tick reads.

Nothing here knows the database or the clock: a tick hands in the rows of `bcp.live_metrics` and the time of
the database. `docs/reference/live.md` says how to do the same in another language.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bcp_analytics.queries import LiveMetric, SuccessAndErrorRates

# Bundle and tool. A bundle as a whole has no tool, and all calls together have neither.
Key = tuple[str | None, str | None]

ALL: Key = (None, None)
_PERCENTILES = {"p50_duration_ms": 0.5, "p95_duration_ms": 0.95, "p99_duration_ms": 0.99}


class Cell(NamedTuple):
    """Calls of one second, tool, outcome and duration: what is kept of a row, as there are many."""

    key: Key
    outcome: str | None
    success: bool | None
    today: bool
    duration_ms: float | None
    calls: int
    sum_duration_ms: float
    request_bytes: int
    response_bytes: int


class Sums:
    """What the calls of a tool, of a bundle, or all of them add up to: of the window, and of the day."""

    __slots__ = (
        "calls",
        "durations",
        "errors",
        "outcomes",
        "request_bytes",
        "response_bytes",
        "successes",
        "sum_ms",
        "timed",
        "today",
    )

    def __init__(self) -> None:
        self.calls = self.successes = self.errors = self.timed = self.request_bytes = self.response_bytes = 0
        self.sum_ms = 0.0
        self.outcomes: dict[str, int] = {}
        self.durations: dict[float, int] = {}
        # Calls, successes and errors.
        self.today = [0, 0, 0]

    def add(self, cell: Cell, sign: int) -> None:
        """Add the calls of a cell to the window; a `sign` of -1 takes them away."""
        calls = sign * cell.calls
        self.calls += calls
        if cell.success:
            self.successes += calls
        elif cell.success is not None:
            self.errors += calls
        if cell.outcome is not None:
            _count(self.outcomes, cell.outcome, calls)
        if cell.duration_ms is not None:
            self.timed += calls
            self.sum_ms += sign * cell.sum_duration_ms
            _count(self.durations, cell.duration_ms, calls)
        self.request_bytes += sign * cell.request_bytes
        self.response_bytes += sign * cell.response_bytes

    def add_today(self, cell: Cell, sign: int) -> None:
        """Do the same for the calls of the day."""
        self.today[0] += sign * cell.calls
        if cell.success is not None:
            self.today[1 if cell.success else 2] += sign * cell.calls

    def is_empty(self) -> bool:
        """Return whether there is no call."""
        return self.calls == 0 and self.today[0] == 0

    def figures(self) -> dict[str, Any]:
        """Return what a frame says of them."""
        known = self.successes + self.errors
        return {
            "calls": self.calls,
            "successes": self.successes,
            "errors": self.errors,
            "success_rate": round(self.successes / known, 6) if known else None,
            "outcomes": dict(sorted(self.outcomes.items())),
            "avg_duration_ms": round(self.sum_ms / self.timed, 3) if self.timed else None,
            **self._percentiles(),
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "calls_today": self.today[0],
            "successes_today": self.today[1],
            "errors_today": self.today[2],
        }

    def _percentiles(self) -> dict[str, float | None]:
        if not self.timed:
            return dict.fromkeys(_PERCENTILES)
        # As percentile_disc: the first duration up to which there are so many calls.
        durations = sorted(self.durations)
        up_to = list(accumulate(map(self.durations.__getitem__, durations)))
        return {
            name: round(durations[bisect_left(up_to, ceil(share * self.timed))], 3)
            for name, share in _PERCENTILES.items()
        }


def _count(counts: dict[Any, int], of: object, number: int) -> None:
    count = counts.get(of, 0) + number
    if count:
        counts[of] = count
    else:
        del counts[of]


class RunningSums:
    """The sums of all tools, and which seconds of the window they are made from."""

    def __init__(self, *, window: int, overlap: int) -> None:
        """Take the length of the window, and how long after its `created_at` a commit may come: seconds."""
        self._window = window
        self._overlap = overlap
        self._taken = datetime.min.replace(tzinfo=UTC)
        self._day = datetime.min.replace(tzinfo=UTC)
        self._seconds: dict[int, list[Cell]] = {}
        self._keys: dict[Key, Key] = {}
        self.sums: defaultdict[Key, Sums] = defaultdict(Sums)
        self.changed: set[Key] = set()
        """Whose sums have changed since somebody last emptied this."""

    def start(
        self, now: datetime, totals: Iterable[SuccessAndErrorRates], rows: Iterable[LiveMetric]
    ) -> None:
        """Begin anew, from one snapshot: the totals of the day so far, and what `since_start` asks for."""
        self._day = midnight(now)
        self._taken = now
        self._seconds.clear()
        self._keys.clear()
        self.sums.clear()
        self.changed.clear()
        for total in totals:
            for key in _levels((total.bcp_name, total.tool_name)):
                today = self.sums[key].today
                today[0] += total.call_count
                today[1] += total.success_count
                today[2] += total.error_count
        self.sums[ALL]
        # The totals hold these calls already.
        for second, cells in self._by_second(rows).items():
            self._seconds[second] = cells
            self._add(cells, 1, today=False)
        self.changed.update(self.sums)

    def since_start(self, now: datetime) -> datetime:
        """Return from when on `start` wants rows."""
        return now.replace(microsecond=0) - timedelta(seconds=self._window)

    def asks(self) -> tuple[datetime, list[int]]:
        """Return from when on `take` wants rows, and how many calls it has of each second from there on.

        What was not committed when rows were taken last can be from the overlap before that.
        """
        since = self._taken.replace(microsecond=0) - timedelta(seconds=self._overlap)
        first = int(since.timestamp())
        return since, [
            sum(cell.calls for cell in self._seconds.get(second, ()))
            for second in range(first, first + self._overlap + 1)
        ]

    def take(self, now: datetime, rows: Iterable[LiveMetric]) -> None:
        """Replace the seconds that rows are of, and drop those that the window has left behind.

        `now` is a time before the rows were read.
        """
        self._taken = now
        for second, cells in self._by_second(rows).items():
            self._add(self._seconds.pop(second, []), -1)
            self._seconds[second] = cells
            self._add(cells, 1)
        oldest = int(now.timestamp()) - self._window
        for second in [second for second in self._seconds if second < oldest]:
            self._add(self._seconds.pop(second), -1, today=False)

    def _by_second(self, rows: Iterable[LiveMetric]) -> dict[int, list[Cell]]:
        seconds: defaultdict[int, list[Cell]] = defaultdict(list)
        for row in rows:
            key = (row.bcp_name, row.tool_name)
            seconds[int(row.stored_at.timestamp())].append(
                Cell(
                    self._keys.setdefault(key, key),
                    row.outcome,
                    row.success,
                    row.start_day == self._day,
                    row.duration_ms,
                    row.call_count,
                    row.sum_duration_ms or 0.0,
                    row.request_bytes,
                    row.response_bytes,
                )
            )
        return seconds

    def _add(self, cells: Iterable[Cell], sign: int, *, today: bool = True) -> None:
        for cell in cells:
            for key in _levels(cell.key):
                sums = self.sums[key]
                sums.add(cell, sign)
                if today and cell.today:
                    sums.add_today(cell, sign)
                self.changed.add(key)


def midnight(time: datetime) -> datetime:
    """Return the start of the UTC day."""
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _levels(key: Key) -> tuple[Key, Key, Key]:
    return key, (key[0], None), ALL
