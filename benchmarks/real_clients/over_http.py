"""The HTTP proxy in front of servers that nobody here wrote, driven by ten clients of both SDKs at once.

    python -m benchmarks.real_clients.over_http --packages FOLDER

Two relays, before and behind the proxy, keep what passes: requests and responses are to be the same on both
sides, but for headers that are about one connection alone. Each call is to have one row, with the outcome
that the client saw. Prints what was found, and ends with 1 where something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.real_clients import check, load
from benchmarks.real_clients.install import NPM, PYPI, Packages
from tests.python.http_upstream import Relay, proxied
from tests.targets import MAKERS, free_port, until_it_listens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.real_clients.load import Steps

HERE = Path(__file__).parent
EVERYTHING = "@modelcontextprotocol/server-everything"
RESULTS = HERE.parent / "results" / "real_clients_http.json"
CLIENTS = 10
ROUNDS = 4
RUN_S = 300
STALLED_S = 60


def everything(packages: Packages, port: int) -> tuple[list[str], dict[str, str], Steps]:
    """Return the command, environment and calls of a client."""
    server = load.everything(packages)
    made = [step for number in range(ROUNDS) for step in server.round(number)]
    given_up = [server.slow | {"cancel_s": load.GIVE_UP_S}, server.slow | {"timeout_s": load.GIVE_UP_S}]
    return [*server.command, "streamableHttp"], {"PORT": str(port)}, [*made, given_up, [server.unknown]]


def fastmcp(packages: Packages, port: int, answers: str) -> tuple[list[str], dict[str, str], Steps]:
    """Return the command, environment and calls of a client."""
    app = "benchmarks.real_clients.served:app"
    command = [packages.python, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    one_round: Steps = [
        [load.call("read", {"size": 100})],
        [load.call("read", {"size": 50_000}), load.call("fail", {"message": "no such order"})],
        [load.call("count", {"steps": 3}, progress=True), load.call("read", {"size": "many"})],
        [load.call("tell-fortune", {})],
    ]
    return command, {"ANSWERS": answers}, one_round * ROUNDS


@contextmanager
def running(command: list[str], port: int, log: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a server until it is no longer needed."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)  # noqa: S603
    try:
        until_it_listens(port, lambda: process.poll() is not None)
        yield
    finally:
        process.kill()
        process.wait()


def compare(packages: Packages, folder: Path, dsn: str, name: str, kind: str) -> dict[str, Any]:
    """Drive a server by ten clients at once, and return what was found."""
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(HERE.parents[1])}
    made: dict[str, str] = {}
    told: dict[str, check.Told] = {}
    with ExitStack() as stack:
        command, extra, steps = (
            everything(packages, port) if kind == EVERYTHING else fastmcp(packages, port, kind)
        )
        stack.enter_context(running(command, port, folder / f"{name}.log", environment | extra))
        behind = stack.enter_context(closing(Relay(port)))
        (folder / name).mkdir()
        proxy = stack.enter_context(
            proxied(folder / name, f"http://127.0.0.1:{behind.port}/mcp", "--bcp", name, dsn=dsn)
        )
        before = stack.enter_context(closing(Relay(proxy.port)))
        drivers = [
            [packages.python, str(HERE / "drive.py")],
            ["node", shutil.copy(HERE / "drive.mjs", packages.folder)],
        ]
        clients = []
        for place in range(CLIENTS):
            mine = load.numbered(steps, first=1 + place * 1_000_000)
            made |= check.calls(mine)
            kept = folder / f"{name}-{place}"
            plan = {"url": f"http://127.0.0.1:{before.port}/mcp", "steps": mine, "stalled_s": STALLED_S}
            file = kept.with_suffix(".plan")
            file.write_text(json.dumps(plan | {"transcript": str(kept.with_suffix(".told"))}))
            with kept.with_suffix(".log").open("wb") as log:
                command = [*drivers[place % 2], str(file)]
                clients.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))  # noqa: S603
        for client in clients:
            if code := client.wait(RUN_S):
                raise RuntimeError(f"a client of {name} ended with {code}: see {folder}")
        for place in range(CLIENTS):
            told |= check.transcript(folder / f"{name}-{place}")
        proxy.stop()
        requests, differing_bytes = differing(before, behind)
    with psycopg.connect(dsn, autocommit=True) as conn:
        stored = check.rows(conn, name)
    return {
        "server": f"{EVERYTHING} {NPM[EVERYTHING]}"
        if kind == EVERYTHING
        else f"FastMCP {PYPI['fastmcp']}, {kind}",
        "clients": CLIENTS,
        "protocols": sorted({row.protocol for row in stored}),
        "calls": len(made),
        "saw": dict(sorted(Counter(check.outcome(call) for call in told.values()).items())),
        "rows": sum(row.operation == "tools/call" for row in stored),
        "lists": sum(row.operation == "tools/list" for row in stored),
        "requests": requests,
        "differing_rows": check.differing_rows(stored, told, made),
        "differing_bytes": differing_bytes,
    }


def differing(before: Relay, behind: Relay) -> tuple[int, list[str]]:
    """Return how many requests passed, and what differs before and behind the proxy.

    A client that gives up a call leaves in the middle of a response, of which more may be on its way, or
    before one that comes: what it has got is to be the beginning of what the server sent.
    """
    (asked, got), (heard, said) = (map(Counter, relay.messages()) for relay in (before, behind))
    found = [f"the server got: {message!r:.600}" for message in heard - asked]
    found += [f"the client sent: {message!r:.600}" for message in asked - heard]
    rest = list((said - got).elements())
    for one in (got - said).elements():
        start, body, headers = one
        whole = next((r for r in rest if (r[0], r[2]) == (start, headers) and r[1].startswith(body)), None)
        if whole is None:
            found.append(f"the client got: {one!r:.600}")
        else:
            rest.remove(whole)
    return asked.total(), found


def main() -> int:
    """Run all, print, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", choices=sorted(MAKERS), default="native", help="where to record")
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help="where to install, and leave it")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to leave the logs")
    options = parser.parse_args()
    target = MAKERS[options.target]()
    found = []
    try:
        described = target.start()
        with ExitStack() as stack:
            dsn = stack.enter_context(target.clean())
            folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(exist_ok=True)
            packages = Packages(options.packages or folder)
            for number, kind in enumerate(("SSE", "JSON", EVERYTHING)):
                if (EVERYTHING if kind == EVERYTHING else "fastmcp") not in packages.missing:
                    found.append(compare(packages, folder, dsn, f"http-{number}", kind))
                    print(json.dumps(found[-1], indent=1), flush=True)
    finally:
        target.stop()
    document = {
        "target": f"{options.target} ({described}), {os.cpu_count()} cores",
        "versions": NPM | PYPI,
        "left_out": packages.missing,
        "runs": found,
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    differs = any(run["differing_rows"] or run["differing_bytes"] for run in found)
    print("SOMETHING DIFFERS" if differs else "nothing differs")
    return 1 if differs else 2 * bool(packages.missing)


if __name__ == "__main__":
    sys.exit(main())
