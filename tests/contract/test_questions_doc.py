"""docs/reference/questions.md says what the functions are and answer now."""

from __future__ import annotations

from typing import Any

import psycopg

from bcp_analytics.queries._questions import QUESTIONS
from tools import questions_doc


def test_the_file_is_up_to_date(db: psycopg.Connection[Any]) -> None:
    text = questions_doc.document(db)
    assert questions_doc.FILE.read_text(encoding="utf-8") == text, "run python -m tools.questions_doc"
    # An example that finds nothing shows nothing.
    assert "(no rows)" not in text
    assert set(questions_doc.EXAMPLES) <= set(QUESTIONS)
