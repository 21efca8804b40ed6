"""The servers that stand behind the proxy, and the calls that are made of each.

A plan's steps are made one after the other, the calls of a step at the same time. Slow calls are slow by what
is outside of the server: a named pipe, a program that git runs, a page.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.real_clients.install import Packages

Call = dict[str, Any]
Steps = list[list[Call]]

ROUNDS = 12
SLOW_S = 1.0
GIVE_UP_S = 0.15
PARALLEL = 4
TEXT = 'Grüße, 世界, \U0001f600 and \\ "quotes"\ttabs\n'
# A message over 8 MB, which the proxy passes on and does not read; the TypeScript SDK takes up to 10 MB.
UNREAD = 8_600_000
_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001"
    "e221bc330000000049454e44ae426082"
)


@dataclass(frozen=True)
class Server:
    """A server, and the calls of a round."""

    package: str
    command: list[str]
    round: Callable[[int], Steps]
    last: Steps
    """Steps that are made once."""
    slow: Call
    unknown: Call

    def steps(self) -> Steps:
        """Return the steps of a run, each call with a trace id of its own."""
        made: Steps = []
        for number in range(ROUNDS):
            made += self.round(number)
            made.append([self.unknown])
            given_up: list[Call] = [{"cancel_s": GIVE_UP_S}, {"timeout_s": GIVE_UP_S}]
            made.append([self.slow | how for how in given_up * (2 if number % 4 == 0 else 1)])
        # Given up by some, waited for by others.
        made.append([self.slow, self.slow | {"timeout_s": GIVE_UP_S}])
        return numbered(made + self.last)


def numbered(steps: Steps, first: int = 1) -> Steps:
    """Give each call a trace, by which it is found everywhere."""
    numbers = count(first)
    return [[made | {"traceparent": _traceparent(next(numbers))} for made in step] for step in steps]


def _traceparent(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


def call(tool: str, arguments: dict[str, Any], **how: Any) -> Call:  # noqa: ANN401
    """Return a call."""
    return {"tool": tool, "arguments": arguments} | how


def at_once(*calls: Call) -> list[Call]:
    """Return a step of these calls, each made several times at once."""
    return [one for one in calls for _ in range(PARALLEL)]


def everything(packages: Packages) -> Server:
    package = "@modelcontextprotocol/server-everything"
    tool = "trigger-long-running-operation"

    def one_round(number: int) -> Steps:
        return [
            [call("echo", {"message": f"{number} {TEXT}"})],
            [call("get-sum", {"a": number, "b": 2.5})],
            [call("get-tiny-image", {})],
            [call("get-annotated-message", {"messageType": "error", "includeImage": True})],
            [call("get-structured-content", {"location": "Chicago"})],
            [call("get-resource-links", {"count": 3}), call("get-env", {})],
            [call("get-sum", {"a": "one", "b": 2})],
            [call(tool, {"duration": 0.05, "steps": 5}, progress=True)],
            at_once(
                call("echo", {"message": "x" * 20_000}),
                call(tool, {"duration": 0.02, "steps": 2}, progress=True),
            ),
        ]

    return Server(
        package,
        packages.node(package),
        one_round,
        [[call("echo", {"message": "x" * 1_000_000})]],
        call(tool, {"duration": SLOW_S, "steps": 100}, progress=True),
        call("tell-fortune", {}),
    )


def filesystem(packages: Packages, folder: Path) -> Server:
    package = "@modelcontextprotocol/server-filesystem"
    folder.mkdir()
    (folder / "small.txt").write_text(TEXT)
    (folder / "large.txt").write_text(TEXT * 4_000)
    (folder / "huge.txt").write_text("x" * (UNREAD // 2))
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 4)
    (folder / "dot.png").write_bytes(_PNG)
    (folder / "photo.png").write_bytes(_PNG + bytes(500_000))
    pipe = folder / "slow.txt"
    os.mkfifo(pipe)
    threading.Thread(target=_write_slowly, args=(pipe,), daemon=True).start()

    def path(name: str) -> dict[str, Any]:
        return {"path": str(folder / name)}

    def one_round(number: int) -> Steps:
        return [
            [call("write_file", path("new.txt") | {"content": f"{number}\n{TEXT}"})],
            [call("read_text_file", path("new.txt"))],
            [call("read_text_file", path("binary.txt"))],
            [call("read_media_file", path("dot.png"))],
            [call("list_directory", path(""))],
            [call("read_text_file", path("missing.txt"))],
            [call("read_text_file", {"path": "/etc/hostname"})],
            [call("read_text_file", {"path": 7})],
            [call("edit_file", path("new.txt") | {"edits": [{"oldText": "absent", "newText": "there"}]})],
            at_once(call("read_text_file", path("large.txt")), call("read_text_file", path("gone.txt"))),
        ]

    return Server(
        package,
        packages.node(package, str(folder)),
        one_round,
        [[call("read_media_file", path("photo.png"))], [call("read_text_file", path("huge.txt"))]],
        call("read_text_file", path(pipe.name)),
        call("format_disk", {}),
    )


def _write_slowly(pipe: Path) -> None:
    while True:
        # Opening waits for a reader. Write nothing: of several readers only one would get it.
        with pipe.open("w"):
            time.sleep(SLOW_S)
        # The reader must find the end of the pipe before it is opened again.
        time.sleep(0.1)


def git(packages: Packages, folder: Path) -> Server:
    def repository(name: str) -> Path:
        path = folder / name
        run = ["git", "-C", str(path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
        for command in (
            ["git", "init", "-q", "-b", "main", str(path)],
            [*run, "commit", "-q", "--allow-empty", "-m", TEXT],
        ):
            subprocess.run(command, check=True)  # noqa: S603
        (path / "readme").write_text(TEXT)
        subprocess.run([*run, "add", "readme"], check=True)  # noqa: S603
        subprocess.run([*run, "commit", "-q", "-m", "say hello"], check=True)  # noqa: S603
        (path / "readme").write_text(TEXT * 5_000)
        return path

    fast, slow = ({"repo_path": str(repository(name))} for name in ("fast", "slow"))
    waiting = folder / "wait.sh"
    waiting.write_text(f"#!/bin/sh\nsleep {SLOW_S}\n")
    waiting.chmod(0o755)
    configure = ["git", "-C", slow["repo_path"], "config", "diff.external", str(waiting)]
    subprocess.run(configure, check=True)  # noqa: S603

    def one_round(number: int) -> Steps:
        return [
            [call("git_status", fast)],
            [call("git_log", fast | {"max_count": 1 + number % 2})],
            [call("git_show", fast | {"revision": "HEAD"})],
            [call("git_show", fast | {"revision": f"no-such-{number}"})],
            [call("git_status", {"repo_path": "/"})],
            [call("git_log", fast | {"max_count": "many"})],
            [call("git_diff", {})],
            [call("git_diff_unstaged", fast)],
            at_once(
                call("git_branch", fast | {"branch_type": "local"}),
                call("git_diff", fast | {"target": "gone"}),
            ),
        ]

    return Server(
        "mcp-server-git",
        [packages.python, "-m", "mcp_server_git"],
        one_round,
        [],
        call("git_diff_unstaged", slow),
        call("git_push", {}),
    )


class _Pages(BaseHTTPRequestHandler):
    """The only pages that are fetched."""

    def do_GET(self) -> None:
        found = {
            "/robots.txt": ("text/plain", "User-agent: *\nDisallow: /private\n"),
            "/page": ("text/html", f"<html><body><h1>Hello</h1><p>{TEXT * 20}</p></body></html>"),
            "/plain": ("text/plain; charset=utf-8", TEXT * 20_000),
            "/slow": ("text/plain", "at last"),
        }.get(self.path)
        if self.path == "/slow":
            time.sleep(SLOW_S)
        kind, body = found or ("text/plain", "not here")
        data = body.encode()
        try:
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # it was given up

    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        """Say nothing."""


def fetch(packages: Packages) -> Server:
    pages = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    pages.daemon_threads = True
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{pages.server_port}"

    def get(path: str, **arguments: Any) -> Call:  # noqa: ANN401
        return call("fetch", {"url": site + path} | arguments)

    def one_round(number: int) -> Steps:
        return [
            [get("/page")],
            [get("/plain", max_length=100, start_index=number)],
            [get("/plain", max_length=900_000, raw=True)],
            [get("/missing")],
            [get("/private")],
            [get("/plain", max_length=0)],
            [call("fetch", {})],
            at_once(get("/plain", max_length=20_000), get("/missing")),
        ]

    # Without a PATH it finds no npm, by which it would install what makes HTML readable.
    command = ["/usr/bin/env", "PATH=", packages.python, "-m", "mcp_server_fetch", "--allow-private-ips"]
    return Server("mcp-server-fetch", command, one_round, [], get("/slow"), call("browse", {}))


def servers(packages: Packages, folder: Path) -> Iterator[Server]:
    """Yield the servers whose packages are here."""
    makers: dict[str, Callable[[], Server]] = {
        "@modelcontextprotocol/server-everything": lambda: everything(packages),
        "@modelcontextprotocol/server-filesystem": lambda: filesystem(packages, folder / "files"),
        "mcp-server-git": lambda: git(packages, folder),
        "mcp-server-fetch": lambda: fetch(packages),
    }
    for package, make in makers.items():
        if package not in packages.missing:
            yield make()
