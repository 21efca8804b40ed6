"""Numbers: what draws them shows each, and each leads to the calls that it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.dashboard.conftest import Watched

pytestmark = [pytest.mark.slow, pytest.mark.any_target("what a browser shows is the same on all")]
# How many pixels of a chart have the colour of its 99th percentile.
_DRAWN = """canvas => {
    const probe = document.createElement('i')
    probe.style.color = 'var(--p99)'
    document.body.append(probe)
    const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g).map(Number)
    probe.remove()
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    let found = 0
    for (let at = 0; at < data.length; at += 4) {
        if (data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] === 255) found++
    }
    return found
}"""


def test_each_tile_has_its_line_and_calls_apart_are_points(look: Watched) -> None:
    page = look.page
    # A bucket is a minute, and there is one call in ten.
    page.goto("/?range=1h")
    page.locator(".tile .spark path").nth(3).wait_for(state="attached")
    plot = page.locator("section[aria-label=Latency] canvas")
    plot.wait_for()
    page.wait_for_load_state("networkidle")
    assert plot.evaluate(_DRAWN) > 20


@pytest.mark.parametrize(
    ("path", "panel"),
    [
        ("/tool?bundle=mail&tool=search&range=7d", "Causes of failures"),
        ("/tool?bundle=mail&tool=search&range=7d", "By release"),
        ("/tool?bundle=mail&tool=search&range=7d", "By client"),
        ("/tool?bundle=mail&tool=search&range=7d", "By model"),
        ("/tool?bundle=mail&tool=search&range=7d", "Who calls it"),
        ("/people?range=7d", "People"),
        ("/people?range=7d", "Clients"),
        ("/people?range=7d", "Models"),
        ("/context?range=7d", "By session"),
        ("/sessions?range=7d", "Sessions"),
        ("/tools?range=7d", "Called and never listed"),
    ],
)
def test_a_number_leads_to_as_many_calls(look: Watched, path: str, panel: str) -> None:
    page = look.page
    page.goto(path)
    number = page.locator(f"section[aria-label='{panel}'] td[data-heading=calls] a").last
    counted = int(number.inner_text())
    number.click()
    page.locator("main h1", has_text="Calls").wait_for()
    rows = page.locator("section[aria-label=Calls] tbody tr")
    rows.first.wait_for()
    page.wait_for_load_state("networkidle")
    # A page has 50 of them.
    assert rows.count() == min(counted, 50)
