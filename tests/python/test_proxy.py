"""The proxy as a process: the bytes that pass, how it ends, and that recording is never felt."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics.mcp._proxy._pump import Pump, Tap

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD = b"".join(
    [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{}}}\r\n',
        b'{"jsonrpc": "2.0", "id": 2,   "method": "tools/list"}\n\n\r\n \n',
        '{"id":"é","method":"tools/call","params":{"name":"naïve \U0001f600"}}\n'.encode(),
        '{"id":"é","method":"tools/call","params":{"name":"latin"}}\n'.encode("latin-1"),
        b"\xef\xbb\xbf{}\n",
        b'not json at all\n{"half": \n]]]\n' + b"[" * 100_000 + b"\n",
        b"\x00\xff\xfe\x80 binary \x1b[0m\r\r\n",
        b'[{"id":3,"method":"tools/call","params":{"name":"b"}},{"id":3,"result":{}},17,null]\n',
        b'{"text":"' + b"x" * 3_000_000 + b'"}\n',
        b'{"too long to be read":"' + b"y" * 9_000_000 + b'"}\n',
        os.urandom(200_000) + b"\n",
        b'{"id": 4, "no newline": "at the end"',
    ]
)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own; the database named in it is away."""
    monkeypatch.setenv("BCP_ANALYTICS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("BCP_ANALYTICS_DSN", f"host={tmp_path} dbname=nowhere connect_timeout=2")
    return tmp_path


def proxy(*command: str, options: tuple[str, ...] = ("--verbose",), **popen: Any) -> subprocess.Popen[bytes]:
    arguments = [
        sys.executable,
        "-m",
        "bcp_analytics",
        "proxy",
        "--bcp",
        "test",
        *options,
        "--",
        *command,
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | popen
    return subprocess.Popen(arguments, **pipes)


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", textwrap.dedent(code)


@contextlib.contextmanager
def running(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy whose server has said its first line."""
    process = proxy(*command, **options)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def last_line(stderr: bytes) -> str:
    return stderr.decode().splitlines()[-1]


@pytest.mark.usefixtures("environment")
def test_odd_bytes_pass_unchanged_both_ways_to_the_end() -> None:
    process = proxy("cat")
    out, err = process.communicate(ODD, timeout=60)
    assert out == ODD
    assert process.returncode == 0
    assert last_line(err).startswith("bcp-analytics proxy: 4 calls (0 failed), 1 list of tools, ")
    assert "Traceback" not in err.decode()


def test_a_server_says_what_it_likes_and_hears_what_was_said(environment: Path) -> None:
    (environment / "says").write_bytes(ODD[::-1])
    server = python(f"""
        import os, shutil, sys
        os.chdir({str(environment)!r})
        with open("says", "rb") as says, open("heard", "wb") as heard:
            shutil.copyfileobj(says, sys.stdout.buffer)
            sys.stdout.flush()
            shutil.copyfileobj(sys.stdin.buffer, heard)
        print("my log", os.environ.get("BCP_ANALYTICS_DSN"), file=sys.stderr)
        sys.exit(7)
    """)
    process = proxy(*server, options=())
    out, err = process.communicate(ODD, timeout=60)
    assert out == ODD[::-1]
    assert (environment / "heard").read_bytes() == ODD
    assert process.returncode == 7
    # The server is not told where the database is.
    assert b"my log None\n" in err


@given(st.lists(st.binary(min_size=1, max_size=100_000), max_size=6))
def test_however_the_bytes_are_cut(chunks: list[bytes]) -> None:
    into, out_of = os.pipe(), os.pipe()
    tap = Tap()
    pump = Pump(into[0], out_of[1], tap, from_client=True)
    pump.start()

    def write() -> None:
        for chunk in chunks:
            os.write(into[1], chunk)
        os.close(into[1])

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(out_of[0], "rb") as reader:
        assert reader.read() == b"".join(chunks)
    writer.join(10)
    pump.join(10)
    assert pump.hung_up
    kept = [item for item, _, _ in tap._waiting]
    assert kept.pop() is None
    assert b"".join(item for item in kept if isinstance(item, bytes)) == b"".join(chunks)


@pytest.mark.usefixtures("environment")
def test_a_slow_reader_holds_the_writer_up() -> None:
    flood = python("""
        import os, sys
        print("ready", flush=True)
        sent = 0
        os.set_blocking(1, False)
        import select
        while select.select([], [1], [], 1)[1]:
            sent += os.write(1, b"x" * 65536)
        print(sent, file=sys.stderr, flush=True)
        sys.stdin.read()
    """)
    with running(*flood) as process:
        assert process.stderr is not None
        sent = next(int(line) for line in process.stderr if line.strip().isdigit())
        # What two pipes hold, one chunk in between, and no more.
        assert 65_536 <= sent <= 4 * 1_048_576


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.abort()", 134),
    ],
)
@pytest.mark.usefixtures("environment")
def test_the_end_of_the_server_is_ours(code: str, expected: int) -> None:
    """Also while the client keeps stdin open; what the server said before it is passed on."""
    process = proxy(*python(f"print('last words', flush=True); {code}"))
    assert process.stdout is not None
    assert process.stdout.read() == b"last words\n"
    assert process.wait(20) == expected
    process.communicate()


@pytest.mark.usefixtures("environment")
def test_a_server_gets_the_end_of_input_and_time_to_end() -> None:
    server = python("""
        import sys, time
        print("ready", flush=True)
        sys.stdin.read()
        time.sleep(0.5)
        print("done")
    """)
    with running(*server) as process:
        out, _ = process.communicate(timeout=20)
        assert out == b"done\n"
        assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("environment")
def test_signals_reach_the_server(number: signal.Signals) -> None:
    # By os.write: a signal in the middle of a print cannot print. And waited for, since one just before a
    # pause would leave it waiting.
    server = python("""
        import os, signal, sys
        numbers = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        os.write(1, b"ready\\n")
        number = signal.sigwait(numbers)
        os.write(1, b"signal %d\\n" % number)
        sys.exit(40 + number)
    """)
    with running(*server) as process:
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
        assert out == b"signal %d\n" % number
        assert process.returncode == 40 + number


@pytest.mark.usefixtures("environment")
def test_a_server_without_a_handler_dies_of_the_signal() -> None:
    with running(*python("import time; print('ready', flush=True); time.sleep(60)")) as process:
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM


def test_a_killed_proxy_leaves_no_server_behind(environment: Path) -> None:
    pid = environment / "pid"
    server = python(f"""
        import os, pathlib, time
        pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))
        print("ready", flush=True)
        time.sleep(60)
    """)
    with running(*server) as process:
        process.kill()
        process.wait(10)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{pid.read_text()}/stat").exists() and time.monotonic() < deadline:
            if Path(f"/proc/{pid.read_text()}/stat").read_text().split()[2] == "Z":
                break
            time.sleep(0.02)
        assert time.monotonic() < deadline


@pytest.mark.usefixtures("environment")
def test_either_side_may_stop_reading() -> None:
    """As without a proxy, whoever writes then gets a broken pipe, and nobody hangs."""
    # By os.write: what print left in its buffer would change the exit code to 120, or not.
    endless = python("import os\nos.write(1, b'ready\\n')\nwhile True: os.write(1, b'more\\n')")
    with running(*endless) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(20) == 1
    deaf = python("import os, time; os.close(0); print('ready', flush=True); time.sleep(3)")
    with running(*deaf) as process:
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
        # Poll says error once nobody can read the pipe any more.
        poll = select.poll()
        poll.register(process.stdin, 0)
        assert poll.poll(10_000)


@pytest.mark.usefixtures("environment")
def test_a_process_that_the_server_leaves_behind_is_not_waited_for() -> None:
    server = python("import subprocess; subprocess.Popen(['sleep', '30']); print('bye', flush=True)")
    with proxy(*server, stderr=subprocess.DEVNULL) as process:
        began = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - began < 15
        assert process.stdout is not None
        assert process.stdout.readline() == b"bye\n"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(("command", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_started(command: str, code: int) -> None:
    process = proxy(command)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (code, b"")
    assert err.decode().startswith(f"Error: The command '{command}' cannot be started")


@pytest.mark.parametrize("dsn", ["", "postgresql://user:hunter2@%%%"])
def test_without_a_database_the_server_runs_all_the_same(
    dsn: str, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    assert environment.exists()
    call = b'{"id":1,"method":"tools/call","params":{"name":"a"}}\n'
    process = proxy("cat")
    out, err = process.communicate(call * 3, timeout=20)
    assert (out, process.returncode) == (call * 3, 0)
    first, last = err.decode().splitlines()
    assert "not recorded" in first
    assert "hunter2" not in first
    assert last == "bcp-analytics proxy: 3 calls (0 failed), 0 lists of tools; nothing was recorded"


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the process that records, and the server."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def spooled(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (home / "state").rglob("*") if path.is_file())


CALL = b'{"id":%d,"method":"tools/call","params":{"name":"tool%d"}}\n'


def test_what_a_killed_proxy_passed_on_is_recorded(environment: Path) -> None:
    process = proxy("cat", options=("--durable",))
    assert process.stdin is not None
    # Five calls that nobody answers, and then one that is answered, and so on disk at once.
    process.stdin.write(b"".join(CALL % (n, n) for n in range(6)) + b'{"id":5,"result":{}}\n')
    process.stdin.flush()
    deadline = time.monotonic() + 30
    while b'"tool5"' not in spooled(environment):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert b'"tool0"' not in spooled(environment)
    process.kill()
    # stderr ends when the process that records has.
    process.communicate(timeout=20)
    assert all(b'"tool%d"' % n in spooled(environment) for n in range(5))


@pytest.mark.usefixtures("environment")
def test_bytes_pass_on_when_recording_is_killed() -> None:
    process = proxy("cat")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(CALL % (1, 1))
    process.stdin.flush()
    assert process.stdout.readline() == CALL % (1, 1)
    os.kill(children(process)[0], signal.SIGKILL)
    out, err = process.communicate(ODD, timeout=60)
    assert (out, process.returncode) == (ODD, 0)
    gone, last = err.decode().splitlines()
    assert gone == "bcp-analytics proxy: the process that records is gone; the connection goes on"
    assert last == "bcp-analytics proxy: how much was recorded is not known yet"


def test_while_the_database_is_away_calls_are_kept_on_disk(environment: Path) -> None:
    server = python("""
        import sys, json
        for line in sys.stdin:
            print(json.dumps({"id": json.loads(line)["id"], "result": {"content": []}}), flush=True)
    """)
    calls = [{"id": n, "method": "tools/call", "params": {"name": f"tool{n}"}} for n in range(5)]
    process = proxy(*server)
    out, err = process.communicate("".join(f"{json.dumps(call)}\n" for call in calls).encode(), timeout=30)
    assert out.count(b"\n") == 5
    assert process.returncode == 0
    assert "5 calls (0 failed)" in last_line(err)
    assert "7 spooled" in last_line(err)  # with the session's begin and end
    assert all(b'"tool%d"' % n in spooled(environment) for n in range(5))
