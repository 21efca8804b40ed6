"""An empty store: each page says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bcp_analytics.serve._dashboard import PAGES
from tests.dashboard.conftest import Site, Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.any_target("what a browser shows is the same on all")]


@pytest.fixture(scope="module")
def empty(browser: Any, bare: Site) -> Iterator[Watched]:
    watched = Watched(browser, bare)
    watched.log_in()
    yield watched
    watched.context.close()


def test_the_overview_leads_to_the_setup(empty: Watched) -> None:
    empty.page.goto("/")
    empty.page.locator("h2", has_text="There is no call yet").wait_for()
    empty.page.click("text=Set up the first sender")
    empty.page.locator("text=Waiting for the first call").wait_for()


# A log-in is no call, and listed as none; who logs in is on the page of people.
@pytest.mark.parametrize("path", sorted({*PAGES} - {"/", "/setup"}))
def test_each_page_says_that_there_is_nothing(empty: Watched, path: str) -> None:
    empty.page.goto(path)
    empty.page.locator("main .empty, main .hint").first.wait_for()
    assert empty.page.locator(".failed").count() == 0
    assert empty.said == []


def test_the_first_call_reads_as_one(empty: Watched) -> None:
    call = {"bcp_name": "mail", "tool_name": "send", "success": True}
    assert empty.site.send("POST", "/v1/events/tool_usage", role="ingest", json=[call]).status_code == 200
    empty.page.goto("/")
    empty.page.locator("[data-total]").wait_for()
    assert empty.page.locator("[data-total]").inner_text() == "1"
    tools = empty.page.locator("section[aria-label='Most called'] tbody tr")
    tools.first.wait_for()
    assert tools.count() == 1
