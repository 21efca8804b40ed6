"""Programs that write and ask until a file appears, and then print what they saw:

python -m tests.scheduler.work write DSN STOP_FILE SPOOL SECONDS_OF_FAILURES
python -m tests.scheduler.work ask DSN STOP_FILE SINCE UNTIL LIVE_SINCE
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

# Errors that clients see while the database ends, and while it starts.
AWAY = {None, "57P01", "57P02", "57P03", "08000", "08003", "08006"}
# What the server shows of the last hours has no answer about days that are over.
NOT_OF_A_RANGE = {"health", "active_alerts", "alert_history", "notification_history", "live_metrics"} | {
    "recent_calls"
}


def write(dsn: str, stop: Path, spool: str, failing_for: str) -> dict[str, int]:
    from bcp_analytics import Collector  # noqa: PLC0415 - it watches over signals

    fails_until = time.monotonic() + float(failing_for)
    recorded = 0
    with Collector(dsn, source="scheduler", spool=spool, durable=True, flush_interval_s=0.2) as collector:
        while not stop.exists():
            failed = time.monotonic() < fails_until and recorded % 2 == 0
            collector.record(
                "live",
                f"tool-{recorded % 5}",
                parameters={"n": recorded},
                duration_ms=recorded % 100,
                success=not failed,
                user_id=f"user-{recorded % 50}",
                session_id=f"live-{recorded % 20}",
            )
            recorded += 1
            time.sleep(0.01)
        assert collector.flush(60)
    return {"recorded": recorded}


def answers(conn: psycopg.Connection[Any], name: str, since: str, until: str) -> str:
    """Return what a question answers of a range, as text."""
    from bcp_analytics.queries._questions import QUESTIONS  # noqa: PLC0415 - not of who writes

    ask, _ = QUESTIONS[name]
    range_ = {"since": datetime.fromisoformat(since), "until": datetime.fromisoformat(until)}
    return "\n".join(map(repr, ask(conn, **range_)))


def questions() -> list[str]:
    from bcp_analytics.queries._questions import QUESTIONS  # noqa: PLC0415 - only this program needs it

    return [name for name in QUESTIONS if name not in NOT_OF_A_RANGE | {"session_timeline"}]


def ask(dsn: str, stop: Path, since: str, until: str, live_since: str) -> dict[str, Any]:
    """Ask every question of days that do not change, and how many calls there are of today's."""
    truth = json.loads(stop.with_name("truth.json").read_text())
    live = (
        "select coalesce(sum(call_count), 0)::integer"
        " from bcp.tool_usage_stats(%s, 'infinity', p_bcp_name => 'live')"
    )
    asked = 0
    known = 0
    wrong: Counter[str] = Counter()
    first_wrong: dict[str, str] = {}
    errors: Counter[str] = Counter()
    away = 0
    conn = None
    while not stop.exists():
        try:
            conn = psycopg.connect(dsn, autocommit=True) if conn is None else conn
            for name in random.sample(questions(), 5):
                found = answers(conn, name, since, until)
                asked += 1
                if found != truth[name]:
                    wrong[name] += 1
                    first_wrong.setdefault(name, found)
            [(calls,)] = conn.execute(live, [live_since]).fetchall()
            asked += 1
            if calls < known:
                wrong["fewer calls than before"] += 1
            known = max(calls, known)
        except psycopg.Error as error:
            if error.sqlstate in AWAY and isinstance(error, psycopg.OperationalError):
                away += 1
                conn = None
                time.sleep(0.2)
            else:
                errors[f"{error.sqlstate} {error}"] += 1
    return {
        "asked": asked,
        "wrong": dict(wrong),
        "first_wrong": first_wrong,
        "errors": dict(errors),
        "away": away,
    }


def main(what: str, dsn: str, stop: str, *rest: str) -> None:
    work = {"write": write, "ask": ask}[what]
    sys.stdout.write(json.dumps(work(dsn, Path(stop), *rest)))  # type: ignore[operator]


if __name__ == "__main__":
    main(*sys.argv[1:])
