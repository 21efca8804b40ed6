"""GET /v1/views/{name}: what the dashboard shows and no question answers, as JSON or CSV.

Each view is one statement that everybody with bcp_reader may run, and GET /v1/views shows it: what is on the
screen can be had in psql.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID

from psycopg.rows import dict_row
from starlette.responses import JSONResponse
from starlette.routing import Route

from bcp_analytics._core import reading
from bcp_analytics._core.bounded import fetch_all
from bcp_analytics.serve import _view_sql as sql
from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.responses import Response

_DEFAULT = timedelta(hours=24)
_MOST = 10_000
_LONGEST_TEXT = 20_000
# What no text of PostgreSQL holds; a URL cannot have the second, but JSON can.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# Of what kind each parameter is, and what it is where it is not given; `...` is for one that must be.
_TAKES: dict[str, tuple[str, Any]] = {
    "id": ("uuid", ...),
    "at": ("time", ...),
    "since": ("time", None),
    "until": ("time", None),
    "interval": ("interval", "1 hour"),
    "limit": ("integer", 50),
    "offset": ("integer", 0),
    "ascending": ("boolean", False),
    "fingerprint": ("text", ...),
    "session_id": ("text", ...),
    "sort": ("text", None),
    "search": ("text", None),
    "bcp_name": ("text", None),
    "tool_name": ("text", None),
    "client_name": ("text", None),
    "user_id": ("text", None),
    "release": ("text", None),
    "outcome": ("text", None),
    "error_type": ("text", None),
    "method": ("text", ...),
    "failed": ("boolean", False),
    "begun": ("boolean", False),
    "single": ("boolean", False),
    "next_bcp_name": ("text", None),
    "next_tool_name": ("text", None),
    "by": ("text", None),
    "operation": ("text", None),
    "metric": ("text", None),
    "name": ("text", None),
}
_CASTS: dict[str, LiteralString] = {
    "uuid": "uuid",
    "time": "timestamptz",
    "interval": "interval",
    "integer": "integer",
    "boolean": "boolean",
    "text": "text",
}


def _count(value: str) -> int:
    number = int(value) if value.isascii() and value.isdigit() else -1
    if not 0 <= number <= 2**31 - 1:
        raise ValueError("it is not a whole number from 0 on.")
    return number


_READ: dict[str, Callable[[str], Any]] = {
    "uuid": UUID,
    "interval": reading.read_interval,
    "integer": _count,
    "boolean": lambda value: value == "true",
    "text": str,
}


@dataclass(frozen=True, slots=True)
class View:
    """A statement, and the parameters that it takes by name."""

    name: str
    statement: LiteralString
    takes: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return the statement with its parameters as :name, each cast to its type."""
        text: str = self.statement
        for name in self.takes:
            text = text.replace(f"%({name})s", f":{name}")
        return text

    def given(self, query: QueryParams, now: Callable[[], datetime]) -> Mapping[str, Any]:
        """Return the parameters that a URL gives; raises `Refused` where one is unknown or cannot be read."""
        if unknown := set(query) - set(self.takes):
            raise Refused(
                400,
                f"{self.name} does not take {len(unknown)} of these parameters.",
                hint=f"It takes {', '.join([*self.takes, 'format', 'spreadsheet'])}.",
            )
        given: dict[str, Any] = {}
        for name in self.takes:
            kind, default = _TAKES[name]
            value = query.get(name)
            if value is None:
                if default is ...:
                    raise Refused(400, f"{self.name} needs {name}.")
                given[name] = default
                continue
            try:
                given[name] = reading.read_time(value, UTC, now) if kind == "time" else _READ[kind](value)
            except (ValueError, OverflowError):
                raise Refused(400, f"{name} cannot be read as {_CASTS[kind]}.") from None
            if kind == "text" and (len(value) > _LONGEST_TEXT or _UNSTORABLE.search(value)):
                raise Refused(
                    400, f"{name} is too long, or holds a NUL or half a surrogate pair, which nothing holds."
                )
        if "limit" in given and not 0 < given["limit"] <= _MOST:
            raise Refused(400, f"limit is from 1 to {_MOST}.")
        if "since" in given and given["since"] is None:
            given["since"] = now() - _DEFAULT
        if "until" in given and given["until"] is None:
            given["until"] = now()
        return given

    async def ask(self, conn: Any, **given: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """Return the rows."""
        async with conn.cursor(row_factory=dict_row) as cur:
            return await fetch_all(cur, _cast(self.statement, self.takes), given)


def _cast(statement: LiteralString, takes: tuple[str, ...]) -> LiteralString:
    """Give each parameter its type, which PostgreSQL cannot tell everywhere."""
    for name in takes:
        statement = statement.replace(f"%({name})s", f"%({name})s::{_CASTS[_TAKES[name][0]]}")
    return statement


def _view(name: str, statement: LiteralString) -> View:
    return View(name, statement, tuple(one for one in _TAKES if f"%({one})s" in statement))


VIEWS = {
    name: _view(name, statement)
    for name, statement in {
        "call": sql.CALL,
        "tools": sql.TOOL_LIST,
        "tool_ranks": sql.TOOL_RANKS,
        "tools_before": sql.BEFORE,
        "sequence_calls": sql.SEQUENCE_CALLS,
        "causes": sql.CAUSES,
        "cause_calls": sql.CAUSE_CALLS,
        "listing_calls": sql.LISTING_CALLS,
        "rule_calls": sql.RULE_CALLS,
        "releases": sql.RELEASES,
        "choices": sql.CHOICES,
        "sessions": sql.SESSIONS,
        "session_users": sql.SESSION_USERS,
        "session": sql.SESSION,
        "timeline": sql.TIMELINE,
        "issue": sql.ISSUE,
        "issue_latest": sql.ISSUE_LATEST,
        "issue_errors": sql.ISSUE_ERRORS,
        "issue_over_time": sql.ISSUE_OVER_TIME,
        "issue_spread": sql.ISSUE_SPREAD,
        "issue_actions": sql.ISSUE_ACTIONS,
        "alert_rules": sql.ALERT_RULES,
        "ledger": sql.LEDGER,
        "rejections": sql.REJECTIONS,
        "rejected": sql.REJECTED,
        "collectors": sql.COLLECTORS,
        "lag": sql.LAG,
        "any_call": sql.ANY_CALL,
        "log_ins": sql.LOG_INS,
        "log_in_users": sql.LOG_IN_USERS,
        "otlp_ignored": sql.OTLP_IGNORED,
    }.items()
}
"""By their names."""


async def list_views(request: Request) -> Response:
    """Say which views there are: the statement of each, and what it takes."""
    await authorize(request, "reader")
    return JSONResponse(
        {
            one.name: {"sql": one.text, "takes": {name: _CASTS[_TAKES[name][0]] for name in one.takes}}
            for one in VIEWS.values()
        }
    )


routes = [Route("/v1/views", list_views)]
