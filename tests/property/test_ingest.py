"""Whatever comes in: the ledger balances, nothing raises, and no secret is stored."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from tests.sql.events import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.abc import Query

    Argument = tuple[str, str, str | None]
    Db = psycopg.Connection[Any]

MAIL = "zaphod.beeblebrox@example.org"
CARD = "4111 1111 1111 1111"
SSN = "078-05-1120"
PHONE = "+1 (212) 555-0187"
# Backwards, since hypothesis tries the constants that it finds here as texts, and this one is a secret only
# under a key that says so.
PASSWORD = "ecnetnes ruoy dniheb tnew eulb"[::-1]


def without_marks(text: str) -> str:
    return "".join(c for c in text.lower() if c not in MARKS)


MARKS = " ()+-"
TRACES = [without_marks(secret) for secret in (MAIL.partition("@")[0], CARD, SSN, PHONE, PASSWORD)]

TABLES = {
    "tool_usage": "tool_usage_logs",
    "errors": "error_logs",
    "metrics": "performance_metrics",
    "sessions": "user_sessions",
}
REQUIRED = {
    "tool_usage": {"bcp_name": "files", "tool_name": "read"},
    "errors": {"level": "error", "message": "it broke"},
    "metrics": {"metric_name": "queue_ms", "metric_value": 1.5},
    "sessions": {"session_id": "s"},
}

shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from([MAIL, f"write to {MAIL}!", CARD, SSN, PHONE, f"call {PHONE} or {MAIL}"]),
    st.sampled_from(["", " ", "\0", "a\0b", "\ud800", "x" * 600]),
    st.sampled_from(
        ["error", "warn", "success", "timeout", "5m", "203.0.113.9", "2001:db8::1", "10.0.0.0/8"]
    ),
    st.sampled_from(
        [
            "2026-06-15T11:00:00Z",
            "2026-06-15 11:00",
            "2026-02-30T00:00:00Z",
            "20000-01-01T00:00:00Z",
            "infinity",
        ]
    ),
)
numbers = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e300, -1, 0, 4111111111111111]),
)
secrets = st.sampled_from(["password", "apiKey", "X-Auth-Token"]).map(lambda key: {key: PASSWORD})
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts, secrets),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3), inner.map(json.dumps)
    ),
    max_leaves=8,
)


def storable(value: Any) -> Any:
    """Return a value without what jsonb, and text, cannot hold."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    if isinstance(value, dict):
        return {storable(key): storable(inner) for key, inner in value.items()}
    return value


BY_TYPE: dict[str, st.SearchStrategy[str]] = {
    "text": texts.map(storable),
    "jsonb": values.map(storable).map(json.dumps),
    "boolean": st.sampled_from(["true", "false"]),
    "double precision": st.floats().map(str),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "timestamp with time zone": st.sampled_from(
        [
            NOW,
            "2026-06-15T11:59:59Z",
            "2026-06-15T12:00:01+05:30",
            "4713-01-01 BC",
            "294276-12-31",
            "-infinity",
        ]
    ),
    "inet": st.sampled_from(["203.0.113.9", "2001:db8::1", "10.0.0.0/8", "::ffff:203.0.113.9"]),
    "uuid": st.uuids().map(str),
}


@st.composite
def events(draw: st.DrawFn, kind: str, fields: list[str]) -> Any:
    if draw(st.integers(0, 9)) == 0:
        return draw(values)
    event: dict[str, Any] = dict(REQUIRED[kind]) if draw(st.integers(0, 4)) else {}
    event |= draw(st.dictionaries(st.one_of(st.sampled_from(fields), texts), values, max_size=4))
    return event


@st.composite
def arguments(draw: st.DrawFn, kind: str, parameters: list[dict[str, Any]]) -> list[Argument]:
    required = [p for p in parameters if p["required"]]
    optional = st.sampled_from([p for p in parameters if not p["required"]])
    given = required + draw(st.lists(optional, max_size=4, unique_by=itemgetter("name")))
    usual = {f"p_{name}": str(value) for name, value in REQUIRED[kind].items()}
    return [
        (p["name"], p["type"], usual[p["name"]])
        if p["name"] in usual and draw(st.integers(0, 4))
        else (p["name"], p["type"], draw(st.one_of(st.none(), BY_TYPE[p["type"]])))
        for p in given
    ]


class Store:
    """The database at a fixed time, and what must hold in it whatever came in."""

    def __init__(self, db: Db) -> None:
        self.cur = db.cursor(row_factory=dict_row)
        self.rows("select set_config('bcp.now', %s, true)", [NOW])
        tables = [
            sql.Identifier(*table.values())
            for table in self.rows(
                "select schemaname, tablename from pg_tables where schemaname in ('bcp', 'bcp_internal')"
            )
        ]
        # Those with rows hold settings and rules, which are nobody's to write to.
        empty = [t for t in tables if not self.rows(sql.SQL("select from {} limit 1").format(t))]
        self.leaks = sql.SQL(
            "select name from ({}) as everything (name, row) where translate(lower(row), {}, '') ~ {}"
        ).format(
            sql.SQL(" union all ").join(
                sql.SQL("select {}, t::text from {} t").format(t.as_string(), t) for t in empty
            ),
            MARKS,
            "|".join(TRACES),
        )
        # Once for all, as making a chunk takes longer than all else of an example.
        for kind, event in REQUIRED.items():
            self.ingest(kind, "text", [event])
        for table in empty:
            self.cur.execute(sql.SQL("delete from {}").format(table))
        found = self.rows(
            "select proname, a.name, a.type::regtype::text, a.n <= pronargs - pronargdefaults as required"
            " from pg_proc,"
            " unnest(proargnames[:pronargs], proargtypes::oid[]) with ordinality as a (name, type, n)"
            " where pronamespace = 'bcp'::regnamespace order by proname, pg_proc.oid, n"
        )
        self.parameters = {name: list(group) for name, group in groupby(found, itemgetter("proname"))}
        found = self.rows(
            "select kind, bcp_internal.known_fields(kind) as fields from unnest(%s::text[]) as kind",
            [list(TABLES)],
        )
        self.batches = {row["kind"]: st.lists(events(**row), max_size=6) for row in found}

    @contextmanager
    def example(self) -> Iterator[None]:
        """Undo all at the end, so that the examples of one test do not see each other."""
        with self.cur.connection.transaction(force_rollback=True):
            yield

    def rows(self, query: Query, params: Any = None) -> list[dict[str, Any]]:
        return self.cur.execute(query, params).fetchall()

    def ingest(self, kind: str, type_: str, batch: list[Any], batch_id: str | None = None) -> dict[str, Any]:
        query = sql.SQL("select * from bcp.{}(%s, %s::{})").format(
            sql.Identifier(f"ingest_{kind}"), sql.SQL(type_)
        )
        [row] = self.rows(query, [batch_id, json.dumps(batch)])
        return row

    def call(self, function: str, given: list[Argument]) -> dict[str, Any] | None:
        """Call a function for one event; None where it refuses it with a code of ours."""
        named = sql.SQL(", ").join(
            sql.SQL("{} => {}::{}").format(sql.Identifier(name), value, sql.SQL(type_))
            for name, type_, value in given
        )
        try:
            with self.cur.connection.transaction():
                [row] = self.rows(sql.SQL("select * from bcp.{}({})").format(sql.Identifier(function), named))
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("ZB"):
                raise
            return None
        return row

    def check(self, kind: str, row: dict[str, Any]) -> None:
        """Hold an answer to the books and the tables, and these to hold no secret."""
        assert row["accepted"] == row["stored"] + row["duplicates"] + row["rejected"]
        assert min(row.values()) >= 0
        assert self.rows("select accepted, stored, duplicates, rejected from bcp.ingest_ledger") == [row]
        if kind != "sessions":  # one session may be touched more than once
            table = sql.Identifier(TABLES[kind])
            assert self.rows(sql.SQL("select count(*) as n from bcp.{}").format(table)) == [
                {"n": row["stored"]}
            ]
        reasons = self.rows("select reason from bcp.rejected_events")
        assert len(reasons) == row["rejected"]
        assert all(r["reason"] for r in reasons)
        assert self.rows(self.leaks) == []


@pytest.fixture
def store(db: Db) -> Store:
    return Store(db)


@pytest.mark.parametrize("type_", ["text", "jsonb"])
@pytest.mark.parametrize("kind", TABLES)
@shared
@given(data=st.data())
def test_any_batch_balances_and_keeps_no_secret(
    store: Store, kind: str, type_: str, data: st.DataObject
) -> None:
    batch = data.draw(store.batches[kind])
    if type_ == "jsonb":
        batch = storable(batch)
    with store.example():
        row = store.ingest(kind, type_, batch)
        assert row["accepted"] == len(batch)
        store.check(kind, row)


@pytest.mark.parametrize("kind", TABLES)
@shared
@given(data=st.data())
def test_the_same_batch_again_changes_nothing(store: Store, kind: str, data: st.DataObject) -> None:
    batch = data.draw(store.batches[kind])
    with store.example():
        batch_id = "00000000-0000-4000-8000-000000000001"
        store.ingest(kind, "text", batch, batch_id)
        rows = sql.SQL("select t::text as row from bcp.{} t order by 1").format(sql.Identifier(TABLES[kind]))
        before = store.rows(rows)
        again = store.ingest(kind, "text", batch, batch_id)
        assert again == {"accepted": len(batch), "stored": 0, "duplicates": len(batch), "rejected": 0}
        assert store.rows(rows) == before


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("log_tool_usage", "tool_usage"),
        ("log_error", "errors"),
        ("record_metric", "metrics"),
        ("touch_session", "sessions"),
        ("end_session", "sessions"),
    ],
)
@shared
@given(data=st.data())
def test_any_single_event_balances_and_keeps_no_secret(
    store: Store, function: str, kind: str, data: st.DataObject
) -> None:
    given = data.draw(arguments(kind, store.parameters[function]))
    with store.example():
        row = store.call(function, given)
        if row is not None:
            assert row["accepted"] == 1
            store.check(kind, row)


@shared
@given(data=st.data())
def test_any_call_that_begins_and_ends_balances_and_keeps_no_secret(
    store: Store, data: st.DataObject
) -> None:
    begun = data.draw(arguments("tool_usage", store.parameters["begin_tool_call"]))
    ended = data.draw(arguments("tool_usage", store.parameters["end_tool_call"]))
    with store.example():
        row = store.call("begin_tool_call", begun)
        assert store.rows(store.leaks) == []
        if row is not None and data.draw(st.integers(0, 9)):
            ended = [("p_event_id", "uuid", str(row["begin_tool_call"])), *ended[1:]]
        row = store.call("end_tool_call", ended)
        if row is not None:
            assert row["accepted"] == 1
            store.check("tool_usage", row)
