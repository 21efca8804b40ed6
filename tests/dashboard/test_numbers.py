"""Numbers: what draws them shows each, and each leads to the calls that it counts."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest

from tests.dashboard.conftest import HOSTILE

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

# How much of what was seen has moved since the page was opened, as browsers count it.
_MOVED = """new Promise((done) => {
    let sum = 0
    const seen = new PerformanceObserver((list) => { for (const one of list.getEntries()) sum += one.value })
    seen.observe({ type: 'layout-shift', buffered: true })
    setTimeout(() => done(sum), 500)
})"""


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
        ("/tools?range=7d", "Why agents call"),
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


@pytest.mark.parametrize(
    ("path", "panel"),
    [
        ("/tool?bundle=accounts&tool=password&range=7d", "By release"),
        ("/tool?bundle=accounts&tool=password&range=7d", "By client"),
        ("/tool?bundle=accounts&tool=password&range=7d", "By model"),
        ("/people?range=7d", "Clients"),
        ("/people?range=7d", "Models"),
    ],
)
def test_a_number_of_what_names_none_leads_to_as_many_calls(look: Watched, path: str, panel: str) -> None:
    page = look.page
    page.goto(path)
    row = page.locator(f"section[aria-label='{panel}'] tbody tr", has_text="not given")
    counted = int(row.locator("td[data-heading=calls]").inner_text())
    assert counted > 0
    row.locator("td[data-heading=calls] a").click()
    page.locator("main h1", has_text="Calls").wait_for()
    rows = page.locator("section[aria-label=Calls] tbody tr")
    rows.first.wait_for()
    page.wait_for_load_state("networkidle")
    assert rows.count() == counted
    # It says so, and it can be taken away.
    [name] = [one for one in ("client", "release", "model") if one in panel.lower()]
    if name == "model":
        page.get_by_label("Any model", exact=True).click()
    else:
        chosen = page.get_by_label(name, exact=True)
        assert chosen.locator("option:checked").inner_text() == f"No {name} given"
        chosen.select_option(f"Any {name}")
    assert f"{name}=" not in page.url


def test_a_number_of_tokens_leads_to_the_lists_that_took_them(look: Watched) -> None:
    page = look.page
    page.goto("/context?range=7d")
    row = page.locator("section[aria-label='By tool'] tbody tr", has_text="the list of tools")
    counted = int(row.locator("td[data-heading=calls]").inner_text())
    row.locator("td[data-heading=tokens] a").click()
    page.locator(".chip", has_text="operation").wait_for()
    rows = page.locator("section[aria-label=Calls] tbody tr")
    rows.first.wait_for()
    page.wait_for_load_state("networkidle")
    assert rows.count() == counted == 1


@pytest.mark.parametrize("named", ["not given", "ide-plugin"])
@pytest.mark.parametrize("heading", ["sessions", "of one call", "failed"])
def test_a_number_of_sessions_leads_to_as_many(look: Watched, heading: str, named: str) -> None:
    page = look.page
    page.goto("/sessions?range=7d")
    row = page.locator("section[aria-label='By client'] tbody tr", has_text=named)
    number = row.locator(f"td[data-heading='{heading}']")
    counted = int(number.inner_text())
    if counted == 0:
        assert number.locator("a").count() == 0
        return
    number.locator("a").click()
    listed = page.locator("section[aria-label=Sessions]")
    listed.locator("h2 small", has_text="began").wait_for()
    # Until then it shows the rows of before.
    page.locator("section[aria-label=Sessions][aria-busy=false]").wait_for()
    found = [
        int(text)
        for text in listed.locator(
            f"td[data-heading={'failed' if heading == 'failed' else 'calls'}]"
        ).all_inner_texts()
    ]
    assert (sum(found) if heading == "failed" else len(found)) == counted
    if heading == "of one call":
        assert set(found) == {1}
    # And of a session to its calls.
    listed.locator(
        "td[data-heading=failed] a" if heading == "failed" else "td[data-heading=calls] a"
    ).first.click()
    rows = page.locator("section[aria-label=Calls] tbody tr")
    rows.first.wait_for()
    page.wait_for_load_state("networkidle")
    assert rows.count() == found[0]


def test_an_occurrence_leads_to_the_calls_that_it_may_be_of(look: Watched) -> None:
    page = look.page
    with psycopg.connect(look.site.direct) as conn:
        [fingerprint] = conn.execute("select fingerprint from bcp.error_issues").fetchone() or [""]
        [ever] = conn.execute("select events from bcp.error_issues").fetchone() or [0]
    page.goto(f"/issue?id={fingerprint}&range=1h")
    page.locator("a", has_text=f"{ever} errors ever").click()
    occurrences = page.locator("section[aria-label=Occurrences]")
    occurrences.locator("tbody tr").nth(ever - 1).wait_for()
    assert occurrences.locator("tbody tr").count() == ever
    occurrences.locator("td[data-heading=calls] a").first.click()
    rows = page.locator("section[aria-label=Calls] tbody tr")
    rows.first.wait_for()
    assert rows.count() == 1
    assert "ConnectionError" in rows.first.inner_text()


@pytest.mark.parametrize("panel", ["What comes before", "What comes after"])
def test_a_number_of_pairs_leads_to_as_many_calls(look: Watched, panel: str) -> None:
    page = look.page
    page.goto("/tool?bundle=mail&tool=search&range=7d")
    numbers = page.locator(f"section[aria-label='{panel}'] td[data-heading=times] a")
    numbers.first.wait_for()
    for at in range(numbers.count()):
        counted = int(numbers.nth(at).inner_text())
        numbers.nth(at).click()
        page.locator(".chip", has_text="then").wait_for()
        rows = page.locator("section[aria-label=Calls] tbody tr")
        rows.first.wait_for()
        page.wait_for_load_state("networkidle")
        assert rows.count() == counted
        page.go_back()
        numbers.first.wait_for()
        page.wait_for_load_state("networkidle")


def test_a_number_of_wishes_leads_to_them(look: Watched) -> None:
    page = look.page
    for said in ("Send a fax", "not said"):
        page.goto("/tools?range=7d")
        wishes = page.locator("section[aria-label='Tools that agents miss'] tr", has_text=said)
        wishes.locator("td[data-heading=times] a").click()
        page.locator("main h1", has_text="Calls").wait_for()
        rows = page.locator("section[aria-label=Calls] tbody tr")
        rows.first.wait_for()
        page.wait_for_load_state("networkidle")
        assert rows.count() == 1
        assert page.locator(".chip", has_text="intent").inner_text().startswith(f"intent {said}")


@pytest.mark.parametrize("kind", ["tool", "client", "release"])
def test_a_number_of_an_issues_spread_leads_to_as_many_errors(look: Watched, kind: str) -> None:
    page = look.page
    with psycopg.connect(look.site.direct) as conn:
        [fingerprint] = conn.execute("select fingerprint from bcp.error_issues").fetchone() or [""]
    page.goto(f"/issue?id={fingerprint}&range=7d")
    number = page.locator(f"section[aria-label='By {kind}'] td[data-heading=errors] a").last
    counted = int(number.inner_text())
    number.click()
    occurrences = page.locator("section[aria-label=Occurrences]")
    occurrences.locator("h2 small", has_text=f"of the {kind}").wait_for()
    page.wait_for_load_state("networkidle")
    assert occurrences.locator("tbody tr").count() == counted
    occurrences.locator("h2 a", has_text="all").click()
    occurrences.locator("h2 small", has_text="latest first").wait_for()


def test_a_number_of_log_ins_leads_to_each_of_them(look: Watched) -> None:
    page = look.page
    for method, failed in (("accounts.password", 1), ("bcp_analytics.api_token", 0)):
        page.goto("/people?range=7d")
        row = page.locator("section[aria-label=Log-ins] tbody tr", has_text=method)
        counted = int(row.locator("td[data-heading=attempts]").inner_text())
        assert row.locator("td[data-heading=failed]").inner_text() == str(failed)
        row.locator("td[data-heading=attempts] a").click()
        listed = page.locator("section[aria-label='Log-ins, one by one']")
        listed.locator("tbody tr").first.wait_for()
        attempts = [int(n) for n in listed.locator("td[data-heading=attempts]").all_inner_texts()]
        assert sum(attempts) == counted
    # A log-in of an application is a call, which opens; one to this server is none.
    assert listed.locator("td[data-heading=when] a").count() == 0
    page.goto("/people?range=7d&by=accounts&method=password&failed=true")
    listed.locator("td[data-heading=when] a").click()
    page.locator("dialog", has_text="password").wait_for()


def test_a_number_of_users_leads_to_each_of_them(look: Watched) -> None:
    page = look.page
    page.goto("/sessions?range=7d")
    row = page.locator("section[aria-label='By client'] tbody tr", has_text="ide-plugin")
    counted = int(row.locator("td[data-heading=users]").inner_text())
    assert counted > 1
    row.locator("td[data-heading=users] a").click()
    users = page.locator("section[aria-label=Users]")
    users.locator("tbody tr").first.wait_for()
    assert users.locator("tbody tr").count() == counted
    # And of a user to the sessions.
    number = users.locator("td[data-heading=sessions] a").first
    counted = int(number.inner_text())
    number.click()
    listed = page.locator("section[aria-label=Sessions]")
    listed.locator("tbody tr").first.wait_for()
    page.locator("section[aria-label=Sessions][aria-busy=false]").wait_for()
    assert listed.locator("tbody tr").count() == counted
    assert len(set(listed.locator("td[data-heading=user]").all_inner_texts())) == 1


def test_a_number_of_people_who_logged_in_leads_to_each_of_them(look: Watched) -> None:
    page = look.page
    page.goto("/people?range=7d")
    row = page.locator("section[aria-label=Log-ins] tbody tr", has_text="accounts.password")
    assert row.locator("td[data-heading=people]").inner_text() == "2"
    row.locator("td[data-heading=people] a").click()
    people = page.locator("section[aria-label='People who got in']")
    people.locator("tbody tr").first.wait_for()
    assert people.locator("tbody tr").count() == 2
    people.locator("td[data-heading=attempts] a").first.click()
    listed = page.locator("section[aria-label='Log-ins, one by one']")
    listed.locator("tbody tr").first.wait_for()
    page.locator("section[aria-label='Log-ins, one by one'][aria-busy=false]").wait_for()
    assert listed.locator("tbody tr").count() == 1


@pytest.mark.parametrize("path", ["/tools?range=7d", "/context?range=7d"])
def test_a_number_of_lists_leads_to_those_that_name_the_tool(look: Watched, path: str) -> None:
    page = look.page
    page.goto(path)
    row = page.locator("section[aria-label='Listed and never called'] tbody tr", has_text="never_called")
    counted = int(row.locator("td[data-heading=lists]").inner_text())
    row.locator("td[data-heading=lists] a").click()
    page.locator("h2 small", has_text="lists of tools that name this one").wait_for()
    rows = page.locator("section[aria-label=Calls] tbody tr")
    rows.first.wait_for()
    assert rows.count() == counted == 1
    rows.locator("td[data-heading=began] a").click()
    page.locator("dialog pre", has_text="never_called").wait_for()


@pytest.mark.parametrize("metric", ["error_rate", "avg_duration_ms", "throughput"])
def test_a_number_of_a_preview_leads_to_the_calls_that_it_was_computed_from(
    look: Watched, metric: str
) -> None:
    page = look.page
    page.goto("/alerts")
    page.locator("button", has_text="New rule").click()
    form = page.locator("dialog form")
    form.locator("label", has_text="Figure").locator("select").select_option(metric)
    given = {
        "Limit": "0.01",
        "Is well again at": "0.01",
        "Looks back": "5 hours",
        "From how many calls": "2",
        "Only of bundle": "mail",
    }
    for label, text in given.items():
        form.locator("label", has_text=label).locator("input").fill(text)
    about = form.locator("tr", has_text="mail.search").first
    about.wait_for()
    form.locator("[aria-busy=false]").wait_for()
    counted = int(about.locator("td[data-heading=calls]").inner_text())
    assert counted > 4
    with page.expect_popup() as opened:
        about.locator("td[data-heading=calls] a").click()
    # What was typed is still there.
    assert form.locator("label", has_text="Looks back").locator("input").input_value() == "5 hours"
    calls = opened.value
    calls.locator("h2 small", has_text="that the rule counts").wait_for()
    rows = calls.locator("section[aria-label=Calls] tbody tr")
    rows.first.wait_for()
    assert rows.count() == counted
    assert "mail.search" in rows.first.inner_text().replace("\n", "")
    calls.close()


def test_a_tools_trend_is_drawn_for_each_release_and_client(look: Watched) -> None:
    page = look.page
    page.goto("/tool?bundle=mail&tool=search&range=7d")
    for kind, names in (("release", ["1.0", "1.1"]), ("client", ["desktop-chat", "ide-plugin"])):
        trend = page.locator(f"section[aria-label='Trend by {kind}']")
        trend.locator("canvas").wait_for()
        assert sorted(trend.locator(".legend span").all_inner_texts()) == names
        trend.locator("select").select_option("calls")
        trend.locator("summary").click()
        # As many as the calls of the tool: the trend counts each call once.
        trend.locator("td").first.wait_for()
        counted = sum(int(text) for text in trend.locator("td").all_inner_texts() if text.isdigit())
        assert counted == 48, kind
    assert "trend=calls" in page.url


_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def test_the_keys_read_a_heat_map_and_open_its_calls(look: Watched) -> None:
    page = look.page
    page.goto(f"/tool?bundle=files&tool={quote(HOSTILE)}&range=7d")
    # The columns are of another question than the cells; with both there, the range is said.
    page.locator(".heat .cursor", has_text=" to ").wait_for()
    page.locator(".heatbox [role=group]").focus()
    # Up the last column and down the one before: the hour may be over since the calls were made.
    for key in ("End", *["ArrowUp"] * 20, "ArrowLeft", *["ArrowDown"] * 20):
        page.keyboard.press(key)
        page.evaluate(_DRAWN)
        said = page.locator(".heat .cursor").inner_text()
        if not said.endswith(": 0 calls"):
            break
    assert "calls" in said
    assert not said.endswith(": 0 calls")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Calls").wait_for()


def test_what_no_question_answers_is_csv_too(look: Watched, tmp_path: Path) -> None:
    page = look.page
    page.goto("/setup")
    panel = page.locator("section[aria-label=Tokens]")
    panel.locator("td").first.wait_for()
    with page.expect_download() as found:
        panel.locator("button", has_text="CSV").click()
    found.value.save_as(tmp_path / "tokens.csv")
    with (tmp_path / "tokens.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["token_name"] for row in rows} >= {"admin", "reader", "ingest"}
    assert found.value.suggested_filename == "tokens.csv"


def test_what_is_seen_of_the_overview_stays_where_it_is(look: Watched) -> None:
    page = look.page
    page.goto("/")
    # It comes above all else, and there is one.
    page.locator(".alarm").first.wait_for()
    page.locator("section[aria-label=Clients] td").first.wait_for()
    page.wait_for_load_state("networkidle")
    moved = page.evaluate(_MOVED)
    # What browsers call good.
    assert moved < 0.1
