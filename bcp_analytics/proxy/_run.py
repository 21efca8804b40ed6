"""Starting the server, waiting for its end, and the observer's thread."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.proxy._observer import Counts, Observer, say
from bcp_analytics.proxy._pump import Pump, Tap, now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_WAITED_FOR = {*_PASSED_ON, signal.SIGCHLD}
_FROM_TERMINAL = 128  # SI_KERNEL in <asm-generic/siginfo.h>
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LOOK_S = 0.5
_GRACE_S = 1.0
"""How long, after the server ended, its output may be silent before it counts as ended too."""
_SWITCH_S = 0.0005
"""For how long the recording may keep the GIL from bytes that wait to be passed on. With Python's own 5 ms,
the slowest hundredth of 1,000 answers of 20 kB took 1.9 to 2.7 ms, with this 1.2 to 1.7 (2 busy cores)."""
_CLOSE_S = 1.5
"""How long sending may take at the end. Clients kill a server some 2 s after they closed its input."""


class NotStarted(BcpAnalyticsError):  # noqa: N818 - as in errors.py
    """The command cannot be started; `exit_code` is what a shell would end with."""

    exit_code = 127


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    exit_code: int
    counts: Counts = field(default_factory=Counts)
    stats: Any = None
    """The collector's own, None where nothing was recorded."""


class Unrecorded:
    """Takes the place of a collector that cannot be had: what comes is counted by the observer alone."""

    def record(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Forget a call."""

    record_error = touch_session = end_session = record


def run_proxy(
    bcp_name: str,
    command: Sequence[str],
    connect: Callable[[], Any],
    *,
    user_id: str | None = None,
    hide: Iterable[str] = (),
) -> Outcome:
    """Run an MCP server between our stdin and stdout until it ends, and record its calls.

    `connect` makes the collector, in a thread of its own while the server starts; where it raises, that is
    said on stderr and nothing is recorded. `hide` names environment variables that the server does not get.
    To be called from the main thread, whose signals it takes. Raises `NotStarted`.
    """
    _fill_standard_descriptors()
    tap = Tap()
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    try:
        child = _start(command, before, set(hide))
        assert child.stdin is not None  # noqa: S101 - for the type checker
        assert child.stdout is not None  # noqa: S101
        # The pumps own the descriptors: Python's file objects would close them a second time.
        to_child = Pump(0, _detach(child.stdin), tap, from_client=True)
        from_child = Pump(_detach(child.stdout), 1, tap, from_client=False)
        recording = _Recording(bcp_name, connect, tap, user_id)
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
        sys.setswitchinterval(switch_s)


def _fill_standard_descriptors() -> None:
    """Open what the caller closed of stdin, stdout and stderr, before a pipe of ours gets its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


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


class _Recording(threading.Thread):
    """The thread that reads what was passed on, and the collector's life."""

    def __init__(self, bcp_name: str, connect: Callable[[], Any], tap: Tap, user_id: str | None) -> None:
        super().__init__(name="bcp-proxy-record", daemon=True)
        self._bcp_name = bcp_name
        self._connect = connect
        self._tap = tap
        self._user_id = user_id
        self._end: tuple[int, bool] | None = None
        self.counts = Counts()
        self.stats: Any = None

    def finish(self, exit_code: int, *, client_left: bool) -> None:
        """Record what is left and send it, as far as that goes in the time there is."""
        self._end = (exit_code, client_left)
        self._tap.stop()
        self.join(2 * _CLOSE_S)

    def run(self) -> None:
        """Record until `finish`."""
        try:
            collector = self._connect()
        except Exception as error:  # noqa: BLE001 - a driver may raise anything
            say(f"the calls are not recorded: {' '.join(str(error).split())}")
            collector = None
        observer = Observer(
            self._bcp_name,
            collector or Unrecorded(),
            session_id=str(uuid4()),
            user_id=self._user_id,
            say=say,
        )
        self.counts = observer.counts

        def at_end(from_client: bool) -> None:  # noqa: FBT001
            # The server may now take its time to end, in which the calls so far can be sent.
            if from_client and collector is not None:
                _quietly(collector.flush, _CLOSE_S)

        self._tap.drain(observer, at_end)
        exit_code, client_left = self._end or (0, True)
        observer.finish(now(), client_left=client_left, exit_code=exit_code)
        if collector is not None:
            _quietly(collector.close, _CLOSE_S)
            self.stats = _quietly(collector.stats)


def _quietly(call: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    try:
        return call(*args)
    except Exception as error:  # noqa: BLE001 - the server's end is not held up by ours
        say(f"{type(error).__name__}: {error}")
        return None
