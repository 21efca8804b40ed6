"""Take the dashboard's pictures: `python -m tools.pictures "$DSN"` writes docs/dashboard/.

DSN is a migrated store without events, or one that this has filled before. An empty one gets the demo's
traffic, and intents, lists of tools and channels, which that lacks. Needs Debian's `chromium` and `webp`.
Look at each picture before you commit it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from rich.console import Console

from bcp_analytics import create_notification_channel, ingest_tool_usage, refresh_analytics_views, upkeep
from bcp_analytics.demo._send import send
from bcp_analytics.serve import Config, background, create_app

TARGET = Path(__file__).parents[1] / "docs" / "dashboard"
CALLS = 60_000
# Of each width the least and the greatest height.
SIZES = {1280: (900, 1500), 360: (900, 1800)}
_OLD = {"description": "Sends a mail.", "inputSchema": {"type": "object"}, "bytes": 410}
_NEW = {
    "description": "Sends a mail at once. Ask the user first.",
    "inputSchema": {"type": "object"},
    "bytes": 466,
}
_INTENTS = (
    ("Send the invoice to the customer", "mail", "send", 9),
    ("Find out why the nightly load failed", "warehouse", "run_query", 6),
    ("Look up the customer of this order", "crm", "find_customer", 14),
    ("Read the configuration before a change", "files", "read_file", 11),
)
_WISHES = (
    ("Delete a mail", "mail", 5),
    ("Undo a payment", "payments", 3),
    ("Move an appointment", "calendar", 2),
)


def _event(at: datetime, bundle: str, tool: str, **more: Any) -> dict[str, Any]:
    return {"bcp_name": bundle, "tool_name": tool, "start_time": at.isoformat(), "success": True, **more}


def _what_the_demo_lacks(now: datetime) -> list[dict[str, Any]]:
    asked = [
        _event(now - timedelta(minutes=11 * n + 7), bundle, tool, intent=intent, duration_ms=40 + 13 * n)
        for intent, bundle, tool, number in _INTENTS
        for n in range(number)
    ]
    missed = [
        _event(now - timedelta(minutes=50 * n + 5), bundle, "get_more_tools", intent=wish)
        for wish, bundle, number in _WISHES
        for n in range(number)
    ]
    defined = [
        _event(
            at, "mail", "tools/definition", operation="tools/list", defines="send", digest=str(data["bytes"]),
            response_data=data,
        )
        for at, data in ((now - timedelta(days=3), _OLD), (now - timedelta(hours=15), _NEW))
    ]  # fmt: skip
    listed = [
        _event(
            at, "mail", "tools/list", operation="tools/list", more=False, tool_count=len(names),
            response_data={"tools": [{"name": name, "bytes": 300 + 11 * len(name)} for name in names]},
        )
        for at, names in (
            (now - timedelta(days=2), ("send", "search", "archive", "list_folders")),
            (now - timedelta(hours=9), ("send", "search", "list_folders")),
        )
    ]  # fmt: skip
    return [*asked, *missed, *defined, *listed]


def fill(conn: psycopg.Connection[Any]) -> None:
    """Put in what pages show."""
    now = datetime.now(UTC)
    send(conn, Console(quiet=True), seed=1, calls=CALLS, size=1000, end=now)
    ingest_tool_usage(conn, _what_the_demo_lacks(now))
    refresh_analytics_views(conn)
    create_notification_channel(
        conn, "on-call", "webhook", config={"url": "https://example.com/hooks/alerts"}, rule_names=["errors"]
    )
    create_notification_channel(
        conn, "team", "slack", quiet_hours="22:00-07:00", secret=f"https://hooks.example.com/{'x' * 20}"
    )
    for row in conn.execute(
        "select fingerprint from bcp.error_issues() order by error_count limit 1"
    ).fetchall():
        upkeep.resolve_issue(conn, row[0], notes="Its certificate was renewed.")


def open_alerts(conn: psycopg.Connection[Any]) -> None:
    """Have a rule that finds something, whatever the hour is."""
    conn.execute(
        "update bcp.alert_rules set lookback = '1 day', threshold = 0.015, clear_threshold = 0.01,"
        " for_at_least = '0', description = 'More than 1.5 percent of a bundle''s calls fail in a day.'"
        " where rule_name = 'errors'"
    )
    conn.execute("select bcp_internal.evaluate_alerts()")


def paths(conn: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the address of each picture's page."""
    [(fingerprint,)] = conn.execute(
        "select fingerprint from bcp.error_issues() order by error_count desc limit 1"
    ).fetchall()
    [(session,)] = conn.execute(
        "select session_id from bcp.user_sessions where tool_calls_count between 8 and 14"
        " and errors_count > 0 order by last_activity desc limit 1"
    ).fetchall()
    names = ("live", "tools", "errors", "sessions", "people", "context", "alerts", "health", "setup")
    return {
        "overview": "/",
        "calls": "/calls?failed=true",
        "tool": "/tool?bundle=mail&tool=send&range=7d",
        "issue": f"/issue?id={quote(fingerprint)}&range=7d",
        "session": f"/session?id={quote(session)}",
    } | {name: f"/{name}" for name in names}


def take(browser: Any, url: str, token: str, pages: dict[str, str], folder: Path) -> None:
    """Take each picture as PNG."""

    def shot(page: Any, path: str, name: str, width: int) -> None:
        least, most = SIZES[width]
        page.set_viewport_size({"width": width, "height": least})
        page.goto(path)
        page.locator("main h1, #token").first.wait_for()
        page.wait_for_load_state("networkidle")
        # The rest of the page is drawn as it comes into view.
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": min(max(height, least), most)})
        page.wait_for_timeout(1500)
        page.screenshot(path=folder / f"{name}-{width}.png")

    for width in SIZES:
        for theme in ("light", "dark") if width == max(SIZES) else ("light",):
            context = browser.new_context(base_url=url, color_scheme=theme)
            page = context.new_page()
            if theme == "light" and width == max(SIZES):
                shot(page, "/", "log-in", width)
            context.request.post("/v1/session", data={"token": token})
            for name, path in pages.items():
                if theme == "light":
                    shot(page, path, name, width)
                elif name == "overview":
                    shot(page, path, "overview-dark", width)
            context.close()


def main() -> None:
    """Fill the store, serve it, and write the pictures."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the extra dev

    [dsn] = sys.argv[1:]
    with psycopg.connect(dsn, autocommit=True) as conn:
        if not conn.execute("select from bcp.tool_usage_logs limit 1").fetchall():
            fill(conn)
            # Until the figures of the last minute are those of no minute in which so much was stored.
            time.sleep(65)
        open_alerts(conn)
        [(token,)] = conn.execute(
            "select bcp.create_api_token('pictures ' || gen_random_uuid(), 'admin')"
        ).fetchall()
        pages = paths(conn)
    config = Config(dsn=dsn, port=0, access_log=False, notify=False)
    chromium, cwebp = shutil.which("chromium"), shutil.which("cwebp")
    assert cwebp is not None
    with (
        background(config, create_app(config)) as url,
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        take(browser, url, token, pages, Path(folder))
        browser.close()
        for picture in sorted(Path(folder).glob("*.png")):
            target = TARGET / f"{picture.stem}.webp"
            subprocess.run([cwebp, "-quiet", "-q", "85", picture, "-o", target], check=True)  # noqa: S603
            print(target.name, target.stat().st_size)  # noqa: T201


if __name__ == "__main__":
    main()
