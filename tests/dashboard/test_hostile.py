"""Names and messages that would reorder, hide, widen or become the page: shown as text, on each page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest

from bcp_analytics.serve._dashboard import PAGES
from tests.dashboard.conftest import HOSTILE, Site, Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.any_target("what a browser shows is the same on all")]
# The title of a terminal, text from right to left in which more stands than one reads, and no place to break.
ODD = f"\x1b]0;owned\x07{HOSTILE}\u202egnp.exe\u202c\u2066\u05e9\u05dc\u05d5\u05dd\u2069"
WIDE = "W" * 900
# What a reader could see or hear of the page: its text, and what stands in attributes.
_SEEN = """[document.body.textContent, ...[...document.querySelectorAll('[title], [aria-label]')]
    .flatMap((one) => [one.title, one.getAttribute('aria-label')])].join(' ')"""


def _everywhere(text: str) -> dict[str, Any]:
    return {
        "bcp_name": text,
        "tool_name": f"{text} tool",
        "user_id": text[:200],
        "session_id": text[:200],
        "client_name": text[:200],
        "client_version": text[:100],
        "client_model": text[:200],
        "release": text[:100],
        "error_type": text[:200],
        "intent": text,
        "parameters": {text[:100]: text},
        "response_data": {"text": text},
    }


@pytest.fixture(scope="module")
def odd(browser: Any, site: Site) -> Iterator[tuple[Watched, str]]:
    now = datetime.now(UTC).isoformat()
    with psycopg.connect(site.direct, autocommit=True) as conn:
        for text in (ODD, WIDE):
            call = _everywhere(text) | {"start_time": now, "success": False, "error_message": text}
            conn.execute("select bcp.ingest_tool_usage(gen_random_uuid(), %s)", [json.dumps([call])])
            names = ("bcp_name", "tool_name", "user_id", "session_id", "release", "error_type")
            error = {name: call[name] for name in names} | {
                "timestamp": now,
                "level": "error",
                "message": text,
            }
            conn.execute("select bcp.ingest_errors(gen_random_uuid(), %s)", [json.dumps([error])])
        found = conn.execute("select fingerprint from bcp.error_issues where bcp_name = %s", [ODD]).fetchall()
    watched = Watched(browser, site)
    watched.log_in()
    watched.page.set_viewport_size({"width": 360, "height": 900})
    yield watched, str(found[0][0])
    watched.context.close()


@pytest.mark.parametrize("text", [ODD, WIDE], ids=["odd", "wide"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_it_as_text(odd: tuple[Watched, str], path: str, text: str) -> None:
    watched, fingerprint = odd
    query = {
        "/tool": f"?bundle={quote(text)}&tool={quote(f'{text} tool')}",
        "/session": f"?id={quote(text[:200])}",
        "/issue": f"?id={fingerprint}",
    }.get(path, f"?bundle={quote(text)}")
    page = watched.page
    page.goto(path + query)
    page.locator("main h1").first.wait_for()
    page.wait_for_load_state("networkidle")
    seen = page.evaluate(_SEEN)
    assert [c for c in seen if c in "\x1b\x07\u202e\u202c\u2066\u2069"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("main img").count() == 0
    assert "owned" not in page.title()
    assert page.locator(".failed").count() == 0
    assert watched.said == []
    assert watched.outside() == []
