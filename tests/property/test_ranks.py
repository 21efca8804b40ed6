"""The calls with some ranks, of counts by lat_idx, are those of the calls one by one."""

from __future__ import annotations

from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property.calls import disc

SHARES = [0.5, 0.95, 0.99]


@given(counts=st.dictionaries(st.integers(-32768, 32767), st.integers(1, 50), min_size=1, max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_calls_with_some_ranks_are_found(db: psycopg.Connection[Any], counts: dict[int, int]) -> None:
    calls = [float(lat_idx) for lat_idx, number in counts.items() for _ in range(number)]
    lat_idxs = sorted(counts)
    [(found,)] = db.execute(
        "select bcp_internal.lat_idxs_at(%s::smallint[], %s::float8[], array("
        "select greatest(ceil(p * %s), 1) from unnest(%s::float8[]) p))",
        [lat_idxs, [counts[i] for i in lat_idxs], len(calls), SHARES],
    ).fetchall()
    assert found == [disc(calls, share) for share in SHARES]
