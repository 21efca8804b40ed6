"""What is known of an error at the place where it was caught, bounded in size."""

from __future__ import annotations

import platform
import resource
import sys
import sysconfig
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType

SHARED_FIELDS: Final = (
    *("session_id", "conversation_id", "user_id", "client_name"),
    *("request_id", "trace_id", "release"),
)
"""Fields that a call and its error have in common; the store finds the session of both by the first four."""

_MAX_MESSAGE: Final = 4_000
_MAX_TRACE: Final = 32_000
"""Characters: with 10 messages in the chain and 50 frames the whole event stays within 64 KB."""
_MAX_CHAIN: Final = 10
_MAX_CHAIN_MESSAGE: Final = 500
_MAX_FRAMES: Final = 50
_MAX_NAME: Final = 300
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


def complete(event: dict[str, Any], exception: BaseException | None) -> None:
    """Add to an error's event what it does not have yet; `exception` may be None."""
    context: dict[str, Any] = {"runtime": runtime()}
    if exception is not None:
        event.setdefault("message", message_of(exception) or type_name(exception))
        event.setdefault("error_type", type_name(exception))
        event.setdefault("stack_trace", stack_trace(exception))
        context["exception_chain"] = chain(exception)
        context["frames"] = frames(exception.__traceback__)
    given = event.get("context")
    event["context"] = context | given if isinstance(given, dict) else context
    # The store takes no error without one.
    event.setdefault("message", event.get("error_type") or "no message")


def runtime() -> dict[str, Any]:
    """Return Python's version and implementation, the platform, and the process's peak memory in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _still() | {"max_rss_bytes": peak if sys.platform == "darwin" else peak * 1024}


@cache
def _still() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def type_name(exception: BaseException) -> str:
    """Return the qualified name of an exception's class, such as json.decoder.JSONDecodeError."""
    kind = type(exception)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:_MAX_NAME]


def message_of(exception: BaseException, limit: int = _MAX_MESSAGE) -> str:
    """Return an exception's message, cut at `limit` characters; a mark where it has a broken __str__."""
    try:
        message = str(exception)
    except Exception:  # noqa: BLE001 - it is the application's code
        message = "<no message: __str__ raised>"
    return message if len(message) <= limit else f"{message[:limit]}..."


def stack_trace(exception: BaseException) -> str:
    """Return the traceback as Python prints it, without its middle where it is long."""
    try:
        text = "".join(traceback.format_exception(exception, limit=_MAX_FRAMES * 2))
    except Exception:  # noqa: BLE001 - it may call the application's __str__
        text = "".join(traceback.format_tb(exception.__traceback__, limit=_MAX_FRAMES))
    if len(text) > _MAX_TRACE:
        half = _MAX_TRACE // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters cut ...]\n{text[-half:]}"
    return text


def chain(exception: BaseException) -> list[dict[str, str]]:
    """Return type and message of the exceptions behind one, nearest first, and how each led to the next."""
    found: list[dict[str, str]] = []
    seen = {id(exception)}
    current = exception
    while len(found) < _MAX_CHAIN:
        following, relation = current.__cause__, "cause"
        if following is None and not current.__suppress_context__:
            following, relation = current.__context__, "context"
        if following is None or id(following) in seen:
            break
        seen.add(id(following))
        message = message_of(following, _MAX_CHAIN_MESSAGE)
        found.append({"relation": relation, "type": type_name(following), "message": message})
        current = following
    return found


def chain_of_types(exception: BaseException) -> dict[str, list[str]]:
    """Return the classes of the exceptions behind one, if any, as a call's attribute `error_chain`."""
    types = [link["type"] for link in chain(exception)]
    return {"error_chain": types} if types else {}


def frames(trace: TracebackType | None) -> list[dict[str, Any]]:
    """Return the frames in the application's own code, innermost last: file, function, line."""
    found: list[dict[str, Any]] = []
    for frame, line in traceback.walk_tb(trace):
        file = relative(frame.f_code.co_filename)
        if file is not None:
            found.append({"file": file, "function": frame.f_code.co_qualname[:_MAX_NAME], "line": line})
    return found[-_MAX_FRAMES:]


@cache
def _library() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({f"{Path(paths[name]).resolve()}/" for name in ("stdlib", "platstdlib")})


def relative(file: str) -> str | None:
    """Return a source file relative to its entry of sys.path; None where it is no application code."""
    if file.startswith("<"):
        return None
    path = Path(file)
    if _INSTALLED & set(path.parts) or file.startswith(_library()):
        return None
    below = [Path(entry) for entry in sys.path if entry and path.is_relative_to(entry)]
    # Relative to the nearest one. Without any, the name alone: a full path tells who runs this, and where.
    return (str(path.relative_to(max(below, key=lambda p: len(p.parts)))) if below else path.name)[:_MAX_NAME]
