"""The command query: every question, in every format."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from bcp_analytics import ingest_errors, ingest_tool_usage
from bcp_analytics.queries._questions import QUESTIONS
from tests.python.cli_runs import NOW, filled, forget_the_user, ok
from tests.sql.events import open_alert, something_to_answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.targets import Target


@pytest.fixture(scope="module")
def store(_server: Target) -> Iterator[str]:
    """No question writes, so one store answers them all."""
    with filled(_server) as dsn:
        with psycopg.connect(dsn) as conn:
            events = something_to_answer(NOW - timedelta(hours=1))
            ingest_tool_usage(conn, events["tool_usage"])
            ingest_errors(conn, events["errors"])
            open_alert(conn)
        yield dsn


@pytest.fixture(autouse=True)
def _asked(store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_the_user(monkeypatch, tmp_path)
    monkeypatch.setenv("BCP_ANALYTICS_DSN", store)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_in_every_format(name: str) -> None:
    found = json.loads(ok("query", name, "--format", "json"))
    assert found
    rows = list(csv.DictReader(io.StringIO(ok("query", name, "--format", "csv"), newline="")))
    assert [list(row) for row in rows] == [list(row) for row in found]
    assert len(ok("query", name).splitlines()) >= len(found) + 2
