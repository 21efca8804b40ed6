"""Starting the server, and waiting for its end."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.mcp._proxy._asking_pump import ToClient, ToServer
from bcp_analytics.mcp._proxy._asks import Talk
from bcp_analytics.mcp._proxy._conversation import say
from bcp_analytics.mcp._proxy._observer import Observer
from bcp_analytics.mcp._proxy._pump import Pump, Tap, widen
from bcp_analytics.mcp._proxy._record import Recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bcp_analytics.mcp._asking import Asking
    from bcp_analytics.mcp._proxy._conversation import Counts

_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_WAITED_FOR = {*_PASSED_ON, signal.SIGCHLD}
_FROM_TERMINAL = 128  # SI_KERNEL in <asm-generic/siginfo.h>
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LOOK_S = 0.5
_GRACE_S = 1.0
"""How long, after the server ended, its output may be silent before it counts as ended too."""

_CLOSE_S = 1.5
"""How long sending may take at the end. Clients kill a server some 2 s after they closed its input."""


class NotStarted(BcpAnalyticsError):  # noqa: N818 - as in errors.py
    """The command cannot be started; `exit_code` is what a shell would end with."""

    exit_code = 127


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    exit_code: int
    counts: Counts | None
    """None where the recording has not come to an end in time, or was killed."""
    stats: Any
    """The collector's own, None where nothing was recorded."""


def run_proxy(
    bcp_name: str,
    command: Sequence[str],
    connect: Callable[[], Any],
    *,
    user_id: str | None = None,
    hide: Iterable[str] = (),
    asking: Asking | None = None,
) -> Outcome:
    """Run an MCP server between our stdin and stdout until it ends, and record its calls.

    `connect` makes the collector, in a process of its own while the server starts; where it raises, that is
    said on stderr and nothing is recorded. `hide` names environment variables that the server does not get.
    `asking` is what agents are asked; without it, or where that is nothing, all bytes pass unchanged.
    To be called from the main thread, whose signals it takes, while there is no other. Raises `NotStarted`.
    """
    _fill_standard_descriptors()
    tap = Tap()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    try:
        read = partial(Observer, bcp_name, session_id=str(uuid4()), user_id=user_id, say=say)
        recording = Recording(tap, connect, read, _CLOSE_S)
        child = _start(command, before, set(hide))
        assert child.stdin is not None  # noqa: S101 - for the type checker
        assert child.stdout is not None  # noqa: S101
        # Answers are what is large.
        widen(child.stdout.fileno())
        widen(1)
        # The pumps own the descriptors: Python's file objects would close them a second time.
        to_child, from_child = _pumps(_detach(child.stdin), _detach(child.stdout), tap, asking)
        for thread in (to_child, from_child, recording):
            thread.start()
        code, told_to_end = _wait(child, from_child)
        deaf = not from_child.is_alive() and not from_child.hung_up
        recording.finish(code, client_left=to_child.hung_up or deaf or told_to_end)
        return Outcome(code, recording.counts, recording.stats)
    finally:
        # One that came too late to be passed on must not end us in the child's place.
        while signal.sigtimedwait(_WAITED_FOR, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _fill_standard_descriptors() -> None:
    """Open what the caller closed of stdin, stdout and stderr, before a pipe of ours gets its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _pumps(to_server: int, from_server: int, tap: Tap, asking: Asking | None) -> tuple[Pump, Pump]:
    """Return what copies either way."""
    if asking is None or not asking.wanted:
        return (
            Pump(0, to_server, tap, from_client=True),
            Pump(from_server, 1, tap, from_client=False),
        )
    talk = Talk(asking)
    back = ToClient(from_server, 1, tap, talk)
    return ToServer(0, to_server, tap, talk, back), back


def _detach(file: Any) -> int:  # noqa: ANN401 - a raw file, as bufsize is 0
    descriptor: int = os.dup(file.fileno())
    file.close()
    return descriptor


def _start(command: Sequence[str], mask: Iterable[int], hide: set[str]) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    number = list(mask)

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, number)
        if libc is not None:
            # Some clients kill nothing but the process that they started: the server must not stay behind.
            libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

    try:
        return subprocess.Popen(  # noqa: S603 - to run what it is told to is its purpose
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={name: value for name, value in os.environ.items() if name not in hide},
            preexec_fn=prepare,  # noqa: PLW1509 - no thread of ours runs yet
        )
    except OSError as error:
        missing = NotStarted(
            f"The command {command[0]!r} cannot be started: {error.strerror or error}.",
            hint="Give a program on the PATH, or its whole path, after --.",
        )
        missing.exit_code = 127 if isinstance(error, FileNotFoundError) else 126
        raise missing from error


def _wait(child: subprocess.Popen[bytes], output: Pump) -> tuple[int, bool]:
    """Return the child's exit code, as a shell gives it, and whether it was told by signal to end."""
    told = False
    while child.poll() is None:
        got = signal.sigtimedwait(_WAITED_FOR, _LOOK_S)
        if got is not None and got.si_signo in _PASSED_ON:
            told = True
            # A terminal's Ctrl-C has already reached the child, which is in our process group.
            if got.si_code != _FROM_TERMINAL:
                child.send_signal(got.si_signo)
    ended = time.monotonic()
    output.join(_GRACE_S)
    # A process that the child left behind may hold its output open without ever using it.
    while output.is_alive() and min(output.idle_s(), time.monotonic() - ended) < _GRACE_S:
        if signal.sigtimedwait(_PASSED_ON, _LOOK_S) is not None:
            # The client does not read what is left, and has lost patience.
            told = True
            break
    return (child.returncode if child.returncode >= 0 else 128 - child.returncode), told
