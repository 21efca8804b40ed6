"""Drives servers that nobody here wrote by clients that nobody here wrote, and compares.

    python -m benchmarks.real_clients                      # records to a native TimescaleDB of its own
    python -m benchmarks.real_clients --target embedded
    python -m benchmarks.real_clients --packages FOLDER    # leaves what it installs to the next run
    python -m benchmarks.real_clients --table              # only makes the table

Each server is driven by each SDK twice, with and without the proxy: the bytes are to be the same on both
sides of the proxy and in both runs, and each call is to have one row, with the outcome that the client saw.
Then a FastMCP server over HTTP is stopped by SIGTERM in the middle of the calls of both clients, ten times:
each call that was answered is to have its row.

Writes benchmarks/results/real_clients.json and the table of docs/design/measurements.md. Ends with 1 where
something differs, with 2 where a package could not be had: it is named, here and in the results, and what
needs it is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.real_clients import check, load, report
from benchmarks.real_clients.install import NPM, PYPI, SDK_PYTHON, SDK_TYPESCRIPT, Packages
from tests.targets import MAKERS, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.real_clients.load import Server, Steps

HERE = Path(__file__).parent
SDKS = {"TypeScript": SDK_TYPESCRIPT, "Python": SDK_PYTHON}
STOPS = 10
RUN_S = 300
STALLED_S = {"stdio": 60, "http": 5}
"""After so long nothing answers a call any more. Over HTTP, clients wait even where the server has ended."""


class Bench:
    """What all runs need."""

    def __init__(self, packages: Packages, folder: Path, dsn: str, conn: psycopg.Connection[Any]) -> None:
        self._folder = folder
        self._dsn = dsn
        self._conn = conn
        self._python = packages.python
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        # A module looks for others from where it is.
        driver = shutil.copy(HERE / "drive.mjs", packages.folder)
        self._drivers = {"Python": [packages.python, str(HERE / "drive.py")], "TypeScript": ["node", driver]}

    def compare(self, server: Server, sdk: str) -> dict[str, Any]:
        """Drive a server by an SDK with and without the proxy, and return what was found."""
        name = f"{server.package.rpartition('/')[2]}-{sdk.lower()}"
        steps = server.steps()
        direct, before, behind = (
            self._folder / f"{name}-{where}" for where in ("direct", "before", "behind")
        )
        commands = {
            direct: _tee(direct, server.command),
            before: _tee(before, self._proxy(name, _tee(behind, server.command))),
        }
        told = {}
        for kept, command in commands.items():
            plan = {"command": command, "environment": self._environment, "steps": steps}
            client = self._drive(sdk, kept, plan | {"stalled_s": STALLED_S["stdio"]})
            if code := client.wait(RUN_S):
                raise RuntimeError(f"the client of {name} ended with {code}: see {kept.with_suffix('.log')}")
            told[kept] = check.transcript(kept)
        wire = check.Wire(before)
        made = check.calls(steps)
        self._wait_for(name, len(made) + wire.listings)
        stored = check.rows(self._conn, name)
        differing = check.differing_rows(stored, told[before], made, wire)
        if len(stored) != len(made) + wire.listings:
            differing.append(f"{len(stored)} rows of {len(made)} calls and {wire.listings} lists of tools")
        if unanswered := [
            call for call in made if told[before].get(call, check.NO_ANSWER) == check.NO_ANSWER
        ]:
            differing.append(f"{len(unanswered)} calls without an answer")
        given_up = {call for kept in told for call in told[kept] if told[kept][call]["saw"] in check.GIVEN_UP}
        return {
            "server": server.package,
            "sdk": sdk,
            "protocol": "/".join(sorted({row.protocol for row in stored})),
            "calls": len(made),
            "saw": dict(sorted(Counter(check.outcome(call) for call in told[before].values()).items())),
            "progress": sum(call.get("progress", 0) for call in told[before].values()),
            "rows": sum(row.operation == "tools/call" for row in stored),
            "lists": wire.listings,
            "bytes": len(wire.sent) + len(wire.got),
            "differing_rows": differing,
            "differing_bytes": check.differing_bytes(check.Wire(direct), wire, check.Wire(behind), given_up),
        }

    def stop(self, number: int, sdks: list[str]) -> dict[str, Any]:
        """Stop a server in mid-load, and return what was found."""
        name, answers = f"stop-{number}", ("SSE", "JSON")[number % 2]
        port = free_port()
        environment = self._environment | {
            "RECORD_TO": self._dsn,
            "SPOOL": str(self._folder / "spool"),
            "BCP_NAME": name,
            "ANSWERS": answers,
        }
        app = "benchmarks.real_clients.served:app"
        command = [self._python, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
        with (self._folder / f"{name}.log").open("wb") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603
        clients: list[subprocess.Popen[bytes]] = []
        told: list[dict[str, check.Told]] = []
        made: dict[str, str] = {}
        try:
            _wait_until(lambda: _answers(port))
            kept = [self._folder / f"{name}-{sdk}" for sdk in sdks]
            for place, (sdk, file) in enumerate(zip(sdks, kept, strict=True)):
                steps = _steps_until_stopped(place)
                made |= check.calls(steps)
                plan = {"url": f"http://127.0.0.1:{port}/mcp", "steps": steps, "stalled_s": STALLED_S["http"]}
                clients.append(self._drive(sdk, file, plan))
            # Each time at another moment.
            calls = 40 + 23 * number
            _wait_until(lambda: all(len(check.transcript(file)) >= calls for file in kept))
            server.send_signal(signal.SIGTERM)
            began = time.monotonic()
            code = server.wait(60)
            took = time.monotonic() - began
            for client in clients:
                client.wait(60)
            told = [check.transcript(file) for file in kept]
        finally:
            for process in (server, *clients):
                process.kill()
        all_told = {call: what for by_sdk in told for call, what in by_sdk.items()}
        answered = {call for call, what in all_told.items() if what != check.NO_ANSWER}
        stored = check.rows(self._conn, name)
        recorded = {row.trace_id for row in stored}
        return {
            "answers": answers,
            "answered": len(answered),
            "rows": sum(row.operation == "tools/call" for row in stored),
            "unheard": {
                sdk: len((by_sdk.keys() & recorded) - answered)
                for sdk, by_sdk in zip(sdks, told, strict=True)
            },
            "exit_code": code,
            "stopped_within_s": round(took, 2),
            "differing_rows": check.differing_rows(stored, all_told, made),
        }

    def _drive(self, sdk: str, kept: Path, plan: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start a client."""
        file = kept.with_suffix(".plan")
        file.write_text(json.dumps(plan | {"transcript": str(kept.with_suffix(".told"))}))
        with kept.with_suffix(".log").open("wb") as log:
            return subprocess.Popen([*self._drivers[sdk], file], stderr=log, env=self._environment)  # noqa: S603

    def _proxy(self, name: str, command: list[str]) -> list[str]:
        ours = [sys.executable, "-m", "bcp_analytics", "proxy", "--bcp", name, "--dsn", self._dsn]
        return [*ours, "--", *command]

    def _wait_for(self, name: str, number: int) -> None:
        """Wait for rows. At its end the proxy has 1.5 s to send; the next of its name sends what is left."""
        for _ in range(30):
            if len(check.rows(self._conn, name)) >= number:
                return
            command = self._proxy(name, ["sleep", "2"])
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env=self._environment)  # noqa: S603


def _tee(kept: Path, command: list[str]) -> list[str]:
    return [sys.executable, str(HERE / "tee.py"), str(kept), *command]


def _steps_until_stopped(place: int) -> Steps:
    """Return more calls than are made before the stop, whose ids are those of the client at this place."""
    kinds = [
        load.call("read", {"size": 100}),
        load.call("read", {"size": 50_000}),
        load.call("fail", {"message": "no such order"}),
        load.call("count", {"steps": 3}, progress=True),
        load.call("tell-fortune", {}),
        load.call("read", {"size": "many"}),
    ]
    steps = [[kinds[(step + at) % len(kinds)] for at in range(load.PARALLEL)] for step in range(2_000)]
    return load.numbered(steps, first=1 + place * 1_000_000)


def _answers(port: int) -> bool:
    try:
        with closing(urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5)):
            return True
    except OSError:
        return False


def _wait_until(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not happened():
        if time.monotonic() > until:
            raise RuntimeError("server and clients do not get on")
        time.sleep(0.005)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Yield a folder outside of the repository."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def measure(
    packages: Packages, bench: Bench, folder: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run all that there are packages for."""
    sdks = [sdk for sdk, package in SDKS.items() if package not in packages.missing]
    runs, stops = [], []
    for server in load.servers(packages, folder):
        for sdk in sdks:
            runs.append(bench.compare(server, sdk))
            print(runs[-1], flush=True)
    if not packages.missing.keys() & {"fastmcp", "uvicorn", "bcp_analytics"}:
        for number in range(STOPS):
            stops.append(bench.stop(number, sdks))
            print(stops[-1], flush=True)
    return runs, stops


def main() -> int:
    """Run all, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", choices=sorted(MAKERS), default="native", help="where to record")
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help="where to install, and leave it")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="where to leave what passed, and the logs"
    )
    parser.add_argument("--table", action="store_true", help="only make the table from the results")
    options = parser.parse_args()
    if options.table:
        report.write()
        return 0
    target = MAKERS[options.target]()
    try:
        described = target.start()
        with (
            _folder(options.packages) as installed,
            _folder(options.keep) as folder,
            target.clean() as dsn,
            psycopg.connect(dsn, autocommit=True) as conn,
        ):
            packages = Packages(installed)
            runs, stops = measure(packages, Bench(packages, folder, dsn, conn), folder)
    finally:
        target.stop()
    document = {
        "target": f"{options.target} ({described}), {os.cpu_count()} cores",
        "versions": NPM | PYPI,
        "left_out": packages.missing,
        "proxy": runs,
        "stops": stops,
    }
    report.RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    report.write()
    for package, reason in packages.missing.items():
        print(f"LEFT OUT, {package}: {reason}")
    differs = any(run["differing_rows"] or run.get("differing_bytes") for run in runs + stops)
    print("SOMETHING DIFFERS" if differs else "nothing differs")
    return 1 if differs else 2 * bool(packages.missing)


if __name__ == "__main__":
    sys.exit(main())
