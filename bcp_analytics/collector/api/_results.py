"""What a tracked function returns decides when its call ends: many return before their work has begun.

A decorator, a lambda or an object's `__call__` around an async tool is not async itself, and a generator does
nothing until somebody iterates over it. So this looks at the result. Where it is still to be awaited or
consumed, the caller gets an object of the same kind, which ends the call when that is done.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator
    from types import TracebackType
    from typing import Self

    from bcp_analytics.collector.api._calls import Call

    Begin = Callable[[tuple[Any, ...], dict[str, Any]], "Watch"]


class Watch:
    """A call under way; leaving the block ends it, unless `result` passed its end on."""

    def __init__(self, call: Call, *, response: bool) -> None:
        """Begin the call; `response`: record what it returns."""
        self._call = call
        self._response = response
        self._passed_on = False
        self._ended = False
        call.__enter__()

    def __enter__(self) -> Self:
        """Take over the end of the call."""
        self._passed_on = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the call, unless somebody else does."""
        if not self._passed_on and not self._ended:
            self._ended = True
            self._call.__exit__(kind, error, trace)

    def __del__(self) -> None:
        """End the call as cancelled where nobody awaited or consumed what it returned."""
        self._passed_on = False
        self.__exit__(GeneratorExit, GeneratorExit("nobody used the result"), None)

    def result(self, value: Any) -> Any:  # noqa: ANN401 - whatever a tool returns
        """Return the value; where it is still to be awaited or consumed, one like it that ends the call."""
        watched = self._watched(value)
        self._passed_on = watched is not None
        if watched is not None:
            return watched
        if self._response:
            self._call.response_data = value
        return value

    def _watched(self, value: Any) -> Any:  # noqa: ANN401, PLR0911 - one line per kind
        if inspect.isasyncgen(value):
            return streaming(self._again, lambda: value)()
        if inspect.iscoroutine(value):
            return awaiting(self._again, lambda: value)()
        if inspect.isawaitable(value):
            if callable(getattr(value, "add_done_callback", None)):
                return self._future(value)
            # An object that is also a context manager is more than a result to be awaited.
            return None if hasattr(value, "__aenter__") else _Awaitable(self, value)
        if inspect.isgenerator(value):
            return stepping(self._again, lambda: value)()
        if callable(getattr(value, "add_done_callback", None)) and callable(
            getattr(value, "exception", None)
        ):
            return self._future(value)
        if hasattr(getattr(value, "body_iterator", None), "__aiter__"):
            return self._response_stream(value)
        return None

    def _again(self, *_: object) -> Watch:
        return self

    def _future(self, future: Any) -> Any:  # noqa: ANN401 - of asyncio, or of concurrent.futures
        def done(_: object) -> None:
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            with suppress(BaseException), self:
                if error is not None:
                    raise error
                self.result(future.result())

        future.add_done_callback(done)
        return future

    def _response_stream(self, response: Any) -> Any:  # noqa: ANN401 - StreamingResponse of Starlette, or alike
        iterator = response.body_iterator
        response.body_iterator = streaming(self._again, lambda: _generator(iterator))()
        return response


class _Awaitable:
    """An object that can be awaited, with all else that it can."""

    def __init__(self, watch: Watch, value: Awaitable[Any]) -> None:
        self._watch = watch
        self._value = value

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited: Awaitable[Any] = awaiting(lambda *_: self._watch, lambda: self._value)()
        return awaited.__await__()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it has
        return getattr(self._value, name)


def awaiting(begin: Begin, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a coroutine function that does as `function` and records its call."""

    async def awaited(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        with begin(args, kwargs) as watch:
            return watch.result(await function(*args, **kwargs))

    return awaited


def stepping(begin: Begin, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a generator function that does as `function` and records its call."""

    def steps(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401
        with begin(args, kwargs):
            return (yield from function(*args, **kwargs))

    return steps


def streaming(begin: Begin, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async generator function that does as `function` and records its call."""

    async def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:  # noqa: ANN401
        with begin(args, kwargs):
            async with aclosing(function(*args, **kwargs)) as inner:
                try:
                    value = await anext(inner)
                    while True:
                        try:
                            sent = yield value
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # noqa: BLE001 - it is the tool's to handle
                            value = await inner.athrow(error)
                        else:
                            value = await inner.asend(sent)
                except StopAsyncIteration:
                    return

    return stream


async def _generator(iterable: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    async for value in iterable:
        yield value
