"""Computes the capacity table of docs/scale.md from benchmarks/results: python -m tools.scale_doc.

A test holds the page to this, so that its figures are those that were measured.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "scale.md"
BEGIN = "<!-- Written by python -m tools.scale_doc: {} begin -->\n"
END = "<!-- {} end -->\n"

RATES = {"1,000": 1_000, "100,000": 100_000, "10,000,000": 10_000_000}
DAY = 86_400

# What the model assumes, and nobody has measured.
BUSY = 0.5
"""Share of its cores that a store may use on average; the rest is for peaks, and for questions."""
STORE_CORES = 16
ROWS_HOURS = 3
"""A chunk of an hour, and columnstore_after of two."""
KEEP_DAYS = 90
DEDUP_HOURS = 1
CORE_USD, GB_USD, OBJECT_GB_USD = 25.0, 0.10, 0.023
"""A month of a core with 4 GB of memory, of a GB of SSD, of a GB in an object store."""


def _result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")
    )
    return found


def measured() -> dict[str, tuple[float, str, str]]:
    """Return each figure of the model: its value, what it is, and where it stands."""
    plain, masked = _result("ingest_plain")["ways"], _result("ingest")["ways"]
    capacity, storage, archive = _result("capacity"), _result("lifecycle")["storage"], _result("archive")
    columnar = next(
        one for one in storage["layouts"] if (one["segment_by"], one["sparse_indexes"]) == ("bcp_name", "")
    )
    most = archive["runs"][-1]
    cpu = "benchmarks/results/capacity.json"
    way, ways = "ways.rows_1000_lean", "benchmarks/results/ingest_plain.json"
    return {
        "plain_us": (plain["rows_1000_lean"]["us_per_row"], "us to ingest a plain call", f"{ways}, {way}"),
        "masked_us": (
            masked["rows_1000_lean"]["us_per_row"],
            "us to ingest a call, half of which hold something to mask",
            f"benchmarks/results/ingest.json, {way}",
        ),
        "aggregates_us": (capacity["aggregates_us_per_row"], "us to aggregate a call", cpu),
        "columnstore_us": (capacity["columnstore_us_per_row"], "us to move a call to the columnstore", cpu),
        "wal": (plain["rows_1000_lean"]["wal_bytes_per_row"], "bytes of WAL a call", f"{ways}, {way}"),
        "row": (plain["rows_1000_lean"]["bytes_per_row"], "bytes a call as a row", f"{ways}, {way}"),
        "columnar": (
            columnar["bytes_per_row"],
            "bytes a call in the columnstore",
            "benchmarks/results/lifecycle.json, storage.layouts",
        ),
        "key": (capacity["bytes_per_key"], "bytes of a remembered id", cpu),
        "key_index": (capacity["index_bytes_per_key"], "of these in indexes, which should be in memory", cpu),
        "archive": (
            most["archive"]["rows_per_s"],
            "calls a second that one archive run writes and proves",
            "benchmarks/results/archive.json",
        ),
    }


def capacity(rate: int) -> dict[str, str]:
    """Return what a rate of calls needs, for plain calls and for calls of which half are masked."""
    m = {name: value for name, (value, _, _) in measured().items()}
    after = m["aggregates_us"] + m["columnstore_us"]
    cores = [rate * (m[us] + after) / 1e6 / BUSY for us in ("plain_us", "masked_us")]
    stores = [max(1, math.ceil(one / STORE_CORES)) for one in cores]
    rows_gb = rate * 3600 * ROWS_HOURS * m["row"] / 1e9
    kept_gb = rate * DAY * KEEP_DAYS * m["columnar"] / 1e9
    keys_gb = rate * 3600 * DEDUP_HOURS * m["key"] / 1e9
    memory_gb = rate * 3600 * (m["row"] + DEDUP_HOURS * m["key_index"]) / 1e9
    disk_gb = rows_gb + kept_gb + keys_gb
    month = [one * CORE_USD + disk_gb * GB_USD for one in cores]
    lake = rate * DAY * 365 * m["columnar"] / 1e9 * OBJECT_GB_USD
    return {
        "calls a day": _number(rate * DAY),
        "cores, busy to a half": _span(cores),
        f"stores of {STORE_CORES} cores": _span([float(one) for one in stores]),
        "WAL": f"{_number(rate * m['wal'] / 1e6)} MB/s",
        f"rows, for {ROWS_HOURS} hours": _size(rows_gb),
        f"columnstore, {KEEP_DAYS} days": _size(kept_gb),
        f"ids, {DEDUP_HOURS} hour": _size(keys_gb),
        "memory for the last hour and its ids": _size(memory_gb),
        "archive runs at a time": _number(math.ceil(rate / m["archive"])),
        "cores and disks, USD a month": _span(month),
        "a year of files, USD a month at its end": _number(lake),
    }


def _number(value: float) -> str:
    """Return two digits that matter, so that nobody takes a model for a measurement."""
    if value >= 10:
        value = round(value, 1 - math.floor(math.log10(value)))
        for limit, unit in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
            if value >= limit:
                return f"{value / limit:g} {unit}"
        return f"{value:,.0f}"
    return f"{value:.2g}"


def _span(values: list[float]) -> str:
    low, high = (_number(value) for value in values)
    return low if low == high else f"{low} to {high}"


def _size(gb: float) -> str:
    for limit, unit in ((1e6, "PB"), (1e3, "TB")):
        if gb >= limit:
            return f"{_number(gb / limit)} {unit}"
    return f"{_number(gb)} GB"


def tables() -> dict[str, str]:
    """Return the tables of the page by name."""
    model = {name: capacity(rate) for name, rate in RATES.items()}
    head = f"| calls a second | {' | '.join(model)} |\n|---|{'---|' * len(model)}\n"
    needs = "".join(
        f"| {what} | {' | '.join(one[what] for one in model.values())} |\n"
        for what in next(iter(model.values()))
    )
    figures = "".join(
        f"| {round(value, 1):,g} | {what} | `{where}` |\n" for value, what, where in measured().values()
    )
    return {"model": head + needs, "figures": "| figure | of | from |\n|---|---|---|\n" + figures}


def written(page: str) -> str:
    """Return the page with the tables of now."""
    for name, table in tables().items():
        before, begin, rest = page.partition(BEGIN.format(name))
        _, end, after = rest.partition(END.format(name))
        assert begin, f"the page has no table {name}"
        assert end, f"the table {name} has no end"
        page = f"{before}{begin}{table}{end}{after}"
    return page


if __name__ == "__main__":
    FILE.write_text(written(FILE.read_text(encoding="utf-8")), encoding="utf-8")
