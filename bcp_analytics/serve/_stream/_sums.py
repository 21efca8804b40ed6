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
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bcp_analytics.queries import LiveMetric, SuccessAndErrorRates

# Bundle and tool. A bundle as a whole has no tool, and all calls together have neither.
Key = tuple[str | None, str | None]

Value = TypeVar("Value")

ALL: Key = (None, None)
_STEP = 10
_PERCENTILES = {"p50_duration_ms": 0.5, "p95_duration_ms": 0.95, "p99_duration_ms": 0.99}


class Sums:
    """What the calls of a tool, of a bundle, or all of them add up to: of the window, and of the day."""

    __slots__ = (
        "calls",
        "changed",
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
        # Since somebody last set this to false.
        self.changed = True

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


class Cell(NamedTuple):
    """Calls of one second, tool, outcome and duration: what is kept of a row, as there are many."""

    levels: tuple[Sums, Sums, Sums]
    """Where they are added: their tool, its bundle, and all calls."""
    outcome: str | None
    success: bool | None
    start_day: datetime
    duration_ms: float | None
    calls: int
    sum_duration_ms: float
    request_bytes: int
    response_bytes: int


def _add(cells: Iterable[Cell], sign: int, day: datetime | None = None) -> None:
    """Add cells to their sums, and to those of the day if it is given; a `sign` of -1 takes them away."""
    # As bare as it is because it sees each call of the stream two times, at three levels.
    for levels, outcome, success, start_day, duration, calls, sum_ms, request_bytes, response_bytes in cells:
        number = sign * calls
        for sums in levels:
            sums.changed = True
            sums.calls += number
            if success:
                sums.successes += number
            elif success is not None:
                sums.errors += number
            if outcome is not None:
                _count(sums.outcomes, outcome, number)
            if duration is not None:
                sums.timed += number
                sums.sum_ms += sign * sum_ms
                _count(sums.durations, duration, number)
            sums.request_bytes += sign * request_bytes
            sums.response_bytes += sign * response_bytes
            if start_day == day:
                sums.today[0] += number
                if success is not None:
                    sums.today[1 if success else 2] += number


def _count(counts: dict[Value, int], of: Value, number: int) -> None:
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
        # Values that many cells share, so that each is there once.
        self._shared: dict[Any, Any] = {}
        self._levels: dict[Key, tuple[Sums, Sums, Sums]] = {}
        self.sums: dict[Key, Sums] = {}

    def start(self, now: datetime, totals: Iterable[SuccessAndErrorRates]) -> None:
        """Begin anew with the totals of the day so far; `add_window` then takes rows of the same snapshot."""
        self._day = midnight(now)
        self._taken = now
        self._seconds.clear()
        self._levels.clear()
        self._shared.clear()
        self.sums = {ALL: Sums()}
        for total in totals:
            for sums in self._levels_of((total.bcp_name, total.tool_name)):
                sums.today[0] += total.call_count
                sums.today[1] += total.success_count
                sums.today[2] += total.error_count

    def window(self) -> Iterator[tuple[datetime, datetime | None]]:
        """Return the ranges of which `add_window` wants rows: short ones, since a row takes much memory."""
        begin = self._taken.replace(microsecond=0) - timedelta(seconds=self._window)
        steps = [begin + timedelta(seconds=n) for n in range(0, self._window, _STEP)]
        yield from zip(steps, [*steps[1:], None], strict=True)

    def add_window(self, rows: Iterable[LiveMetric]) -> None:
        """Add rows that the totals of the day hold already."""
        for second, cells in self._by_second(rows).items():
            self._seconds[second] = cells
            _add(cells, 1)

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
            # A second that comes again is mostly what it was.
            before, now_there = set(self._seconds.get(second, ())), set(cells)
            _add(before - now_there, -1, self._day)
            _add(now_there - before, 1, self._day)
            self._seconds[second] = cells
        oldest = int(now.timestamp()) - self._window
        for second in [second for second in self._seconds if second < oldest]:
            _add(self._seconds.pop(second), -1)
        for key in [key for key, sums in self.sums.items() if key != ALL and sums.is_empty()]:
            del self.sums[key]
            self._levels.pop(key, None)

    def _by_second(self, rows: Iterable[LiveMetric]) -> dict[int, list[Cell]]:
        seconds: defaultdict[int, list[Cell]] = defaultdict(list)
        share = self._shared.setdefault
        for row in rows:
            seconds[int(row.stored_at.timestamp())].append(
                Cell(
                    self._levels_of((row.bcp_name, row.tool_name)),
                    share(row.outcome, row.outcome),
                    row.success,
                    share(row.start_day, row.start_day),
                    share(row.duration_ms, row.duration_ms),
                    row.call_count,
                    row.sum_duration_ms or 0.0,
                    row.request_bytes,
                    row.response_bytes,
                )
            )
        return seconds

    def _levels_of(self, key: Key) -> tuple[Sums, Sums, Sums]:
        levels = self._levels.get(key)
        if levels is None:
            tool, bundle, everything = (self.sums.setdefault(k, Sums()) for k in (key, (key[0], None), ALL))
            levels = self._levels[key] = tool, bundle, everything
        return levels


def midnight(time: datetime) -> datetime:
    """Return the start of the UTC day."""
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
