"""A store with very many tools: their page answers, sorts, searches and goes on by the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.dashboard.conftest import Site, Watched, site_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.targets import Target

pytestmark = [pytest.mark.slow, pytest.mark.any_target("what a browser shows is the same on all")]
# With 100,000 it takes ten times as long, and does the same: docs/design/measurements.md has the figure.
TOOLS = 10_000


@pytest.fixture(scope="module")
def crowd(_server: Target) -> Iterator[Site]:
    """Give a server on a store with one call of each of many tools; the later ones took longer."""
    with _server.clean() as dsn:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(
                """
                insert into bcp.tool_usage_logs (
                    start_time, end_time, created_at, event_id, bcp_name, tool_name, operation, success,
                    outcome)
                select
                    t.at, t.at + n * interval '1 ms', t.at, gen_random_uuid(), 'bundle_' || n %% 100,
                    'tool_' || to_char(n, 'FM00000'), 'tools/call', true, 'success'
                from generate_series(1, %s) as n
                cross join lateral (
                    select now() - interval '1 hour' - (n %% 1000) * interval '1 minute') as t (at)
                """,
                [TOOLS],
            )
        with site_on(dsn) as found:
            yield found


def test_the_page_of_tools_is_of_use_with_very_many(browser: Any, crowd: Site) -> None:
    watched = Watched(browser, crowd)
    watched.log_in()
    page = watched.page
    page.set_default_timeout(30_000)
    page.goto("/tools")
    panel = page.locator("section[aria-label=Tools]")
    rows = panel.locator("tbody tr")
    panel.locator(".pages", has_text=f"1 to 50 of {TOOLS:,} rows").wait_for()
    assert rows.count() == 50
    panel.locator("th a", has_text="p99").click()
    rows.first.locator("a", has_text=f"tool_{TOOLS:05}").wait_for()
    panel.locator("th a", has_text="tool").first.click()
    rows.first.locator("a", has_text="bundle_99.").wait_for()
    panel.locator(".pages a[rel=next]").click()
    panel.locator(".pages", has_text="51 to 100").wait_for()
    assert rows.count() == 50
    page.keyboard.press("/")
    page.keyboard.type("tool_07777")
    rows.first.locator("a", has_text="tool_07777").wait_for()
    panel.locator(".pages").wait_for(state="detached")
    assert rows.count() == 1
    page.locator("h1").click()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="bundle_77.tool_07777").wait_for()
    assert watched.said == []
    watched.context.close()


def test_a_search_that_somebody_types_on_gives_up_the_one_before(browser: Any, crowd: Site) -> None:
    watched = Watched(browser, crowd)
    watched.log_in()
    page = watched.page
    page.goto("/tools")
    panel = page.locator("section[aria-label=Tools]")
    panel.locator(".pages").wait_for()
    page.wait_for_load_state("networkidle")
    # It is never answered.
    page.route(
        "**/v1/batch", lambda route: None if "tool_01" in route.request.post_data else route.continue_()
    )
    field = panel.locator("input[type=search]")
    with page.expect_request("**/v1/batch"):
        field.fill("tool_01")
    with page.expect_event("requestfailed") as given_up:
        field.fill("TOOL_0444")
    assert "tool_01" in given_up.value.post_data
    panel.locator("tbody tr").nth(9).wait_for()
    page.locator("section[aria-label=Tools][aria-busy=false]").wait_for()
    found = panel.locator("td[data-heading=tool]").all_inner_texts()
    assert sorted(found) == [f"bundle_{40 + n}.tool_0444{n}" for n in range(10)]
    watched.context.close()
