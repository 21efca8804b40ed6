"""A server with calls in its store, and a browser: one of each for all tests of a module.

The browser is Debian's Chromium, driven by Playwright; where either is missing, these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.dashboard.relay import Relay
from tests.serve.conftest import ROLES, Running, make_token, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.targets import Target

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
LONG = "a_tool_with_a_name_that_never_ends_" * 115
_FAILURE = {
    "success": False,
    "outcome": "error",
    "error_type": "ConnectionError",
    "error_message": f"connection refused {HOSTILE}",
}


@dataclass
class Site(Running):
    """A server that a browser looks at; `relay` is between it and its database."""

    relay: Relay | None = None
    direct: str = ""
    """Where the database is without the relay."""
    sessions: list[str] = field(default_factory=list)


def _calls(now: datetime) -> list[dict[str, Any]]:
    tools = [
        ("mail", "send"),
        ("mail", "search"),
        ("files", "read_file"),
        ("files", HOSTILE),
        ("files", LONG),
    ]
    found = []
    for n in range(240):
        bundle, tool = tools[n % len(tools)]
        found.append(
            {
                "bcp_name": bundle,
                "tool_name": tool[:4000],
                "start_time": (now - timedelta(minutes=5 + 10 * n)).isoformat(),
                "duration_ms": 20 + 37 * (n % 23),
                "success": True,
                "user_id": f"u{n % 7}",
                "session_id": f"s-{n // 8}",
                "client_name": ("ide-plugin", "desktop-chat")[n % 2],
                "client_model": "large",
                "release": "1.1" if n < 60 else "1.0",
                "parameters": {"q": HOSTILE, "page": n % 3},
                "response_data": {"text": "found"},
                "intent": f"Read page {n % 3} of the invoices" if n % 6 else "Tidy up",
                "request_bytes": 40,
                "response_bytes": 400 + n,
            }
            | (_FAILURE if n % 20 == 1 else {})
        )
    return found


def fill(dsn: str) -> None:
    """Put calls of the last 40 hours into a store, with errors, a list of tools and an open alert."""
    now = datetime.now(UTC)
    calls = _calls(now)
    errors = [
        {
            "level": "error",
            "message": call["error_message"],
            "error_type": call["error_type"],
            "timestamp": call["start_time"],
            "stack_trace": f"Traceback\n  File 'mail.py', line 3, in send\n{HOSTILE}",
            **{name: call[name] for name in ("bcp_name", "tool_name", "session_id", "user_id", "release")},
        }
        for call in calls
        if not call["success"]
    ]
    log_ins = [
        {
            "bcp_name": "accounts",
            "tool_name": "password",
            "operation": "login",
            "start_time": (now - timedelta(hours=3 * n)).isoformat(),
            "success": n > 1,
            "user_id": f"u{n}",
        }
        for n in range(1, 4)
    ]
    wishes = [
        {
            "bcp_name": "mail",
            "tool_name": "get_more_tools",
            "start_time": now.isoformat(),
            "success": True,
            "intent": intent,
        }
        for intent in ("Send a fax", None)
    ]
    listed = {
        "bcp_name": "mail",
        "tool_name": "tools/list",
        "operation": "tools/list",
        "start_time": now.isoformat(),
        "success": True,
        "response_data": {"tools": [{"name": "send", "description": "x"}, {"name": "never_called"}]},
    }
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "select bcp.ingest_tool_usage(gen_random_uuid(), %s)",
            [json.dumps([*calls, *log_ins, *wishes, listed])],
        )
        conn.execute("select bcp.ingest_errors(gen_random_uuid(), %s)", [json.dumps(errors)])
        conn.execute(
            "insert into bcp.alerts (rule_name, bcp_name, metric, severity, threshold, value, worst_value, "
            "calls, pending_since, opened_at, evaluated_at) "
            "values ('errors', 'mail', 'error_rate', 'warning', 0.05, 0.2, 0.3, 50, now(), now(), now())"
        )


@contextmanager
def site_on(dsn: str) -> Iterator[Site]:
    tokens = {role: make_token(dsn, role, role) for role in ROLES}
    with Relay(dsn) as relay, serving(relay.dsn) as running:
        yield Site(running.dsn, running.url, running.app, tokens, relay, dsn)


@pytest.fixture(scope="module")
def bare(_server: Target) -> Iterator[Site]:
    """Give a server on an empty store."""
    with _server.clean() as dsn, site_on(dsn) as found:
        yield found


@pytest.fixture(scope="module")
def site(_server: Target) -> Iterator[Site]:
    """Give a server on a store with calls."""
    with _server.clean() as dsn:
        fill(dsn)
        with site_on(dsn) as found:
            yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give a browser, of a module alone: while one runs, its thread can run no event loop of its own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Root has no user namespace to put its pages into.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Watched:
    """A page, and what it should not have done."""

    def __init__(self, browser: Any, site: Site, **options: Any) -> None:
        self.site = site
        self.context = browser.new_context(
            viewport={"width": 1280, "height": 900}, base_url=site.url, **options
        )
        self.context.set_default_timeout(15_000)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.requests: list[Any] = []
        self.page.on(
            "console", lambda m: self.said.append(m.text) if m.type in {"error", "warning"} else None
        )
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:
        self.requests.append(request)

    def log_in(self, role: str = "admin") -> None:
        """Log in as the page does, without the form."""
        for _ in range(20):
            answer = self.context.request.post("/v1/session", data={"token": self.site.tokens[role]})
            if answer.status != 503:
                break
            # A test before this one had the database away.
            self.page.wait_for_timeout(1000 * int(answer.headers["retry-after"]))
        assert answer.status == 200

    def outside(self) -> list[str]:
        """Return the addresses of requests that went elsewhere."""
        host = self.site.url.partition("//")[2]
        return [r.url for r in self.requests if not r.url.startswith("data:") and host not in r.url]


@pytest.fixture
def look(browser: Any, site: Site) -> Iterator[Watched]:
    """Give a page, logged in as an administrator, which must go without an error and ask nobody else."""
    watched = Watched(browser, site)
    watched.log_in()
    yield watched
    watched.context.close()
    assert watched.said == []
    assert watched.outside() == []
