"""Every page, in both themes and both widths: nothing that keeps anybody from using it, and no error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest

from bcp_analytics.serve._dashboard import PAGES
from tests.dashboard.conftest import HOSTILE, Site, Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.any_target("what a browser shows is the same on all")]
QUERIES = {
    "/calls": "?failed=true",
    "/tool": f"?bundle=files&tool={quote(HOSTILE)}&range=7d",
    "/session": "?id=s-1",
    "/errors": "?range=7d",
}


@pytest.fixture(scope="module")
def pages(browser: Any, site: Site) -> Iterator[Watched]:
    watched = Watched(browser, site)
    watched.log_in()
    yield watched
    watched.context.close()


def serious(page: Any) -> list[str]:
    """Return what axe-core finds that is serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    options = {"resultTypes": ["violations"]}
    found = axe.Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_use_the_page(pages: Watched, path: str) -> None:
    page = pages.page
    query = QUERIES.get(path, "")
    if path == "/issue":
        with psycopg.connect(pages.site.direct) as conn:
            [fingerprint] = conn.execute("select fingerprint from bcp.error_issues").fetchone() or [""]
        query = f"?id={fingerprint}&range=7d"
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(path + query)
    page.locator("main h1").wait_for()
    page.wait_for_load_state("networkidle")
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            assert serious(page) == [], (width, theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".failed").count() == 0
    assert pages.said == []
    assert pages.outside() == []


def test_everybody_can_log_in(browser: Any, site: Site) -> None:
    watched = Watched(browser, site)
    watched.page.goto("/")
    watched.page.locator("#token").wait_for()
    for theme in ("light", "dark"):
        watched.page.emulate_media(color_scheme=theme)
        assert serious(watched.page) == []
    watched.context.close()
    assert watched.said == []
