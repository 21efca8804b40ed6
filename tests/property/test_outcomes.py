"""Classification raises for nothing, and knows six outcomes."""

from __future__ import annotations

from typing import Any

import psycopg
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.property.test_ingest import shared

OUTCOMES = {"success", "soft_fail", "error", "timeout", "cancelled", "rejected", None}
texts = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60),
    st.lists(
        st.sampled_from(
            [
                "Error",
                "Error executing tool ",
                ": ",
                "timed out",
                "-32602",
                "HTTP 503",
                "ECONN",
                "(",
                "\\",
                "a.b.XError",
            ]
        ),
        max_size=6,
    ).map("".join),
)
documents = st.recursive(
    st.one_of(st.booleans(), st.integers(-40000, 40000), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["isError", "is_error", "error", "content", "text", "message", "code", "type"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)


@shared
@given(success=st.sampled_from([True, False, None]), error_type=texts, message=texts, response=documents)
def test_any_call_has_one_of_six_outcomes_or_none(
    db: psycopg.Connection[Any],
    *,
    success: bool | None,
    error_type: str | None,
    message: str | None,
    response: Any,
) -> None:
    [(outcome, kind, suspect)] = db.execute(
        "select bcp_internal.classify_outcome(%(s)s, %(t)s, %(m)s, %(r)s),"
        " bcp_internal.classify_error_type(%(m)s, %(r)s), bcp_internal.suspect_success(%(s)s, %(r)s)",
        {"s": success, "t": error_type, "m": message, "r": Jsonb(response)},
    ).fetchall()
    assert outcome in OUTCOMES
    assert (outcome == "success") == (success is True)
    assert success is not False or outcome is not None
    assert kind is None or 0 < len(kind) <= 200
    assert suspect in ({True, False} if success else {None})
