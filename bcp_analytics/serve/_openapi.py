"""GET /openapi.json: what there is, in OpenAPI 3.1, from the same questions as the command line."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from bcp_analytics import __version__
from bcp_analytics.serve import _openapi_alerting
from bcp_analytics.serve._events import KINDS
from bcp_analytics.serve._parameters import ALL, Argument, Question
from bcp_analytics.serve._views import VIEWS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from bcp_analytics.serve._views import View

_ERROR = {"$ref": "#/components/schemas/Error"}


def _refusals(*statuses: int) -> dict[str, Any]:
    said = {
        400: "The request cannot be read.",
        401: "No valid token.",
        403: "The token may not do this.",
        404: "There is nothing of that name.",
        408: "The body did not come in time.",
        413: "The body is too large.",
        415: "The body is of a type or an encoding that is not taken.",
        429: "Too many requests without a valid token.",
        503: "The database cannot be reached: send it again after Retry-After seconds.",
        504: "The database did not answer in time.",
    }
    content = {"application/json": {"schema": _ERROR}}
    return {str(status): {"description": said[status], "content": content} for status in statuses}


def _parameter(argument: Argument) -> dict[str, Any]:
    array = {"style": "form", "explode": False} if argument.schema.get("type") == "array" else {}
    return {
        "name": argument.name,
        "in": "query",
        "required": argument.required,
        "schema": argument.schema,
        **array,
    }


def _question(question: Question) -> dict[str, Any]:
    first, _, rest = question.text.partition("\n")
    row = {
        "type": "object",
        "properties": question.columns,
        "required": list(question.columns),
    }
    shared = [
        {"name": "format", "in": "query", "schema": {"type": "string", "enum": ["json", "csv"]}},
        {
            "name": "spreadsheet",
            "in": "query",
            "description": "With CSV: put an apostrophe before what a spreadsheet takes for a formula.",
            "schema": {"type": "boolean"},
        },
    ]
    answer = {
        "description": "The rows.",
        "content": {
            "application/json": {"schema": {"type": "array", "items": row}},
            "text/csv": {"schema": {"type": "string"}},
        },
    }
    if "after" in question.arguments:
        answer["headers"] = {
            "Link": {"description": "The next page, where there may be one.", "schema": {"type": "string"}}
        }
    return {
        "operationId": question.name,
        "summary": first,
        # The docstring speaks of Python's arguments, which have the same names here.
        "description": re.sub(r"\s+", " ", rest.partition("Arguments mean what")[0]).strip(),
        "tags": ["questions"],
        "parameters": [*(_parameter(one) for one in question.arguments.values()), *shared],
        "responses": {"200": answer, **_refusals(400, 401, 403, 429, 503, 504)},
    }


def _status(summary: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "summary": summary,
        "tags": ["server"],
        "responses": {
            "200": {"description": "It is so.", "content": content},
            **_refusals(*more.get("refused", ())),
        },
        "security": [],
    }


def _events(kind: str) -> dict[str, Any]:
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The batch's id: sent again under the same one, it is stored once.",
        "schema": {"type": "string", "maxLength": 500},
    }
    numbers = ("accepted", "stored", "duplicates", "rejected")
    receipt = {
        "type": "object",
        "required": list(numbers),
        "properties": {name: {"type": "integer", "minimum": 0} for name in numbers},
    }
    lines = {"schema": {"type": "string", "description": "One event per line."}}
    return {
        "operationId": f"ingest_{kind}",
        "summary": f"Take in a batch of events: {kind.replace('_', ' ')}.",
        "description": "accepted = stored + duplicates + rejected. A bad event fails no other.",
        "tags": ["events"],
        "parameters": [key],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
                "application/x-ndjson": lines,
            },
        },
        "responses": {
            "200": {"description": "The receipt.", "content": {"application/json": {"schema": receipt}}},
            **_refusals(400, 401, 403, 413, 415, 429, 503, 504),
        },
    }


def _otlp(signal: str) -> dict[str, Any]:
    """Describe a route of OTLP, whose refusals are a google.rpc.Status."""
    said = {"application/json": {"schema": {"type": "object"}}, "application/x-protobuf": {"schema": {}}}
    refused = _refusals(400, 401, 403, 413, 415, 429, 503, 504)
    return {
        "operationId": f"otlp_{signal}",
        "summary": f"Take in {signal} of OpenTelemetry, as OTLP/HTTP has it.",
        "tags": ["OpenTelemetry"],
        "requestBody": {"required": True, "content": said},
        "responses": {
            "200": {"description": "Taken in, maybe in part.", "content": said},
            **{status: one | {"content": said} for status, one in refused.items()},
        },
    }


def _path(name: str, where: str = "path") -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}}


def _object(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """Describe a body: an object of these members and no others."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _action(
    name: str,
    summary: str,
    *path: str,
    body: dict[str, Any] | None = None,
    answer: tuple[int, Any] = (204, None),
) -> dict[str, Any]:
    """Describe what an administrator does."""
    status, schema = answer
    done: dict[str, Any] = {"description": "It is done."}
    if schema is not None:
        done["content"] = {"application/json": {"schema": schema}}
    found: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "tags": ["administration"],
        "parameters": [_path(one) for one in path],
        "responses": {str(status): done, **_refusals(400, 401, 403, 404, 413, 429, 503, 504)},
    }
    return found | ({"requestBody": body} if body is not None else {})


_TEXT = {"type": "string"}
_TIME = (200, {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}})


def _administration() -> dict[str, Any]:
    notes = {"notes": _TEXT}
    token = {"name": _TEXT, "role": {"enum": ["ingest", "reader", "admin"]}, "vantage": _TEXT}
    made = {"type": "object", "properties": {"token": _TEXT}}
    rows = {"type": "array", "items": {"type": "object"}}
    return {
        "/v1/issues/{fingerprint}/resolve": {
            "post": _action(
                "resolve_issue",
                "Say that an issue is fixed, in a release or in general.",
                "fingerprint",
                body=_object(notes | {"release": _TEXT}),
                answer=_TIME,
            )
        },
        "/v1/issues/{fingerprint}/reopen": {
            "post": _action("reopen_issue", "Undo that.", "fingerprint", body=_object(notes), answer=_TIME)
        },
        "/v1/tokens": {
            "get": _action("list_tokens", "Which tokens are there?", answer=(200, rows)),
            "post": _action(
                "make_token", "Make a token.", body=_object(token, ("name", "role")), answer=(201, made)
            ),
        },
        "/v1/tokens/{name}": {"delete": _action("revoke_token", "Revoke a token.", "name")},
    }


def _view(view: View) -> dict[str, Any]:
    """Describe a view of the dashboard."""
    rows = {"schema": {"type": "array", "items": {"type": "object"}}}
    return {
        "operationId": f"view_{view.name}",
        "summary": f"What the dashboard shows: {view.name.replace('_', ' ')}.",
        "description": "GET /v1/views has its statement.",
        "tags": ["dashboard"],
        "parameters": [_path(name, "query") for name in (*view.takes, "format", "spreadsheet")],
        "responses": {
            "200": {
                "description": "The rows.",
                "content": {"application/json": rows, "text/csv": {"schema": _TEXT}},
            },
            **_refusals(400, 401, 403, 429, 503, 504),
        },
    }


def _dashboard() -> dict[str, Any]:
    asked = {
        "type": "object",
        "required": ["of", "name"],
        "properties": {"of": {"enum": ["query", "views"]}, "name": _TEXT, "takes": {"type": "object"}},
    }
    batch = {
        "operationId": "batch",
        "summary": "Ask up to 40 questions and views at once.",
        "description": "A line of JSON per answer, as it comes: at is its place; it has rows or an error.",
        "tags": ["dashboard"],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "array", "items": asked}}},
        },
        "responses": {
            "200": {"description": "The answers.", "content": {"application/x-ndjson": {"schema": _TEXT}}},
            **_refusals(400, 401, 403, 413, 429, 503),
        },
    }
    listed = {
        "summary": "Which views are there: the statement of each, and what it takes.",
        "tags": ["dashboard"],
        "responses": {
            "200": {
                "description": "By name.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_refusals(401, 403, 429, 503),
        },
    }
    views = {f"/v1/views/{name}": {"get": _view(view)} for name, view in VIEWS.items()}
    return {"/v1/batch": {"post": batch}, "/v1/views": {"get": listed}} | views


@cache
def description() -> dict[str, Any]:
    """Return the description of the interface."""
    paths: dict[str, Any] = {
        "/healthz": {"get": _status("Does the server live?")},
        "/readyz": {"get": _status("Does the database answer?", refused=(503,))},
        "/v1/query": {
            "get": {
                "summary": "Which questions are there, and what does each take?",
                "tags": ["questions"],
                "responses": {
                    "200": {
                        "description": "By name.",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **_refusals(401, 403, 429, 503),
                },
            }
        },
        "/metrics": {
            "get": {
                "summary": "What Prometheus reads.",
                "tags": ["server"],
                "responses": {
                    "200": {
                        "description": "Metrics.",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    },
                    **_refusals(401, 403, 429, 503, 504),
                },
            }
        },
    }
    paths |= {f"/v1/events/{kind}": {"post": _events(kind)} for kind in KINDS}
    paths |= {f"/v1/{signal}": {"post": _otlp(signal)} for signal in ("traces", "logs", "metrics")}
    paths |= {f"/v1/query/{name}": {"get": _question(question)} for name, question in ALL.items()}
    paths |= _administration() | _dashboard()
    paths |= _openapi_alerting.paths(_refusals)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "bcp_analytics",
            "version": __version__,
            "description": "The analytics store for tool calls: events in, answers out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["message"],
                            "properties": {"message": {"type": "string"}, "hint": {"type": "string"}},
                        }
                    },
                }
            },
        },
    }


async def openapi(_: Request) -> Response:
    """Answer the description."""
    return JSONResponse(description())


routes = [Route("/openapi.json", openapi)]
