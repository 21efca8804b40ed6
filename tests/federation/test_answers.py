"""A head answers as one store would, or it raises: every public function, found in the catalogue."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from tests.federation.heads import EVERY_BUNDLE, NOW, Federation, federated, send, some_events

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.any_target("starts a server of its own"),
    pytest.mark.slow,
    pytest.mark.xdist_group("federation"),
]

# Questions that a head does not answer. Every other function that a reader may call must equal one store.
RAISED = {"archives_wanted"}
# Of the head itself: its own alerts, messages and name for what is missing; health says every shard.
OWN = {"active_alerts", "alert_history", "notification_history", "missing_shards", "hash_of", "health"}
ENUMS = {"p_level": "bcp.error_level_enum"}
ORDERS = {
    "top_users": ["calls", "errors", "cost"],
    "tool_trends": ["calls", "call_change", "success_rate", "p50_change", "p95_change", "p99_change"],
}
# What must be given.
NEEDED: dict[str, dict[str, Any]] = {
    "alert_preview": {"p_rule_name": "errors", "p_changes": '{"min_calls": 1, "lookback": "6 hours"}'}
}
CHOICES: dict[str, list[Any]] = {
    "p_since": [NOW - timedelta(days=12), NOW - timedelta(days=4, minutes=7), NOW - timedelta(hours=1)],
    "p_until": [NOW, NOW - timedelta(hours=5), datetime(2026, 11, 3, tzinfo=NOW.tzinfo)],
    # Seven minutes do not end where quarters of an hour do.
    "p_interval": ["7 minutes", "15 minutes", "1 hour", "1 day", "1 week", "1 month", None],
    "p_bcp_name": [*EVERY_BUNDLE, "none such", ""],
    # An empty text asks for what has none, which of tools and bundles errors alone may have.
    "p_tool_name": ["read", "'; drop table --", "password", ""],
    "p_operation": ["tools/call", "tools/list"],
    "p_time_zone": ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"],
    "p_user_id": ["user-1", "nobody", ""],
    "p_session_id": ["session-1", "session-4", ""],
    "p_client_name": ["client-1", ""],
    "p_outcome": ["success", "error", "no such outcome"],
    "p_failed": [True, False],
    "p_client_version": ["2.0", "3.0", ""],
    "p_client_model": ["large", ""],
    "p_release": ["1.0", "deadbeef", ""],
    "p_limit": [1, 3, 1000, 0],
    "p_by": [["client_model"], ["bcp_name", "tool_name"], ["release", "bcp_name"], ["no such column"]],
    "p_percentiles": [[0.5], [0.99, 0.0, 1.0]],
    "p_bands": [[100.0], [1.0, 10.0, 1000.0]],
    "p_by_weekday": [True],
    "p_level": ["error"],
    "p_state": ["new", "ongoing", "regressed"],
    "p_contains": ['{"n": 1}'],
    "p_path": ["$.n ? (@ > 2)"],
    "p_query": ["refused", "timeout -refused", "the"],
    "p_min_duration_ms": [0.0, 500.0],
    "p_bytes_per_token": [3.0],
    "p_known_calls": [[3, 5], [10**6]],
    "p_window": ["1 day", "3 hours"],
    "p_event_id": ["no such event"],
    "p_intent": ["find the invoices", "see 1", ""],
    "p_fingerprint": ["no such issue"],
    "p_after": ["00000000-0000-4000-8000-000000000000"],
}


@pytest.fixture(scope="module")
def made() -> Iterator[Federation]:
    """Calls of twelve days in aggregates, and others that came late for them."""
    with federated() as made:
        for target in (made.one, made.head):
            send(target, some_events(7, 900, 150, 12))
        made.refresh()
        late = some_events(8, 120, 20, 11), some_events(9, 60, 10, 0.3)
        for target in (made.one, made.head):
            for events in late:
                send(target, events)
            row = target.execute(
                "select fingerprint from bcp.error_issues(%s, %s) order by first_seen limit 1",
                [NOW - timedelta(days=12), NOW],
            ).fetchone()
            assert row is not None
            # In the past, so that errors that are there came after it.
            target.execute("select set_config('bcp.now', %s, false)", [str(NOW - timedelta(days=3))])
            target.execute("select bcp.resolve_issue(%s, p_release => 'deadbeef')", [row[0]])
            target.execute("select set_config('bcp.now', %s, false)", [NOW.isoformat()])
        yield made


@pytest.fixture(scope="module", params=["stale", "refreshed"])
def both(request: pytest.FixtureRequest, made: Federation) -> Federation:
    if request.param == "refreshed":
        made.refresh()
    return made


def answer(conn: psycopg.Connection[Any], function: str, given: dict[str, Any]) -> Any:
    """Return the rows, or the SQLSTATE and the message."""
    arguments = sql.SQL(", ").join(
        sql.SQL("{} => %s{}").format(
            sql.Identifier(name), sql.SQL(f"::{ENUMS[name]}" if name in ENUMS else "")
        )
        for name in given
    )
    query = sql.SQL("select * from bcp.{}({})").format(sql.Identifier(function), arguments)
    try:
        with conn.cursor(row_factory=dict_row) as cur:
            rows = cur.execute(query, list(given.values())).fetchall()
    except psycopg.Error as error:
        return error.sqlstate, error.diag.message_primary
    # Its rows have no order: whoever asks adds them up.
    return sorted(rows, key=lambda row: repr(list(row.values())[:7])) if function == "live_metrics" else rows


def same(found: Any, expected: Any) -> bool:
    """Compare; floats within 1e-12, because a sum depends on the order of its parts."""
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[k], expected[k]) for k in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return bool(found == expected)


def questions(conn: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Return what a reader may ask, with the names of the parameters."""
    return {
        row[0]: row[1] or []
        for row in conn.execute(
            "select p.proname, p.proargnames[:p.pronargs] from pg_proc p"
            " where p.pronamespace = 'bcp'::regnamespace and has_function_privilege('bcp_reader', p.oid,"
            " 'execute') order by 1"
        )
    }


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=max(2, settings().max_examples // 12),
)
@given(data=st.data())
def test_every_question_equals_one_store_or_raises(both: Federation, data: st.DataObject) -> None:
    asked = questions(both.head)
    assert len(asked) > 30
    answered = 0
    for function, parameters in asked.items():
        if function in OWN:
            continue
        if function in RAISED:
            assert answer(both.head, function, {})[0] == "0A000"
            continue
        given_ = NEEDED.get(function, {}).copy()
        for name in parameters:
            if name in given_:
                continue
            choices = (
                [ORDERS[function]] if name == "p_order" else [CHOICES[name]] if name in CHOICES else None
            )
            if function == "context_cost" and name == "p_by":
                choices = [["tool", "session"]]
            assert choices is not None, f"{function} has a parameter {name} that this test does not know"
            # Mostly few filters, or nothing would be left.
            often = name in {"p_since", "p_until", "p_interval", "p_query"}
            if data.draw(st.integers(0, 5)) < (4 if often else 1):
                given_[name] = data.draw(st.sampled_from(choices[0]))
        found, expected = answer(both.head, function, given_), answer(both.one, function, given_)
        if isinstance(found, tuple) and isinstance(expected, tuple) and given_.get("p_limit") == 0:
            # The range may be wrong, too, and either is named.
            found, expected = found[0], expected[0]
        assert same(found, expected), f"{function}({given_}): {found!r:.3000} but {expected!r:.3000}"
        answered += isinstance(expected, list) and len(expected) > 0
    assert answered > 5


WHOLE = {"p_since": NOW - timedelta(days=12), "p_until": NOW}


def test_every_question_has_something_to_answer(both: Federation) -> None:
    """Without this, two empty answers would be equal."""
    for function, parameters in questions(both.one).items():
        if function in OWN | RAISED:
            continue
        given_ = {name: value for name, value in WHOLE.items() if name in parameters}
        given_ |= NEEDED.get(function, {})
        if function in {"live_metrics", "recent_calls"}:
            given_ = {"p_since": NOW - timedelta(hours=1)}
        expected = answer(both.one, function, given_)
        assert isinstance(expected, list), (function, expected)
        assert len(expected) > 0, function
        found = answer(both.head, function, given_)
        assert same(found, expected), f"{function}: {found!r:.3000} but {expected!r:.3000}"


def test_what_is_not_federated_raises(both: Federation) -> None:
    """The catalogue says which functions there are; each has a rule, is kept for a reason, or raises."""
    kept = both.head.execute("select bcp_internal.kept_on_head()").fetchone()
    assert kept is not None
    ruled = {
        row[0].removeprefix("bcp.").partition("(")[0]
        for row in both.head.execute("select routine from bcp_internal.question_rules()")
    }
    for name, kind, signature, count in both.head.execute(
        "select proname, prokind, oid::regprocedure::text, pronargs from pg_proc"
        " where pronamespace = 'bcp'::regnamespace order by 1"
    ).fetchall():
        if name in {*kept[0], *ruled}:
            continue
        nulls = ", ".join(
            f"null::{kind_of}" for kind_of in signature.partition("(")[2][:-1].split(",") if count
        )
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=rf"bcp\.{name} does not work on a head"):
            both.head.execute(f"{'call' if kind == 'p' else 'select'} bcp.{name}({nulls})")


def test_a_reader_cannot_read_the_empty_tables_of_a_head(both: Federation) -> None:
    both.head.execute("set role bcp_reader")
    try:
        for relation in ("tool_usage_logs", "tool_usage_1h", "hourly_tool_usage", "ingest_ledger", "users"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                both.head.execute(f"select * from bcp.{relation}")
        assert both.head.execute("select count(*) from bcp.tool_usage_stats()").fetchone() != (0,)
    finally:
        both.head.execute("reset role")


def test_the_questions_that_read_calls_without_documents_need_none(both: Federation) -> None:
    """The head's bcp_internal.calls leaves documents out. Who reads it there must not ask for them."""
    users = {
        row[0]: row[1]
        for row in both.head.execute(
            "select proname, prosrc from pg_proc"
            " where pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)"
            " and prosrc ~ 'bcp_internal\\.calls\\('"
            " and proname = any (bcp_internal.kept_on_head() || '{sequence_cells}')"
        )
    }
    assert set(users) == {"sequence_cells", "intents"}
    for body in users.values():
        for column in ("parameters", "response_data", "attributes", "error_message", "user_agent"):
            assert column not in body


def test_health_says_every_shard(both: Federation) -> None:
    found = {row[0]: row[1] for row in both.head.execute("select check_name, status from bcp.health()")}
    for shard in both.shards:
        assert found[f"{shard}/answers"] == "ok"
        assert f"{shard}/ledger" in found
    assert {name for name in found if "/" not in name} > {"database", "jobs"}
