"""tracked(), call(), and what is known of an error."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import linecache
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from starlette.responses import StreamingResponse

from bcp_analytics.collector.capture import _context
from tests.python.collector_fakes import Sender, make

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

    from bcp_analytics import Collector


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def collector(sender: Sender, tmp_path: Path) -> Iterator[Collector]:
    with make(tmp_path, sender) as made:
        yield made


def events(collector: Collector, sender: Sender) -> list[dict[str, Any]]:
    assert collector.flush()
    return list(sender.database.events.values())


def test_a_tracked_function_is_recorded_and_stays_what_it_was(collector: Collector, sender: Sender) -> None:
    @collector.tracked("mail", session_id="s1")
    def send(to: str, *more: int, subject: str = "none", **rest: Any) -> dict[str, str]:
        """Send it."""
        del more, subject, rest
        return {"to": to}

    assert (send.__name__, send.__doc__) == ("send", "Send it.")
    assert send("ada", 1, 2, colour="red") == {"to": "ada"}
    [event] = events(collector, sender)
    assert event["parameters"] == {"to": "ada", "more": [1, 2], "colour": "red"}
    assert event["response_data"] == {"to": "ada"}
    assert (event["bcp_name"], event["tool_name"], event["success"]) == ("mail", "send", True)
    assert 0 <= event["duration_ms"] < 10_000
    assert {"start_time", "session_id"} <= set(event)
    assert "outcome" not in event


def test_parameters_are_those_at_the_start(collector: Collector, sender: Sender) -> None:
    @collector.tracked()
    def take(items: list[Any], odd: Any) -> None:
        items.clear()
        odd.add(2)

    take([1, 2], {1})
    [event] = events(collector, sender)
    assert event["parameters"] == {"items": [1, 2], "odd": [1]}
    assert event["bcp_name"] == "test"


def test_methods_do_not_record_self(collector: Collector, sender: Sender) -> None:
    class Mail:
        @collector.tracked("mail")
        def send(self, to: str) -> str:
            return to

        @classmethod
        @collector.tracked("mail", tool_name="all", arguments=False, response=False)
        def every(cls) -> str:
            return "all"

    Mail().send("ada")
    Mail.every()
    first, second = events(collector, sender)
    assert first["parameters"] == {"to": "ada"}
    assert (second["tool_name"], "parameters" in second, "response_data" in second) == ("all", False, False)


def test_an_exception_goes_on_and_is_recorded_twice_over(collector: Collector, sender: Sender) -> None:
    about = {"release": "1.2", "user_id": 7, "client_name": "cli", "conversation_id": "c", "session_id": "s"}

    @collector.tracked("mail", **about)
    def send() -> None:
        raise json.JSONDecodeError("bad", "doc", 0)

    with pytest.raises(json.JSONDecodeError):
        send()
    call, error = events(collector, sender)
    assert (call["success"], "outcome" in call, "cancelled_by" in call) == (False, False, False)
    assert call["error_type"] == error["error_type"] == "json.decoder.JSONDecodeError"
    assert call["error_message"] == error["message"]
    assert (error["level"], error["tool_name"]) == ("error", "send")
    # Without them the store would find another session for the error.
    assert about.items() <= call.items()
    assert about.items() <= error.items()


@pytest.mark.parametrize(
    ("exception", "cancelled_by"),
    [(TimeoutError, None), (asyncio.CancelledError, "caller"), (KeyboardInterrupt, "user")],
)
def test_who_gave_up(
    collector: Collector, sender: Sender, exception: type[BaseException], cancelled_by: str | None
) -> None:
    @collector.tracked(errors=False)
    def send() -> None:
        raise exception

    with pytest.raises(exception):
        send()
    [event] = events(collector, sender)
    assert (event["error_type"].rpartition(".")[2], event.get("cancelled_by")) == (
        exception.__name__,
        cancelled_by,
    )


def test_a_call_has_the_classes_behind_its_exception(collector: Collector, sender: Sender) -> None:
    with pytest.raises(RuntimeError):
        collector.tracked(errors=False)(fail)()
    [call] = events(collector, sender)
    assert (call["error_type"], call["error_chain"]) == ("RuntimeError", ["json.decoder.JSONDecodeError"])


def test_async_functions_are_awaited(collector: Collector, sender: Sender) -> None:
    @collector.tracked("mail")
    async def send(to: str) -> str:
        await asyncio.sleep(0)
        return to

    @collector.tracked("mail", errors=False)
    async def fail() -> None:
        await asyncio.sleep(0)
        raise TimeoutError

    assert asyncio.run(send("ada")) == "ada"
    with pytest.raises(TimeoutError):
        asyncio.run(fail())
    first, second = events(collector, sender)
    assert (first["response_data"], first["success"]) == ("ada", True)
    assert (second["success"], second["error_type"]) == (False, "TimeoutError")


class Slow:
    """An async tool that is no function."""

    async def __call__(self, error: Exception | None) -> str:
        return await work(error)


class Promise:
    """What can be awaited and is no coroutine."""

    name = "promise"

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def __await__(self) -> Generator[Any, None, str]:
        return work(self.error).__await__()


async def work(error: Exception | None) -> str:
    await asyncio.sleep(0.002)
    if error is not None:
        raise error
    return "done"


def steps(error: Exception | None) -> Iterator[int]:
    yield 1
    time.sleep(0.002)
    if error is not None:
        raise error
    yield 2


async def stream(error: Exception | None) -> AsyncIterator[str]:
    yield "a"
    await work(error)
    yield "b"


def submit(error: Exception | None) -> Future[list[int]]:
    return pool.submit(lambda: list(steps(error)))


pool = ThreadPoolExecutor(1)

LAZY: dict[str, Callable[..., Any]] = {
    "coroutine function": work,
    "sync around async": lambda error: work(error),  # noqa: PLW0108 - the point
    "partial": partial(work),
    "object": Slow(),
    "awaitable": Promise,
    "task": lambda error: asyncio.ensure_future(work(error)),
    "future of a thread": submit,
    "generator function": steps,
    "generator": lambda error: steps(error),  # noqa: PLW0108
    "async generator function": stream,
    "async generator": lambda error: stream(error),  # noqa: PLW0108
    "streaming response": lambda error: StreamingResponse(stream(error)),
}


async def used(result: Any) -> Any:
    """Use a result as whoever called for it does."""
    if isinstance(result, StreamingResponse):
        result = result.body_iterator
    if isinstance(result, Future):
        # Who waits is told before the callbacks are called, by the one thread of the pool.
        result.exception()
        pool.submit(int).result()
        return result.result()
    if inspect.isawaitable(result):
        return await result
    if hasattr(result, "__aiter__"):
        return [item async for item in result]
    return list(result)


@pytest.mark.parametrize("kind", LAZY)
def test_a_call_ends_when_its_result_is_through(kind: str, collector: Collector, sender: Sender) -> None:
    function = collector.tracked("mail", kind)(LAZY[kind])
    for look in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert look(function) == look(LAZY[kind])

    async def both() -> Any:
        found = await used(function(None))
        with pytest.raises(OSError, match="too late"):
            await used(function(OSError("too late")))
        return found

    found = asyncio.run(both())
    assert found in ("done", [1, 2], ["a", "b"])
    good, bad, error = events(collector, sender)
    assert (good["success"], bad["success"], bad["error_type"]) == (True, False, "OSError")
    assert error["level"] == "error"
    assert min(good["duration_ms"], bad["duration_ms"]) > 1
    assert good.get("response_data") == (found if found == "done" or "future" in kind else None)


@pytest.mark.parametrize("kind", [kind for kind in LAZY if kind not in {"task", "future of a thread"}])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_result_that_nobody_uses_is_cancelled(kind: str, collector: Collector, sender: Sender) -> None:
    result = collector.tracked("mail", kind)(LAZY[kind])(None)
    del result
    gc.collect()
    begun = "function" not in kind and kind != "partial"
    assert [event["cancelled_by"] for event in events(collector, sender)] == ["caller"] * begun


def test_what_is_sent_and_thrown_into_a_generator_reaches_it(collector: Collector) -> None:
    @collector.tracked()
    async def echo() -> AsyncGenerator[Any, Any]:
        got: Any = "ready"
        while True:
            try:
                got = yield got
            except KeyError as error:
                got = error

    async def talk() -> None:
        talking = echo()
        assert await anext(talking) == "ready"
        assert await talking.asend(7) == 7
        thrown = KeyError()
        assert await talking.athrow(thrown) is thrown
        await talking.aclose()

    asyncio.run(talk())


def test_an_awaitable_keeps_what_else_it_has(collector: Collector) -> None:
    assert collector.tracked()(Promise)(None).name == "promise"


def test_a_wrong_call_fails_as_without_us(collector: Collector, sender: Sender) -> None:
    @collector.tracked(errors=False)
    def send(to: str) -> None: ...

    with pytest.raises(TypeError, match="missing 1 required"):
        send()  # type: ignore[call-arg]
    assert events(collector, sender)[0]["error_type"] == "TypeError"


def test_a_block_says_how_it_went(collector: Collector, sender: Sender) -> None:
    with collector.call("mail", "send", parameters={"a": 1}, client_name="cli") as call:
        call.response_data = {"sent": 1}
        call.response_bytes = 12
        call.response_tokens = 3
        call.success = False
        call.outcome = "soft_fail"
        call.error_type = "Bounced"
        call.error_message = "no such box"
    with suppress(ZeroDivisionError), collector.call("mail", "send") as call:
        call.error_type = "Mine"
        _ = 1 / 0
    first, second = events(collector, sender)
    assert (
        first.items()
        >= {
            "response_data": {"sent": 1},
            "response_bytes": 12,
            "response_tokens": 3,
            "success": False,
            "outcome": "soft_fail",
            "error_type": "Bounced",
            "error_message": "no such box",
            "client_name": "cli",
            "event_id": first["event_id"],
        }.items()
    )
    assert (second["error_type"], second["error_message"]) == ("Mine", "division by zero")


# Errors


def fail() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        raise RuntimeError("outer") from error


def test_an_error_has_its_chain_frames_and_runtime(collector: Collector, sender: Sender) -> None:
    try:
        fail()
    except RuntimeError as error:
        collector.record_error("error", exception=error, context={"mine": 1}, bcp_name="mail")
    [event] = events(collector, sender)
    assert event["message"] == "outer"
    assert event["error_type"] == "RuntimeError"
    assert "JSONDecodeError" in event["stack_trace"]
    context = event["context"]
    assert context["mine"] == 1
    [cause] = context["exception_chain"]
    assert (cause["relation"], cause["type"]) == ("cause", "json.decoder.JSONDecodeError")
    assert [frame["function"] for frame in context["frames"]] == [
        "test_an_error_has_its_chain_frames_and_runtime",
        "fail",
    ]
    assert all(frame["file"].endswith("test_collector_calls.py") for frame in context["frames"])
    assert not any(frame["file"].startswith("/") for frame in context["frames"])
    assert context["runtime"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert context["runtime"]["max_rss_bytes"] > 1_000_000
    assert not any("host" in name for name in context["runtime"])


def test_what_is_given_goes_before_what_is_found(collector: Collector, sender: Sender) -> None:
    collector.record_error("warn", "mine", exception=ValueError("theirs"), error_type="T", stack_trace="S")
    collector.record_error("info", exception=ValueError())
    collector.record_error("info", error_type="Only")
    first, second, third = events(collector, sender)
    assert (first["message"], first["error_type"], first["stack_trace"]) == ("mine", "T", "S")
    assert second["message"] == "ValueError"
    assert third["message"] == "Only"


def test_an_error_is_bounded(collector: Collector, sender: Sender) -> None:
    error: BaseException = ValueError("x" * 100_000)
    for n in range(40):
        outer = ValueError(str(n) * 50_000)
        outer.__cause__ = error
        error = outer

    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise error

    for _ in range(2):
        try:
            deep(200)
        except ValueError as caught:
            collector.record_error("error", exception=caught)
    for event in events(collector, sender):
        assert len(json.dumps(event)) < 64 * 1024
        assert len(event["context"]["frames"]) == 50
        assert len(event["context"]["exception_chain"]) == 10


def test_a_chain_that_bites_its_tail_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert [link["message"] for link in _context.chain(one)] == ["two"]
    inner = KeyError("k")
    outer = ValueError("v")
    outer.__context__ = inner
    assert _context.chain(outer)[0]["relation"] == "context"
    outer.__suppress_context__ = True
    assert _context.chain(outer) == []


def test_library_code_is_no_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "app"), str(tmp_path), *sys.path])
    assert _context.relative(str(tmp_path / "app/mail/send.py")) == "mail/send.py"
    assert _context.relative(str(tmp_path / "other.py")) == "other.py"
    assert _context.relative("/elsewhere/tool.py") == "tool.py"
    assert _context.relative(json.__file__) is None
    assert _context.relative(linecache.__file__) is None
    assert _context.relative("/x/.venv/lib/python3.12/site-packages/mcp/server.py") is None
    assert _context.relative("<frozen runpy>") is None


@pytest.mark.parametrize(
    "file",
    [
        "/srv/app/mail/send.py",
        json.__file__,
        "/x/.venv/lib/python3.12/site-packages/mcp/server.py",
        "/usr/lib/python3/dist-packages/requests/api.py",
        "<frozen runpy>",
    ],
)
def test_sql_knows_library_code_as_the_collector_does(db: psycopg.Connection[Any], file: str) -> None:
    """Issues are grouped by frames of the application's own code, and frames of an error are these, too."""
    trace = f'Traceback (most recent call last):\n  File "{file}", line 1, in f\nValueError: x'
    [(frames,)] = db.execute("select bcp_internal.application_frames(%s)", [trace]).fetchall()
    assert (frames is None) == (_context.relative(file) is None)
