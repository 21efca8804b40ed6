"""Documents of any shape, for the property tests of what looks into them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st


def nested(
    leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str], *, max_leaves: int = 8
) -> st.SearchStrategy[Any]:
    """Lists and objects, and what holds JSON as text, of which some is cut off."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(keys, inner, max_size=4),
            inner.map(json.dumps),
            inner.map(lambda v: json.dumps(v, ensure_ascii=False, indent=1)),
            inner.map(lambda v: json.dumps(v)[:-1]),
        ),
        max_leaves=max_leaves,
    )
