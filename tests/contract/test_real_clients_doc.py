"""docs/design/measurements.md shows what benchmarks.real_clients found."""

from __future__ import annotations

import json

from benchmarks.real_clients import report


def test_the_table_is_of_the_results() -> None:
    made = report.table(json.loads(report.RESULTS.read_text(encoding="utf-8")))
    text = report.DOCUMENT.read_text(encoding="utf-8")
    assert report.BEGIN + made + report.END in text, "run python -m benchmarks.real_clients --table"
