"""Alerts for a screen: rules, channels and snoozes. What opened, and who was told, are questions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bcp_analytics import upkeep
from bcp_analytics._render import tables
from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.notify import Notifier
from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._body import read_body
from bcp_analytics.serve._errors import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg import AsyncConnection
    from starlette.requests import Request

    from bcp_analytics.serve._database import Role

_LARGEST = 64 * 1024
_DATA_EXCEPTION = "22"
# Another transaction holds what is to be changed.
_LOCKED = "55P03"

_TEXT = {"type": ["string", "null"]}
_SWITCH = {"type": ["boolean", "null"]}
_SHARED: dict[str, Any] = {
    "config": {"type": ["object", "null"]},
    "secret": _TEXT | {"writeOnly": True},
    "min_severity": {"enum": ["warning", "critical", None]},
    "rule_names": {"type": ["array", "null"], "items": {"type": "string"}},
    "tell_closed": _SWITCH,
    "cooldown": _TEXT,
    "quiet_hours": _TEXT,
    "time_zone": _TEXT,
    "digest": _SWITCH,
}
CREATED: dict[str, Any] = {
    "channel_name": {"type": "string"},
    "kind": {"enum": ["webhook", "slack", "email", "alertmanager", "apprise"]},
} | _SHARED
CHANGED: dict[str, Any] = {"enabled": _SWITCH} | _SHARED
SNOOZED: dict[str, Any] = {"until": {"type": ["string", "null"], "format": "date-time"}}
NOTED: dict[str, Any] = {"notes": _TEXT}
RULE: dict[str, Any] = {
    "metric": {"enum": ["avg_duration_ms", "success_rate", "error_rate", "throughput", "burn_rate"]},
    "fires": {"enum": ["above", "below"]},
    "threshold": {"type": "number"},
    "clear_threshold": {"type": "number"},
    "lookback": {"type": "string"},
    "short_lookback": _TEXT,
    "objective": {"type": ["number", "null"]},
    "min_calls": {"type": "integer"},
    "for_at_least": {"type": "string"},
    "scope": {"enum": ["all", "bcp", "tool"]},
    "bcp_name": _TEXT,
    "tool_name": _TEXT,
    "operation": _TEXT,
    "severity": {"enum": ["warning", "critical"]},
    "enabled": {"type": "boolean"},
    "description": {"type": "string"},
}
"""What the bodies may have, by JSON Schema: the description of the interface says the same."""

_KINDS: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "string": str,
    "boolean": bool,
    "object": dict,
    "array": list,
    "number": (int, float),
    "integer": int,
    "null": type(None),
}


def _fits(value: Any, schema: dict[str, Any]) -> bool:  # noqa: ANN401 - of JSON
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if isinstance(value, bool) and "boolean" not in kinds:
        return False
    if not any(isinstance(value, _KINDS[kind]) for kind in kinds):
        return False
    return not isinstance(value, list) or all(_fits(one, schema["items"]) for one in value)


async def _body(request: Request, schema: dict[str, Any], *needed: str) -> dict[str, Any]:
    """Return the members of the body; raises `Refused` where it is no such object."""
    text = await read_body(request, limit=_LARGEST, decoded_limit=_LARGEST)
    try:
        given = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "The body is not a JSON object.")
    if any(name not in schema for name in given):
        raise Refused(400, "The body has a member of no known name.", hint=f"It takes {', '.join(schema)}.")
    if missing := [name for name in needed if name not in given]:
        raise Refused(400, f"The body lacks {' and '.join(missing)}.")
    if wrong := [name for name, value in given.items() if not _fits(value, schema[name])]:
        raise Refused(400, f"The type or the value of {' and '.join(wrong)} cannot be used.")
    return given


async def _do(
    request: Request, act: Callable[[AsyncConnection[Any]], Awaitable[Any]], role: Role = "admin"
) -> Any:  # noqa: ANN401
    """Do something in the database with the rights of a role; raises `Refused` for what is not taken."""
    try:
        # Whoever changes a rule asks for the rules right after it.
        async with request.app.state.database.connection(role, current=True) as conn:
            return await act(conn)
    except BcpAnalyticsError as error:
        raise Refused(400, error.message, hint=error.hint) from None
    except psycopg.Error as error:
        if (error.sqlstate or "").startswith(_DATA_EXCEPTION):
            # Its message may repeat a value.
            raise Refused(400, "A value cannot be read.") from None
        if error.sqlstate == _LOCKED:
            raise Refused(503, "Somebody else changes this.", headers={"Retry-After": "1"}) from None
        raise


def _there(*, found: bool, what: str) -> None:
    if not found:
        raise Refused(404, f"There is no such {what}.")


async def list_channels(request: Request) -> Response:
    """Say which channels there are, without their secrets."""
    await authorize(request, "admin")
    found = await _do(request, lambda conn: upkeep.notification_channels(conn))  # noqa: PLW0108 - its type
    return Response(tables.to_json(found), media_type="application/json")


async def create_channel(request: Request) -> Response:
    """Make a channel, and answer the secret that a webhook was given."""
    await authorize(request, "admin")
    given = await _body(request, CREATED, "channel_name", "kind")
    secret = await _do(request, lambda conn: upkeep.create_notification_channel(conn, **given))
    return JSONResponse({"secret": secret}, 201)


async def alter_channel(request: Request) -> Response:
    """Change a channel."""
    await authorize(request, "admin")
    name = request.path_params["name"]
    given = await _body(request, CHANGED)
    found = await _do(request, lambda conn: upkeep.alter_notification_channel(conn, name, **given))
    _there(found=found, what="channel")
    return Response(status_code=204)


async def delete_channel(request: Request) -> Response:
    """Delete a channel."""
    await authorize(request, "admin")
    name = request.path_params["name"]
    found = await _do(request, lambda conn: upkeep.delete_notification_channel(conn, name))
    _there(found=found, what="channel")
    return Response(status_code=204)


async def test_channel(request: Request) -> Response:
    """Send a test to a channel, and answer how that went."""
    await authorize(request, "admin")
    name = request.path_params["name"]
    delivery_id = await _do(request, lambda conn: upkeep.test_notification_channel(conn, name))
    outcome = await Notifier(request.app.state.config.dsn).one(delivery_id)
    return JSONResponse(
        {
            "delivery_id": str(delivery_id),
            "status": outcome.status if outcome else "pending",
            "error": outcome.error if outcome else None,
        }
    )


async def list_rules(request: Request) -> Response:
    """Say which rules there are."""
    await authorize(request, "reader")

    async def read(conn: AsyncConnection[Any]) -> list[Any]:
        cur = await conn.execute("select to_jsonb(r) from bcp.alert_rules r order by r.rule_name")
        return [row[0] for row in await cur.fetchall()]

    return JSONResponse(await _do(request, read, role="reader"))


async def preview_rule(request: Request) -> Response:
    """Say when a rule, with what is to be changed in it, would have fired in the past 7 days."""
    await authorize(request, "reader")
    name = request.path_params["name"]
    given = await _body(request, RULE)
    found = await _do(
        request, lambda conn: upkeep.alert_preview(conn, name, changes=given or None), role="reader"
    )
    return Response(tables.to_json(found), media_type="application/json")


async def put_rule(request: Request) -> Response:
    """Change a rule, or make one."""
    await authorize(request, "admin")
    name = request.path_params["name"]
    given = await _body(request, RULE)
    await _do(request, lambda conn: upkeep.put_alert_rule(conn, name, given))
    return Response(status_code=204)


async def delete_rule(request: Request) -> Response:
    """Delete a rule."""
    await authorize(request, "admin")
    name = request.path_params["name"]
    _there(found=await _do(request, lambda conn: upkeep.delete_alert_rule(conn, name)), what="rule")
    return Response(status_code=204)


async def _until(request: Request) -> datetime | None:
    given = await _body(request, SNOOZED, "until")
    if given["until"] is None:
        return None
    try:
        time = datetime.fromisoformat(given["until"])
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    except ValueError:
        raise Refused(400, "until is no time.", hint="Write it like 2026-01-31T18:00Z.") from None


async def snooze_rule(request: Request) -> Response:
    """Have nobody told of the alerts of a rule for a time."""
    await authorize(request, "admin")
    name = request.path_params["name"]
    until = await _until(request)
    found = await _do(request, lambda conn: upkeep.snooze_alert_rule(conn, name, until=until))
    _there(found=found, what="rule")
    return Response(status_code=204)


def _alert_id(request: Request) -> int:
    alert_id: int = request.path_params["alert_id"]
    # PostgreSQL's bigint.
    _there(found=alert_id < 2**63, what="open alert")
    return alert_id


async def snooze_alert(request: Request) -> Response:
    """Have nobody told of an open alert for a time."""
    await authorize(request, "admin")
    alert_id = _alert_id(request)
    until = await _until(request)
    found = await _do(request, lambda conn: upkeep.snooze_alert(conn, alert_id, until=until))
    _there(found=found, what="open alert")
    return Response(status_code=204)


async def acknowledge(request: Request) -> Response:
    """Record that somebody takes care of an open alert."""
    await authorize(request, "admin")
    alert_id = _alert_id(request)
    given = await _body(request, NOTED)
    await _do(request, lambda conn: upkeep.acknowledge_alert(conn, alert_id, **given))
    return Response(status_code=204)


routes = [
    Route("/v1/channels", list_channels, methods=["GET"]),
    Route("/v1/channels", create_channel, methods=["POST"]),
    # A name may have slashes in it.
    Route("/v1/channels/{name:path}/test", test_channel, methods=["POST"]),
    Route("/v1/channels/{name:path}", alter_channel, methods=["PATCH"]),
    Route("/v1/channels/{name:path}", delete_channel, methods=["DELETE"]),
    Route("/v1/alert-rules", list_rules, methods=["GET"]),
    Route("/v1/alert-rules/{name:path}/snooze", snooze_rule, methods=["POST"]),
    Route("/v1/alert-rules/{name:path}/preview", preview_rule, methods=["POST"]),
    Route("/v1/alert-rules/{name:path}", put_rule, methods=["PUT"]),
    Route("/v1/alert-rules/{name:path}", delete_rule, methods=["DELETE"]),
    Route("/v1/alerts/{alert_id:int}/snooze", snooze_alert, methods=["POST"]),
    Route("/v1/alerts/{alert_id:int}/acknowledge", acknowledge, methods=["POST"]),
]
