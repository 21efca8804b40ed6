"""Python and SQL have the same functions, with the same parameters, defaults, and columns."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

import bcp_analytics
from bcp_analytics import Collector, HealthCheck, errors
from bcp_analytics._core.function import question
from bcp_analytics._core.resources import sql_folder
from bcp_analytics.queries._questions import QUESTIONS
from tools import twins

pytestmark = pytest.mark.any_target("names, parameters and columns are those of sql/")

# The one name that differs: the overload that takes the events as text is what Python calls.
RENAMED = {"events": "events_text"}
MODULES = [import_module(f"bcp_analytics.{path.replace('/', '.')}") for path in twins.MODULES]
TWINS: dict[str, Any] = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if hasattr(value, "__wrapped__") and value.__module__ == module.__name__
}
ANSWERS = QUESTIONS | {name: (twin, twin.__row__) for name, twin in TWINS.items() if hasattr(twin, "__row__")}
PYTHON_TYPES = {
    "text": str,
    "text[]": Sequence[str],
    "bcp.error_level_enum": str,
    "bigint": int,
    "integer": int,
    "boolean": bool,
    "double precision": float,
    "real": float,
    "jsonb": Any,
    "timestamp with time zone": datetime,
    "uuid": UUID,
}

_FUNCTIONS = """
select p.proname as name, p.oid::regprocedure::text as signature,
       coalesce((
           select array_agg(substring(n from 3) order by i)
           from unnest(p.proargnames[:p.pronargs]) with ordinality as a (n, i)), '{}') as parameters,
       array(
           select substring(n from 3) from unnest(p.proargnames[:p.pronargs]) with ordinality as a (n, i)
           where i <= p.pronargs - p.pronargdefaults) as required
from pg_proc p
where p.pronamespace = 'bcp'::regnamespace
"""


def functions(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cur:
        return cur.execute(_FUNCTIONS).fetchall()


def twin_of(conn: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    """The SQL function; of overloads the one that takes text."""
    found = [f for f in functions(conn) if f["name"] == name]
    return next((f for f in found if "events_text" in f["parameters"]), found[0])


def parameters(name: str) -> list[inspect.Parameter]:
    return list(inspect.signature(TWINS[name].__wrapped__).parameters.values())


def test_the_twins_are_written_as_the_catalogue_is(db: psycopg.Connection[Any]) -> None:
    for file, text in twins.files(db).items():
        assert file.read_text(encoding="utf-8") == text, "run python -m tools.twins"


def test_every_public_function_has_a_twin_and_every_twin_a_function(db: psycopg.Connection[Any]) -> None:
    assert {f["name"] for f in functions(db)} == set(TWINS)


def test_every_twin_and_its_rows_are_exported() -> None:
    rows = {row.__name__ for _, row in ANSWERS.values()}
    assert (set(TWINS) | rows | {"IngestResult"}) <= set(bcp_analytics.__all__)
    assert sorted(bcp_analytics.__all__) == bcp_analytics.__all__


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_has_the_parameters_of_its_function(db: psycopg.Connection[Any], name: str) -> None:
    function = twin_of(db, name)
    ours = {RENAMED.get(p.name, p.name): p for p in parameters(name)}
    assert set(ours) == set(function["parameters"])
    needed = {n for n, p in ours.items() if p.default is inspect.Parameter.empty}
    # A batch id may be null in SQL, where it has no default because it comes first.
    assert needed == set(function["required"]) - {"batch_id"}


@pytest.mark.parametrize("name", TWINS)
def test_a_default_is_the_same_in_python(db: psycopg.Connection[Any], name: str) -> None:
    function = twin_of(db, name)
    with db.cursor() as cur:
        for parameter in parameters(name):
            sql_name = RENAMED.get(parameter.name, parameter.name)
            if parameter.default is inspect.Parameter.empty or sql_name == "batch_id":
                continue
            place = function["parameters"].index(sql_name) + 1
            [(default, kind)] = cur.execute(
                "select pg_get_function_arg_default(%(f)s::regprocedure, %(n)s),"
                " (select format_type(proargtypes[%(n)s - 1], null) from pg_proc"
                " where oid = %(f)s::regprocedure)",
                {"f": function["signature"], "n": place},
            ).fetchall()
            [(value,)] = cur.execute(f"select ({default})::{kind}").fetchall()
            expected = parameter.default
            assert value == (list(expected) if isinstance(expected, tuple) else expected), parameter.name


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("record", "log_tool_usage"),
        ("record_error", "log_error"),
        ("metric", "record_metric"),
        ("touch_session", "touch_session"),
        ("end_session", "end_session"),
    ],
)
def test_a_collector_takes_what_the_twin_takes(method: str, name: str) -> None:
    taken = {p.name: p.annotation for p in inspect.signature(getattr(Collector, method)).parameters.values()}
    shorter = {"metric_name": "name", "metric_value": "value"}
    for parameter in parameters(name):
        assert taken[shorter.get(parameter.name, parameter.name)].removesuffix(
            " | None"
        ) == parameter.annotation.removesuffix(" | None")


def without_none(hint: Any) -> Any:
    if get_origin(hint) in {Union, UnionType}:
        kinds = [a for a in get_args(hint) if a is not NoneType]
        assert len(kinds) == 1
        return without_none(kinds[0])
    if get_origin(hint) is Literal:
        return str
    return hint


@pytest.mark.parametrize("name", ANSWERS)
def test_a_row_has_the_columns_of_the_answer(db: psycopg.Connection[Any], name: str) -> None:
    ask, row = ANSWERS[name]
    assert ask is TWINS[name]
    nulls = ", ".join("null" for _ in twin_of(db, name)["required"])
    described = db.execute(f"select * from bcp.{name}({nulls}) limit 0").description or []
    columns = {
        c.name: db.execute("select format_type(%s, null)", [c.type_code]).fetchall()[0][0] for c in described
    }
    hints = get_type_hints(row)
    assert list(columns) == list(hints)
    assert {n: without_none(h) for n, h in hints.items()} == {
        n: PYTHON_TYPES[kind] for n, kind in columns.items()
    }


def test_a_row_is_frozen_and_has_no_dict() -> None:
    for _, row in ANSWERS.values():
        assert row.__dataclass_params__.frozen
        assert "__slots__" in vars(row)


def test_every_twin_says_what_it_does() -> None:
    for name, twin in TWINS.items():
        assert twin.__doc__, name
        assert next(iter(inspect.signature(twin).parameters)) == "conn"


def test_a_twin_of_nothing_is_noticed(db: psycopg.Connection[Any]) -> None:
    # The checks above rest on the query being made of the names: a wrong one must fail.
    @question(HealthCheck)
    def healthy() -> dict[str, object]:
        return {}

    with pytest.raises(psycopg.errors.UndefinedFunction):
        healthy(db)


def sql_texts() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(sql_folder().glob("*.sql")))


def test_every_sqlstate_of_ours_is_in_the_one_list() -> None:
    used = set(re.findall(r"'(ZB\w{3})'", sql_texts()))
    assert len(used) > 3
    assert used == set(errors.BY_SQLSTATE)
    for code, kind in errors.BY_SQLSTATE.items():
        assert kind.sqlstate == code
        assert f"| {code} | `{kind.__name__}` |" in (errors.__doc__ or "")
