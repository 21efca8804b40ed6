"""The routes of OTLP/HTTP."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from bcp_analytics.serve._auth import authorize
from bcp_analytics.serve._body import read_body
from bcp_analytics.serve._errors import Refused
from bcp_analytics.serve._otlp import _answers, _json, _protobuf
from bcp_analytics.serve._otlp._record import MAX_PARTS, Log, Malformed, Span, TooMany

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import ModuleType

    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.responses import Response

    from bcp_analytics.serve._auth import Caller
    from bcp_analytics.serve._otlp._intake import Intake

_METHODS = ["POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
_DECODERS: dict[str, ModuleType] = {_answers.PROTOBUF: _protobuf, _answers.JSON: _json}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, read and authorised."""

    request: Request
    caller: Caller
    encoding: str
    body: bytes
    decoder: Any

    @property
    def intake(self) -> Intake:
        """What the OTLP routes of the application share."""
        found: Intake = self.request.app.state.otlp
        return found


async def _traces(sent: Sent) -> Response:
    receipt = await sent.intake.take(Span, lambda: sent.decoder.spans(sent.body), len(sent.body), sent.caller)
    return _answers.success(_answers.TRACES, sent.encoding, receipt.rejected, receipt.message)


async def _logs(sent: Sent) -> Response:
    receipt = await sent.intake.take(Log, lambda: sent.decoder.logs(sent.body), len(sent.body), sent.caller)
    return _answers.success(_answers.LOGS, sent.encoding, receipt.rejected, receipt.message)


async def _metrics(sent: Sent) -> Response:
    points = await sent.intake.decode(lambda: sent.decoder.count_points(sent.body), len(sent.body))
    return _answers.success(
        _answers.METRICS,
        sent.encoding,
        points,
        "This server stores tool calls, and a histogram or a counter is no call: send spans or log records. "
        "OTEL_METRICS_EXPORTER=none stops the metrics.",
    )


async def _read(request: Request, content_type: str) -> Sent:
    if request.method != "POST":
        raise Refused(405, "OTLP is sent by POST.", headers={"Allow": "POST"})
    caller = await authorize(request, "ingest")
    decoder = _DECODERS.get(content_type)
    if decoder is None:
        raise Refused(415, f"The Content-Type is neither {' nor '.join(_DECODERS)}.")
    config = request.app.state.config
    body = await read_body(request, limit=config.max_body, decoded_limit=config.max_decoded_body)
    return Sent(request, caller, content_type, body, decoder)


def _encoding(headers: Headers) -> str:
    content_type = _content_type(headers)
    # Whoever sends neither is likely a person, who reads JSON.
    return content_type if content_type in _DECODERS else _answers.JSON


def _content_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def refusal(headers: Headers, error: Refused) -> Response:
    """Return the google.rpc.Status of a request that is not served."""
    message = f"{error.message} {error.hint}" if error.hint else error.message
    return _answers.failure(error.status, _encoding(headers), message, error.headers)


def _route(path: str, take: Callable[[Sent], Awaitable[Response]]) -> Route:
    async def endpoint(request: Request) -> Response:
        encoding = _encoding(request.headers)
        try:
            return await take(await _read(request, _content_type(request.headers)))
        except Malformed as error:
            return _answers.failure(400, encoding, str(error), where=error.where)
        except TooMany:
            return _answers.failure(
                413, encoding, f"The body has more than {MAX_PARTS} parts. Send fewer records in a request."
            )
        except Refused as error:
            return refusal(request.headers, error)
        except Exception as error:  # noqa: BLE001 - the answer to each failure is a Status
            # Only its kind, without a traceback: messages of the database may repeat a value.
            state = getattr(error, "sqlstate", None)
            log.error("a request of OTLP failed: %s, %s", type(error).__name__, state)  # noqa: TRY400
            return _answers.failure(500, encoding, "The server failed. Its log says how.")

    return Route(path, endpoint, methods=_METHODS)


routes = [_route("/v1/traces", _traces), _route("/v1/logs", _logs), _route("/v1/metrics", _metrics)]
