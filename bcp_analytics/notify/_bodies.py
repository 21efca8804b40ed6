"""What programs read: the body and the headers of a message by HTTP. The same claim makes the same body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bcp_analytics._core.version import __version__
from bcp_analytics.notify._texts import texts

if TYPE_CHECKING:
    from bcp_analytics.notify._claims import Claim

_TYPES = {"alerts": "alerts.changed", "digest": "digest.weekly", "test": "channel.test"}
# Without an end, an Alertmanager takes an alert for resolved after five minutes.
_OPEN = timedelta(days=30)
_TEST = timedelta(minutes=5)
_MOST_SLACK = 3000


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header webhook-signature: https://www.standardwebhooks.com, Signature scheme."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _webhook(claim: Claim) -> bytes:
    return _json(
        {
            "type": _TYPES[claim.about],
            "timestamp": claim.created_at.astimezone(UTC).isoformat(),
            "data": {"channel_name": claim.channel_name} | claim.payload,
        }
    )


def _slack(claim: Claim) -> bytes:
    title, lines = texts(claim)
    text = "\n".join([title, *lines])
    if len(text) > _MOST_SLACK:
        text = text[:_MOST_SLACK] + "\n..."
    # The three characters that Slack reads: without them there are no mentions and no links.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _json({"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False})


def _alertmanager(claim: Claim) -> bytes:
    rows: dict[Any, dict[str, Any]] = {}
    payload = claim.payload
    if claim.about == "test":
        begins = claim.created_at.astimezone(UTC)
        rows[None] = {
            "labels": {"alertname": "bcp_analytics_test", "severity": "none", "channel": claim.channel_name},
            "annotations": {"description": texts(claim)[1][0]},
            "startsAt": begins.isoformat(),
            "endsAt": (begins + _TEST).isoformat(),
        }
    for alert in payload.get("alerts", ()):
        labels = {
            "alertname": payload["rule_name"],
            "severity": payload["severity"],
            "source": "bcp_analytics",
            "metric": alert["metric"],
        } | {key: alert[key] for key in ("bcp_name", "tool_name") if alert.get(key)}
        ends = alert.get("closed_at") or (claim.created_at.astimezone(UTC) + _OPEN).isoformat()
        # Of one that opened and closed, the end is later in the list, and is all that there is to say.
        rows[alert["alert_id"]] = {
            "labels": labels,
            "annotations": {
                "description": payload.get("description") or "",
                "value": str(alert["value"]),
                "threshold": str(alert["threshold"]),
            },
            "startsAt": alert["opened_at"],
            "endsAt": ends,
        }
    return _json(list(rows.values()))


def http_message(claim: Claim, now: datetime) -> tuple[str, bytes, dict[str, str]]:
    """Return the URL, the body and the headers of a message to a channel by HTTP."""
    headers = {"content-type": "application/json", "user-agent": f"bcp_analytics/{__version__}"}
    if claim.kind == "slack":
        return claim.secret or "", _slack(claim), headers
    url = str(claim.config["url"])
    if claim.kind == "alertmanager":
        if claim.secret:
            headers["authorization"] = f"Bearer {claim.secret}"
        return url.rstrip("/") + "/api/v2/alerts", _alertmanager(claim), headers
    body = _webhook(claim)
    seconds = int(now.timestamp())
    headers |= {
        "webhook-id": claim.message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": sign(claim.secret or "", claim.message_id, seconds, body),
    }
    return url, body, headers
