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


# The log-in is a call, and listed as one.
@pytest.mark.parametrize("path", sorted({*PAGES} - {"/", "/setup", "/live", "/calls"}))
def test_each_page_says_that_there_is_nothing(empty: Watched, path: str) -> None:
    empty.page.goto(path)
    empty.page.locator("main .empty, main .hint").first.wait_for()
    assert empty.page.locator(".failed").count() == 0
    assert empty.said == []
