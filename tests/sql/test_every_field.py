"""Plants a secret in every field, by every way in, and looks for it in every table.

Fields, columns, functions and tables come from the database's catalogue, so that a new one is covered too.
"""

from __future__ import annotations

import json
import re
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.sql.events import KINDS, rows

Db = psycopg.Connection[Any]
MARK = re.compile(r"plant\d{4}|198\.51\.100\.[1-9]\d*|2001:db8:7:7")
ADDRESSES = ["198.51.100.77", "2001:db8:7:7:7:7:7:7", "::ffff:198.51.100.78"]
# This field alone means nothing without its value: an event with an address of e-mail in it is rejected.
REFUSED = {"tool_usage": set(), "errors": set(), "metrics": {"aggregation_period"}, "sessions": set()}
REFUSED_PARAMETERS = {"p_aggregation_period"}
WRITERS = """
select p.proname, a.name, a.type::regtype::text as type, a.n <= p.pronargs - p.pronargdefaults as required
from pg_proc p, unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) with ordinality as a (name, type, n)
where p.pronamespace = 'bcp'::regnamespace and has_function_privilege('bcp_writer', p.oid, 'execute')
  and p.proname not like 'ingest\\_%'
order by p.proname, a.n
"""
TABLES = """
select n.nspname, c.relname
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('bcp', 'bcp_internal') and c.relkind in ('r', 'v', 'm')
   or n.nspname = '_timescaledb_internal' and c.relkind = 'r'
"""
numbers = count(1)


def secret() -> str:
    return f"plant{next(numbers):04d}@example.com"


def document() -> dict[str, Any]:
    """As a value, in a list, in text, as a key, in JSON in a string, as an unlikely escape."""
    inner = json.dumps({"to": secret(), "d": [secret()]})
    return {"to": secret(), "l": [f"see {secret()}!"], secret(): 1, "j": inner, "é": {"password": secret()}}


def found(db: Db) -> set[str]:
    """Tables that have something planted in a row, with what it is."""
    left = set()
    for schema, table in db.execute(TABLES).fetchall():
        query = sql.SQL("select t::text from {} as t where t::text ~ %s").format(
            sql.Identifier(schema, table)
        )
        for (row,) in db.execute(query, [MARK.pattern]).fetchall():
            left |= {f"{table}: {mark}" for mark in MARK.findall(row)}
    return left


def planted(types: list[str]) -> Any:
    return document() if {"any", "object"} & set(types) else secret()


def events_of(db: Db, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """One event for each field that may hold text, and some for each address."""
    fields = db.execute(
        "select field, types from bcp_internal.event_fields(%s) where types && '{string,any,object}'", [kind]
    ).fetchall()
    events = [(field, KINDS[kind] | {field: planted(types)}) for field, types in fields]
    for address in ADDRESSES:
        events += [("address", KINDS[kind] | {name: address}) for name, _ in fields if name == "ip_address"]
    return [
        *events,
        ("unknown", KINDS[kind] | {"unknown": secret()}),
        ("unknown document", KINDS[kind] | {"unknown": document()}),
        ("unknown key", KINDS[kind] | {secret(): secret()}),
    ]


def test_what_is_planted_is_found_where_it_was_not_masked(db: Db) -> None:
    db.execute("insert into bcp.users values ('see plant0001@example.com', now(), now())")
    db.execute(
        "insert into bcp.tool_usage_logs"
        " (start_time, created_at, event_id, bcp_name, tool_name, operation, ip_address)"
        " values (now(), now(), gen_random_uuid(), 'b', 't', 'call', '2001:db8:7:7::1')"
    )
    left = found(db)
    assert "users: plant0001" in left
    # The chunk too.
    assert sum(mark.endswith(": 2001:db8:7:7") for mark in left) >= 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_", ["jsonb", "text"])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "batch"])
def test_no_field_of_json_gets_through(db: Db, kind: str, type_: str, alone: bool) -> None:  # noqa: FBT001
    events = events_of(db, kind)
    call = sql.SQL("select stored, rejected from bcp.{}(null, %s::{})").format(
        sql.Identifier(f"ingest_{kind}"), sql.SQL(type_)
    )
    batches = [[event] for _, event in events] if alone else [[event for _, event in events]]
    answers = [db.execute(call, [json.dumps(batch)]).fetchall()[0] for batch in batches]
    assert found(db) == set()
    if alone:
        assert {
            name for (name, _), (stored, _) in zip(events, answers, strict=True) if not stored
        } == REFUSED[kind]
    assert sum(stored for stored, _ in answers) == len(events) - len(REFUSED[kind])


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "batch"])
def test_no_column_of_a_row_gets_through(db: Db, alone: bool) -> None:  # noqa: FBT001
    columns = db.execute(
        "select attname::text, atttypid::regtype::text from pg_attribute"
        " where attrelid = 'bcp.tool_call'::regclass and attnum > 0 and not attisdropped"
    ).fetchall()
    values: list[tuple[str, Any]] = []
    for name, type_ in columns:
        if type_ == "inet":
            values += [(name, address) for address in ADDRESSES]
        elif type_ == "jsonb":
            values.append((name, document()))
        elif type_ not in ("timestamp with time zone", "double precision", "boolean", "bigint"):
            values.append((name, secret()))
    calls = [KINDS["tool_usage"] | {name: value} for name, value in values]
    stored = 0
    for batch in [[call] for call in calls] if alone else [calls]:
        [(number,)] = db.execute(
            "select stored from bcp.ingest_tool_usage(null, array(select jsonb_populate_record("
            "null::bcp.tool_call, e) from jsonb_array_elements(%s::jsonb) as e))",
            [json.dumps(batch)],
        ).fetchall()
        stored += number
    assert stored == len(calls)
    assert found(db) == set()


def test_no_parameter_of_a_function_gets_through(db: Db) -> None:
    functions: dict[str, list[dict[str, Any]]] = {}
    for row in rows(db, WRITERS):
        functions.setdefault(row["proname"], []).append(row)
    assert {"log_tool_usage", "log_error", "record_metric", "touch_session", "report_collector"} < set(
        functions
    )
    given = {"p_level": "error", "p_metric_value": 1, "p_instance": "0190c2ee-0000-7000-8000-000000000001"}
    refused = set()
    for function, parameters in functions.items():
        for parameter in parameters:
            values: list[Any] = {
                "text": [secret()],
                "jsonb": [json.dumps(document())],
                "inet": ADDRESSES,
            }.get(parameter["type"], [])
            for value in values:
                arguments = {p["name"]: given.get(p["name"], "x") for p in parameters if p["required"]}
                if function == "end_tool_call":
                    [(arguments["p_event_id"],)] = db.execute(
                        "select bcp.begin_tool_call('b', 't')"
                    ).fetchall()
                arguments[parameter["name"]] = value
                call = sql.SQL("select to_jsonb(r) as answer from bcp.{}({}) as r").format(
                    sql.Identifier(function),
                    sql.SQL(", ").join(
                        sql.SQL("{} => %s::{}").format(sql.Identifier(p["name"]), sql.SQL(p["type"]))
                        for p in parameters
                        if p["name"] in arguments
                    ),
                )
                values_given = [arguments[p["name"]] for p in parameters if p["name"] in arguments]
                try:
                    with db.transaction():
                        [(answer,)] = db.execute(call, values_given).fetchall()
                except psycopg.Error as error:
                    # An error goes into the server's log.
                    said = str(error) + str(error.diag.message_detail) + str(error.diag.context)
                    assert not MARK.search(said)
                    refused.add(parameter["name"])
                    continue
                if isinstance(answer, dict) and answer.get("rejected"):
                    refused.add(parameter["name"])
    assert refused == REFUSED_PARAMETERS | {"p_last_error"}
    assert found(db) == set()
    assert rows(db, "select 1 from bcp.open_tool_calls where event ? 'parameters'")


@pytest.mark.parametrize("bad", [True, False])
def test_who_sends_does_not_get_through(db: Db, bad: bool) -> None:  # noqa: FBT001
    for kind, event in KINDS.items():
        batch = json.dumps([event, {} if bad else event])
        for type_ in ("jsonb", "text"):
            call = sql.SQL("select bcp.{}(null, %s::{}, %s)").format(
                sql.Identifier(f"ingest_{kind}"), sql.SQL(type_)
            )
            db.execute(call, [batch, f"host of {secret()}"])
            db.execute("select set_config('application_name', %s, true)", [secret()])
            db.execute(call, [batch, None])
    db.execute("select bcp.log_tool_usage('b', 't')")
    assert found(db) == set()
    assert rows(db, "select 1 from bcp.ingest_batches where source like 'host of email#k%'")


@pytest.mark.parametrize("kind", KINDS)
def test_a_rejected_event_does_not_get_through(db: Db, kind: str) -> None:
    """Fields of text that hold documents, of numbers that hold text, and all of them in a list."""
    fields = [field for (field,) in db.execute("select field from bcp_internal.event_fields(%s)", [kind])]
    events: list[Any] = []
    for value in (secret, document, lambda: [secret(), document()]):
        events += [{field: value()} for field in fields]
        events.append({field: value() for field in fields})
    events += [secret(), [document()], {"ip_address": ADDRESSES[0]}, {"ip_address": ADDRESSES[1]}]
    batch = json.dumps(events)[:-1] + f', {{"x": "\\u0000", "{secret()}": "{secret()}"}}]'
    [(accepted, rejected)] = db.execute(
        sql.SQL("select accepted, rejected from bcp.{}(null, %s::text)").format(
            sql.Identifier(f"ingest_{kind}")
        ),
        [batch],
    ).fetchall()
    stored = {"tool_usage": 1, "errors": 3, "metrics": 0, "sessions": 2}[kind]
    assert (accepted, rejected) == (len(events) + 1, len(events) + 1 - stored)
    assert found(db) == set()
    kept = rows(db, "select event from bcp.rejected_events where event::text like '%email#k1#%'")
    assert len(kept) >= len(fields)
