"""The figures of docs/scale.md are those of benchmarks/results."""

from __future__ import annotations

import pytest

from tools import scale_doc


def test_the_tables_are_computed_from_what_was_measured() -> None:
    page = scale_doc.FILE.read_text(encoding="utf-8")
    assert scale_doc.written(page) == page, "run python -m tools.scale_doc"


def test_the_model_grows_with_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = dict.fromkeys(scale_doc.measured(), (2.0, "", ""))
    figures |= {"plain_us": (40.0, "", ""), "masked_us": (90.0, "", ""), "aggregates_us": (6.0, "", "")}
    monkeypatch.setattr(scale_doc, "measured", lambda: figures)
    # (40 + 6 + 2) us of 1,000 calls a second are 0.048 cores; twice that, because half of them stay free.
    small, large = scale_doc.capacity(1_000), scale_doc.capacity(1_000_000)
    assert small["cores, busy to a half"] == "0.096 to 0.2"
    assert large["cores, busy to a half"] == "96 to 200"
    assert large["stores of 16 cores"] == "6 to 13"
    # 90 days of 86.4 million calls of 2 bytes.
    assert small["columnstore, 90 days"] == "16 GB"
    assert large["columnstore, 90 days"] == "16 TB"
