"""How a Python function becomes the twin of an SQL function: one definition that serves sync and async.

A twin is written as a function whose arguments have the names of the SQL function's parameters without
`p_`, and that returns them all; `python -m tools.twins` writes these from the catalogue:

    @question(ErrorRow)
    def error_analysis(*, since: datetime | None = None) -> Arguments:
        \"\"\"What fails, where, and how often?\"\"\"
        return locals()

Callers give a connection first: `error_analysis(conn)` returns the rows, and with an `AsyncConnection`
something to await that returns them. The query is made from the name of the function, of its arguments,
and of the row's fields; each argument is sent as its type says (`_core/arguments.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import fields
from functools import cache, wraps
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor, sql
from psycopg.rows import BaseRowFactory, class_row, scalar_row
from psycopg.types.string import TextBinaryLoader

from bcp_analytics._core.arguments import sender
from bcp_analytics._core.bounded import fetch_all
from bcp_analytics.errors import InvalidArgument, translated

Arguments = Mapping[str, object]
# To psycopg, the type of what is of no type that it knows.
_UNKNOWN_TYPE = 0
# Of the functions that take a batch, the one that takes it as text: it repairs what jsonb cannot hold.
_SENT_AS = {"events": "events_text"}

P = ParamSpec("P")
Row = TypeVar("Row")
Answer_co = TypeVar("Answer_co", covariant=True)
Value = TypeVar("Value")


class SqlFunction(Protocol[P, Answer_co]):
    """A twin: takes a connection and the arguments; returns the answer, or with an async one awaits it."""

    __name__: str
    __row__: type[Any] | None
    """Of a question, the dataclass of its rows."""

    @overload
    def __call__(self, conn: Connection[Any], /, *args: P.args, **kwargs: P.kwargs) -> Answer_co: ...

    @overload
    def __call__(
        self, conn: AsyncConnection[Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Answer_co]: ...


def question(row: type[Row]) -> Callable[[Callable[P, Arguments]], SqlFunction[P, list[Row]]]:
    """Make the twin of a function that returns rows: a list of `row`, a dataclass, comes out."""

    def finish(found: list[Row]) -> list[Row]:
        return found

    def decorate(build: Callable[P, Arguments]) -> SqlFunction[P, list[Row]]:
        twin = _twin(build, f"list[{row.__name__}]", _columns(row), class_row(row), finish)
        twin.__row__ = row
        return twin

    return decorate


def action(row: type[Row]) -> Callable[[Callable[P, Arguments]], SqlFunction[P, Row]]:
    """Make the twin of a function that returns one row: a `row`, a dataclass, comes out."""

    def decorate(build: Callable[P, Arguments]) -> SqlFunction[P, Row]:
        return _twin(build, row.__name__, _columns(row), class_row(row), _only)

    return decorate


def scalar(kind: type[Value]) -> Callable[[Callable[P, Arguments]], SqlFunction[P, Value]]:
    """Make the twin of a function that returns one value."""

    def decorate(build: Callable[P, Arguments]) -> SqlFunction[P, Value]:
        return _twin(build, kind.__name__, (), scalar_row, _only)

    return decorate


def scalar_or_none(kind: type[Value]) -> Callable[[Callable[P, Arguments]], SqlFunction[P, Value | None]]:
    """Make the twin of a function that returns one value, or null where there is none."""

    def decorate(build: Callable[P, Arguments]) -> SqlFunction[P, Value | None]:
        return _twin(build, f"{kind.__name__} | None", (), scalar_row, _only)

    return decorate


def procedure(build: Callable[P, Arguments]) -> SqlFunction[P, None]:
    """Make the twin of a procedure."""
    return _twin(build, "None", None, scalar_row, _nothing)


def _only(found: list[Row]) -> Row:
    [row] = found
    return row


def _nothing(_: list[Any]) -> None:
    return None


def _columns(row: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(row))


@cache
def _query(name: str, columns: tuple[str, ...] | None, parameters: tuple[str, ...]) -> sql.Composed:
    """Return the query that calls bcp.`name`; columns are by name, so that a newer server may have more."""
    call = sql.SQL("{}({})").format(
        sql.Identifier("bcp", name),
        sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(f"p_{p}"), sql.Placeholder(p)) for p in parameters
        ),
    )
    if columns is None:
        return sql.SQL("call {}").format(call)
    if not columns:
        return sql.SQL("select {}").format(call)
    return sql.SQL("select {} from {}").format(sql.SQL(", ").join(map(sql.Identifier, columns)), call)


def _twin(
    build: Callable[P, Arguments],
    answer: str,
    columns: tuple[str, ...] | None,
    factory: BaseRowFactory[Row],
    finish: Callable[[list[Row]], Value],
) -> SqlFunction[P, Value]:
    name = build.__name__
    signature = inspect.signature(build)
    senders = {p.name: sender(p.annotation) for p in signature.parameters.values()}

    # The cursors are made here and not by the connection, whose own cursor_factory and row_factory may be
    # anything. Answers come in binary, since the form of text is the session's: psycopg reads no times of
    # datestyle German. What it does not know the type of is an enum, whose binary form is its label.
    def ask(conn: Connection[Any], arguments: Arguments) -> Value:
        with translated(), Cursor(conn, row_factory=factory) as cur:
            cur.adapters.register_loader(_UNKNOWN_TYPE, TextBinaryLoader)
            cur.execute(_query(name, columns, tuple(arguments)), arguments, binary=True)
            return finish(cur.fetchall() if columns is not None else [])

    async def ask_async(conn: AsyncConnection[Any], arguments: Arguments) -> Value:
        with translated():
            async with AsyncCursor(conn, row_factory=factory) as cur:
                cur.adapters.register_loader(_UNKNOWN_TYPE, TextBinaryLoader)
                query = _query(name, columns, tuple(arguments))
                if columns is not None:
                    return finish(await fetch_all(cur, query, arguments, binary=True))
                await cur.execute(query, arguments, binary=True)
                return finish([])

    @wraps(build)
    def call(conn: Connection[Any] | AsyncConnection[Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401
        if not isinstance(conn, Connection | AsyncConnection):
            raise TypeError(
                f"{name}() takes a psycopg Connection or AsyncConnection first, not {type(conn).__name__}: "
                "of a pool, take `with pool.connection() as conn`."
            )
        if columns is None and not conn.autocommit:
            raise InvalidArgument(
                f"{name}() commits along the way, so the connection must be in autocommit mode.",
                hint="Commit or roll back, then set conn.autocommit = True.",
            )
        arguments = {
            _SENT_AS.get(argument, argument): value if value is None else senders[argument](argument, value)
            for argument, value in build(*args, **kwargs).items()
        }
        return ask_async(conn, arguments) if isinstance(conn, AsyncConnection) else ask(conn, arguments)

    first = inspect.Parameter(
        "conn", inspect.Parameter.POSITIONAL_ONLY, annotation="Connection[Any] | AsyncConnection[Any]"
    )
    # For help() and editors; mypy goes by SqlFunction.
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[first, *signature.parameters.values()], return_annotation=answer
    )
    return cast("SqlFunction[P, Value]", call)
