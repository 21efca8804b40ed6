"""Makes the table of docs/design/measurements.md: python -m benchmarks.real_clients --table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "real_clients.json"
DOCUMENT = ROOT / "docs" / "design" / "measurements.md"
BEGIN, END = "<!-- made by benchmarks.real_clients -->\n", "<!-- end -->\n"
_ENDS = ("success", "soft_fail", "rejected", "cancelled", "timeout")


def _line(*cells: object) -> str:
    return f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in cells)} |\n"


def _head(*names: str) -> str:
    return _line(*names) + "|---" * len(names) + "|\n"


def table(results: dict[str, Any]) -> str:
    """Return the tables of what was found."""
    versions = results["versions"]
    text = _head(
        "behind the proxy", "SDK", "calls", *_ENDS, "rows", "other outcome", "MB passed", "other bytes"
    )
    for run in results["proxy"]:
        text += _line(
            f"{run['server'].rpartition('/')[2]} {versions[run['server']]}",
            f"{run['sdk']}, {run['protocol']}",
            run["calls"],
            *(run["saw"].get(end, 0) for end in _ENDS),
            run["rows"],
            len(run["differing_rows"]),
            f"{run['bytes'] / 1e6:.1f}",
            len(run["differing_bytes"]),
        )
    text += "\n" + _head(
        "FastMCP, stopped by SIGTERM",
        "stops",
        "calls answered",
        "their rows",
        "other outcome",
        "answer not heard",
    )
    for answers in ("JSON", "SSE"):
        stops = [stop for stop in results["stops"] if stop["answers"] == answers]
        answered = sum(stop["answered"] for stop in stops)
        unheard = sum(sum(stop["unheard"].values()) for stop in stops)
        rows = sum(stop["rows"] for stop in stops) - unheard
        differing = sum(len(stop["differing_rows"]) for stop in stops)
        text += _line(f"answers as {answers}", len(stops), answered, rows, differing, unheard)
    for package, reason in results["left_out"].items():
        text += f"\nLeft out: {package}: {reason}\n"
    return text


def write() -> None:
    """Put the table where the document has it."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    made = table(json.loads(RESULTS.read_text(encoding="utf-8")))
    DOCUMENT.write_text(before + BEGIN + made + END + after, encoding="utf-8")
