"""The description of the routes of `_alerting`, from the same schemas as they check their bodies by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bcp_analytics.serve import _alerting

if TYPE_CHECKING:
    from collections.abc import Callable

    Refusals = Callable[..., dict[str, Any]]

_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_ALERT = {"name": "alert_id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
_ROWS = {"type": "array", "items": {"type": "object"}}


def _body(schema: dict[str, Any], *needed: str) -> dict[str, Any]:
    whole = {"type": "object", "properties": schema, "additionalProperties": False}
    if needed:
        whole["required"] = list(needed)
    return {"requestBody": {"required": bool(needed), "content": {"application/json": {"schema": whole}}}}


def _done(said: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": said} | ({"content": {"application/json": {"schema": schema}}} if schema else {})


def paths(refusals: Refusals) -> dict[str, Any]:
    """Return the paths; `refusals` describes the statuses of refusals."""
    refused = refusals(400, 401, 403, 408, 413, 415, 429, 503, 504)
    gone = refused | refusals(404)

    def one(summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
        return {"summary": summary, "tags": ["alerts"], "responses": answers} | more

    nothing = {"204": _done("It is so.")}
    tested = {
        "type": "object",
        "required": ["delivery_id", "status", "error"],
        "properties": {
            "delivery_id": {"type": "string", "format": "uuid"},
            "status": {"enum": ["delivered", "failed", "retry", "pending"]},
            "error": {"type": ["string", "null"]},
        },
    }
    made = {"type": "object", "required": ["secret"], "properties": {"secret": {"type": ["string", "null"]}}}
    return {
        "/v1/channels": {
            "get": one("Which channels are there?", {"200": _done("One per channel.", _ROWS)} | refused),
            "post": one(
                "Make a channel.",
                {"201": _done("The secret that a webhook was given, once.", made)} | refused,
                **_body(_alerting.CREATED, "channel_name", "kind"),
            ),
        },
        "/v1/channels/{name}": {
            "parameters": [_NAME],
            "patch": one("Change a channel.", nothing | gone, **_body(_alerting.CHANGED)),
            "delete": one("Delete a channel.", nothing | gone),
        },
        "/v1/channels/{name}/test": {
            "parameters": [_NAME],
            "post": one("Send a test to a channel.", {"200": _done("How it went.", tested)} | gone),
        },
        "/v1/alert-rules": {
            "get": one("Which rules are there?", {"200": _done("One per rule.", _ROWS)} | refused),
        },
        "/v1/alert-rules/{name}": {
            "parameters": [_NAME],
            "put": one("Change a rule, or make one.", nothing | gone, **_body(_alerting.RULE)),
            "delete": one("Delete a rule.", nothing | gone),
        },
        "/v1/alert-rules/{name}/preview": {
            "parameters": [_NAME],
            "post": one(
                "When would a rule, changed so, have fired in the past 7 days?",
                {"200": _done("One per alert that it would have opened.", _ROWS)} | refused,
                **_body(_alerting.RULE),
            ),
        },
        "/v1/alert-rules/{name}/snooze": {
            "parameters": [_NAME],
            "post": one(
                "Have nobody told of a rule's alerts.", nothing | gone, **_body(_alerting.SNOOZED, "until")
            ),
        },
        "/v1/alerts/{alert_id}/snooze": {
            "parameters": [_ALERT],
            "post": one("Have nobody told of an alert.", nothing | gone, **_body(_alerting.SNOOZED, "until")),
        },
        "/v1/alerts/{alert_id}/acknowledge": {
            "parameters": [_ALERT],
            "post": one("Take care of an open alert.", nothing | gone, **_body(_alerting.NOTED)),
        },
    }
