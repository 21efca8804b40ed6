"""Recording calls around the code that makes them: a context manager and a decorator."""

from __future__ import annotations

import asyncio
import functools
import inspect
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from bcp_analytics.collector.api import _results
from bcp_analytics.collector.capture import _context, _events

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import ParamSpec, Self, TypeVar

    from bcp_analytics.collector.api._recorder import Recorder

    P = ParamSpec("P")
    R = TypeVar("R")


class Call:
    """A call under way; what its block sets here is recorded at the end."""

    __slots__ = (
        "_bcp_name",
        "_began",
        "_fields",
        "_operation",
        "_recorder",
        "_report_errors",
        "_tool_name",
        "error_message",
        "error_type",
        "event_id",
        "intent",
        "outcome",
        "response_bytes",
        "response_data",
        "response_tokens",
        "success",
    )

    def __init__(
        self,
        recorder: Recorder,
        bcp_name: str,
        tool_name: str,
        operation: str | None,
        fields: dict[str, Any],
        *,
        report_errors: bool = False,
    ) -> None:
        """Use `Collector.call`."""
        self._recorder = recorder
        self._bcp_name = bcp_name
        self._tool_name = tool_name
        self._operation = operation
        self._fields = fields
        self._report_errors = report_errors
        self._began = 0.0
        given = fields.get("event_id")
        self.event_id: str = _events.new_event_id() if given is None else _events.given_id(given)
        self.response_data: Any = None
        self.success: bool | None = None
        self.outcome: str | None = None
        self.error_type: str | None = None
        self.error_message: str | None = None
        self.response_bytes: int | None = None
        self.response_tokens: int | None = None
        self.intent: str | None = None

    def __enter__(self) -> Self:
        """Begin: parameters are kept as they are now, and the time runs from now on."""
        if self._fields.get("parameters") is not None:
            self._fields = self._fields | {"parameters": _events.copied(self._fields["parameters"])}
        if "start_time" not in self._fields:
            self._fields = self._fields | {"start_time": _events.now()}
        self._began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End, and record."""
        duration_ms = (perf_counter() - self._began) * 1000
        seen: dict[str, Any] = {}
        if error is not None:
            seen = self._take(error)
        elif self.success is None and self.outcome is None:
            self.success = True
        fields = {
            "duration_ms": duration_ms,
            "response_data": self.response_data,
            "success": self.success,
            "outcome": self.outcome,
            "error_type": self.error_type,
            "error_message": self.error_message,
            "response_bytes": self.response_bytes,
            "response_tokens": self.response_tokens,
            "intent": self.intent,
        }
        if "end_time" in self._fields:
            del fields["duration_ms"]
        self._recorder.record(
            self._bcp_name,
            self._tool_name,
            self._operation,
            **self._fields
            | seen
            | {"event_id": self.event_id}
            | {name: value for name, value in fields.items() if value is not None},
        )
        if self._report_errors and isinstance(error, Exception):
            known = {n: self._fields[n] for n in _context.SHARED_FIELDS if n in self._fields}
            self._recorder.record_error(
                "error",
                exception=error,
                bcp_name=self._bcp_name,
                tool_name=self._tool_name,
                operation=self._operation,
                **known,
            )

    def _take(self, error: BaseException) -> dict[str, Any]:
        """Fill in what the block did not set; return what else is seen. The store says what it was."""
        if self.success is None and self.outcome is None:
            self.success = False
        if self.error_type is None:
            self.error_type = _context.type_name(error)
        if self.error_message is None:
            self.error_message = _context.message_of(error)
        seen: dict[str, Any] = dict(_context.chain_of_types(error))
        if isinstance(error, KeyboardInterrupt):
            seen["cancelled_by"] = "user"
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            seen["cancelled_by"] = "caller"
        return seen


def tracker(
    recorder: Recorder,
    bcp_name: str | None,
    tool_name: str | None,
    operation: str | None,
    *,
    arguments: bool,
    response: bool,
    errors: bool,
    fields: dict[str, Any],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return the decorator of `Recorder.tracked`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = tool_name or str(getattr(function, "__name__", type(function).__name__))
        signature = _signature(function) if arguments else None

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _results.Watch:
            given = (
                fields | {"parameters": _by_name(signature, args, kwargs)}
                if signature is not None
                else fields
            )
            call = Call(recorder, bcp_name or recorder.source, name, operation, given, report_errors=errors)
            return _results.Watch(call, response=response)

        def call_sync(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401
            with begin(args, kwargs) as watch:
                return watch.result(function(*args, **kwargs))

        # Of the same kind as the function, since frameworks ask which kind it is.
        if inspect.iscoroutinefunction(function):
            made = _results.awaiting(begin, function)
        elif inspect.isgeneratorfunction(function):
            made = _results.stepping(begin, function)
        elif inspect.isasyncgenfunction(function):
            made = _results.streaming(begin, function)
        else:
            made = call_sync
        return cast("Callable[P, R]", functools.wraps(function)(made))

    return decorate


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        # Some functions in C have none.
        return None


def _by_name(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    try:
        found = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError:
        # The function itself will say what is wrong.
        return None
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and parameter.name in found:
            found |= found.pop(parameter.name)
    first = next(iter(signature.parameters), None)
    if first in {"self", "cls"}:
        found.pop(first, None)
    return found
