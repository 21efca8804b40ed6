"""GET /v1/query/{name} and /v1/views/{name}: every question and every view, as JSON or CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bcp_analytics._core.bounded import TooLarge, bounded
from bcp_analytics._render import tables
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._errors import Refused
from bcp_analytics.serve._parameters import ALL, Question
from bcp_analytics.serve._views import VIEWS, View

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request

# What the server takes beside the parameters of a question.
_OWN = ("format", "spreadsheet")
_KNOWN: dict[tuple[str, str], Question | View] = {
    **{("query", name): question for name, question in ALL.items()},
    **{("views", name): view for name, view in VIEWS.items()},
}
MOST_BYTES = 32 * 2**20
"""Of the values of an answer. 10,000 rows of calls have some 5 MiB where their arguments are short."""
_DATA_EXCEPTION = "22"
# What our functions say of an argument that cannot be.
_OURS = "ZB002"


async def list_questions(request: Request) -> Response:
    """Say which questions there are, and what each takes."""
    await authorize(request, "reader")
    return JSONResponse(
        {
            name: {
                "asks": one.text.splitlines()[0],
                "takes": list(one.arguments),
                "columns": list(one.columns),
            }
            for name, one in ALL.items()
        }
    )


def _wants_csv(request: Request) -> bool:
    wanted = request.query_params.get("format")
    if wanted not in {None, "json", "csv"}:
        raise Refused(400, "format is none of json and csv.")
    return wanted == "csv" or (wanted is None and "text/csv" in request.headers.get("accept", ""))


def find(of: str, name: str) -> Question | View:
    """Return the question or the view of a name; raises `Refused`."""
    found = _KNOWN.get((of, name))
    if found is None:
        raise Refused(
            404, "There is no question of that name.", hint="GET /v1/query and /v1/views list them."
        )
    return found


async def query(request: Request) -> Response:
    """Ask a question, or read a view."""
    await authorize(request, "reader")
    question = find(request.url.path.split("/")[2], request.path_params["name"])
    csv = _wants_csv(request)
    spreadsheet = request.query_params.get("spreadsheet") == "true"
    asked = QueryParams([pair for pair in request.query_params.multi_items() if pair[0] not in _OWN])
    rows = await ask(request, question, asked)
    headers = _next_page(request, question, rows) if isinstance(question, Question) else {}
    if not csv:
        return Response(tables.to_json(rows), media_type="application/json", headers=headers)
    if isinstance(question, Question):
        text = tables.to_csv(rows, question.row, spreadsheet=spreadsheet)
    else:
        text = tables.dicts_to_csv(rows, spreadsheet=spreadsheet)
    return Response(text, media_type="text/csv", headers=headers)


async def ask(request: Request, question: Question | View, asked: QueryParams) -> list[Any]:
    """Return the rows of a question or of a view: dataclasses, or of a view dictionaries."""
    try:
        async with request.app.state.database.connection("reader") as conn:
            cur = await conn.execute("select bcp_internal.now()")
            row = await cur.fetchone()
            assert row is not None  # noqa: S101 - for the type checker
            now: datetime = row[0]
            with bounded(MOST_BYTES):
                rows: list[Any] = await question.ask(conn, **question.given(asked, lambda: now))
            return rows
    except TooLarge:
        raise Refused(
            400,
            f"The answer has more than {MOST_BYTES // 2**20} MiB.",
            hint="Ask for fewer rows by limit, or for a shorter range.",
        ) from None
    except BcpAnalyticsError as error:
        raise Refused(400, error.message, hint=error.hint) from None
    except psycopg.Error as error:
        if error.sqlstate == _OURS:
            raise Refused(400, f"{error.diag.message_primary}.", hint=error.diag.message_hint) from None
        if (error.sqlstate or "").startswith(_DATA_EXCEPTION):
            raise Refused(400, f"A parameter cannot be read: {error.diag.message_primary}.") from None
        raise


def _next_page(request: Request, question: Question, rows: list[Any]) -> dict[str, str]:
    """Return the header Link with the next page, where a question lists by pages and this one is full."""
    if "after" not in question.arguments:
        return {}
    limit = int(request.query_params.get("limit", question.arguments["limit"].default))
    if len(rows) < limit:
        return {}
    last = rows[-1]
    url = request.url.include_query_params(until=last.start_time.isoformat(), after=str(last.event_id))
    return {"link": f'<{url.path}?{url.query}>; rel="next"'}


routes = [
    Route("/v1/query", list_questions),
    Route("/v1/query/{name}", query),
    Route("/v1/views/{name}", query),
]
