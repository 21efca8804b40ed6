"""What senders of OpenTelemetry send: each file of tests/serve/otlp has records of one, and what they become.

Times are written as NOW, NOW+250 (milliseconds later), ISO and ISO+250.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

FOLDER = Path(__file__).parent / "otlp"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
_TRACE = "5b8efff798038103d269b633813fc60c"
_IDS = {"traceId", "spanId", "parentSpanId"}


@dataclass(frozen=True)
class Sample:
    """Records, and what they become."""

    name: str
    now: datetime
    signal: str
    body: dict[str, Any]
    calls: list[dict[str, Any]]
    calls_of_client: list[dict[str, Any]]
    """Where the token has the vantage client."""
    errors: list[dict[str, Any]]
    ignored: dict[str, int]

    @property
    def path(self) -> str:
        return "/v1/logs" if self.signal == "log" else "/v1/traces"

    @property
    def in_json(self) -> bytes:
        return json.dumps(self.body).encode()

    @property
    def in_protobuf(self) -> bytes:
        message = ExportLogsServiceRequest() if self.signal == "log" else ExportTraceServiceRequest()
        return bytes(json_format.ParseDict(_in_base64(self.body), message).SerializeToString())


def load(name: str, now: datetime | None = None) -> Sample:
    now = now or datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)

    def place(found: re.Match[str]) -> str:
        at = now + timedelta(milliseconds=int(found[2] or 0))
        return f'"{at.isoformat()}"' if found[1] == "ISO" else f'"{round(at.timestamp() * 1000)}000000"'

    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    text = re.sub(r'"(NOW|ISO)(?:\+(\d+))?"', place, text)
    # A trace of its own, so that no other sample has the same ids.
    found = json.loads(text.replace(_TRACE, sha256(name.encode()).hexdigest()[:32]))
    return Sample(
        name,
        now,
        found["signal"],
        found["body"],
        found["calls"],
        found.get("calls_of_client", []),
        found["errors"],
        found["ignored"],
    )


def _in_base64(value: Any) -> Any:
    """Return a message with its ids as protobuf's own mapping has them."""
    if isinstance(value, list):
        return [_in_base64(v) for v in value]
    if isinstance(value, dict):
        return {
            k: base64.b64encode(bytes.fromhex(v)).decode() if k in _IDS else _in_base64(v)
            for k, v in value.items()
        }
    return value
