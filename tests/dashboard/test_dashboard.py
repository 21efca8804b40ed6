"""The dashboard, as somebody uses it: log in, look, filter, open what is behind a number, act on it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest

from tests.dashboard.conftest import HOSTILE, LONG, Site, Watched

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.any_target("what a browser shows is the same on all")]
# What a browser itself says of an answer that is an error.
_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 40[13]")


@pytest.fixture
def guest(browser: Any, site: Site) -> Iterator[Watched]:
    watched = Watched(browser, site)
    yield watched
    watched.context.close()


def total(page: Any) -> int:
    return int(page.locator("[data-total]").inner_text().replace(",", ""))


def test_a_wrong_token_is_refused_and_a_right_one_gets_in(guest: Watched) -> None:
    page = guest.page
    page.goto("/tools?range=7d")
    for token, said in (
        ("bcpa_wrong", "This is no token of this store."),
        (guest.site.tokens["ingest"], "cannot look at them"),
    ):
        page.fill("#token", token)
        page.click("text=Log in")
        page.locator("[role=alert]", has_text=said).wait_for()
    page.fill("#token", guest.site.tokens["admin"])
    page.click("text=Log in")
    page.locator("h1", has_text="Tools").wait_for()
    assert page.url.endswith("/tools?range=7d")
    [cookie] = guest.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("document.cookie") == ""
    assert all(_REFUSED.match(text) for text in guest.said)
    page.reload()
    page.locator(".pill", has_text="Live").wait_for()
    page.click("text=Log out")
    page.locator("#token").wait_for()
    assert guest.context.request.get("/v1/session").status == 401


def test_the_session_of_a_revoked_token_ends(guest: Watched) -> None:
    with psycopg.connect(guest.site.direct, autocommit=True) as conn:
        [token] = conn.execute("select bcp.create_api_token('leaves', 'reader')").fetchone() or [""]
        guest.page.goto("/")
        guest.page.fill("#token", token)
        guest.page.click("text=Log in")
        guest.page.locator(".tile strong").first.wait_for()
        conn.execute("select bcp.revoke_api_token('leaves')")
    # For five seconds it is believed.
    guest.site.app.state.tokens._known._entries.clear()
    guest.page.locator("nav a", has_text="Tools").click()
    guest.page.locator("#token").wait_for()
    guest.page.reload()
    guest.page.locator("#token").wait_for()


def test_numbers_move_within_two_seconds_of_a_call(look: Watched) -> None:
    page = look.page
    # Of one bundle: a token's first use in an hour is a call of another.
    page.goto("/?bundle=mail")
    page.locator(".pill", has_text="Live").wait_for()
    before = total(page)
    call = [{"bcp_name": "mail", "tool_name": "send", "success": True, "duration_ms": 5}]
    assert look.site.send("POST", "/v1/events/tool_usage", role="ingest", json=call).json()["stored"] == 1
    page.wait_for_function(
        "before => Number(document.querySelector('[data-total]').textContent.replaceAll(',', '')) > before",
        arg=before,
        timeout=2000,
    )
    assert total(page) == before + 1


def test_filters_and_range_are_in_the_address(look: Watched) -> None:
    page = look.page
    page.goto("/")
    page.locator(".tile strong").first.wait_for()
    everything = total(page)
    page.get_by_label("bundle", exact=True).select_option("mail")
    page.wait_for_function(
        "all => Number(document.querySelector('[data-total]').textContent.replaceAll(',', '')) < all",
        arg=everything,
    )
    assert "bundle=mail" in page.url
    few = total(page)
    page.get_by_label("Range", exact=True).select_option("7d")
    page.wait_for_function(
        "few => Number(document.querySelector('[data-total]').textContent.replaceAll(',', '')) > few", arg=few
    )
    assert "range=7d" in page.url
    page.go_back()
    page.wait_for_function(
        "few => Number(document.querySelector('[data-total]').textContent.replaceAll(',', '')) === few",
        arg=few,
    )
    # The number leads to its calls, all of this bundle.
    page.locator(".tile").first.click()
    page.locator("h1", has_text="Calls").wait_for()
    page.locator("td[data-heading=tool]").first.wait_for()
    assert all(text.startswith("mail.") for text in page.locator("td[data-heading=tool]").all_inner_texts())


def test_on_a_phone_the_page_where_one_is_stands_in_sight(look: Watched) -> None:
    page = look.page
    page.set_viewport_size({"width": 360, "height": 800})
    for path in ("/setup", "/"):
        page.goto(path)
        link = page.locator("nav[aria-label=Pages] a[aria-current]")
        link.wait_for()
        box = link.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.locator("h1", has_text="Health").wait_for()
    box = link.bounding_box()
    assert box["x"] + box["width"] <= 360


def test_a_tool_leads_to_a_call_as_it_is_stored_and_text_stays_text(look: Watched) -> None:
    page = look.page
    page.goto("/tools?range=7d")
    page.locator("td a", has_text=HOSTILE).first.click()
    page.locator("h1", has_text=HOSTILE).wait_for()
    page.goto("/calls?failed=true&range=7d")
    page.locator("a.row").first.click()
    dialog = page.locator("dialog")
    dialog.locator("h3", has_text="Arguments").wait_for()
    assert "<img src=x onerror=" in dialog.locator("pre").nth(2).inner_text()
    assert "call=" in page.url
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert page.title() != "owned"
    assert page.locator("img").count() == 0


def test_why_agents_call_and_what_they_miss_is_shown(look: Watched) -> None:
    page = look.page
    calls = [
        {"bcp_name": "mail", "tool_name": "send", "success": True, "intent": f"Thank {HOSTILE}"},
        {"bcp_name": "mail", "tool_name": "get_more_tools", "success": True, "intent": "delete a mail"},
    ]
    assert look.site.send("POST", "/v1/events/tool_usage", role="ingest", json=calls).json()["stored"] == 2
    page.goto("/tools")
    page.locator("section[aria-label='Why agents call'] td", has_text=f"Thank {HOSTILE}").wait_for()
    page.locator("section[aria-label='Tools that agents miss'] td", has_text="delete a mail").wait_for()
    page.goto("/calls?tool=send&bundle=mail")
    page.locator("a.row").first.click()
    page.locator("dialog pre", has_text=f"Thank {HOSTILE}").wait_for()
    assert page.title() != "owned"


def test_a_name_of_4000_characters_and_a_range_of_50_years_are_shown(look: Watched) -> None:
    page = look.page
    page.goto(f"/tool?bundle=files&tool={quote(LONG[:4000])}&range=7d")
    page.locator("h1", has_text="files.a_tool_with").wait_for()
    page.goto("/?from=1976-01-01T00:00:00Z&to=2026-12-31T00:00:00Z")
    page.locator(".tile strong").first.wait_for()
    page.locator(".plot canvas").first.wait_for()
    assert page.locator(".failed").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_an_issue_is_resolved_and_reopened(look: Watched) -> None:
    page = look.page
    page.goto("/errors?range=7d")
    page.locator("a.row", has_text="connection refused").first.click()
    page.locator("h2", has_text="What to do").wait_for()
    assert HOSTILE in page.locator("pre", has_text="Traceback").inner_text()
    page.fill("textarea", "the relay was down")
    page.locator("label", has_text="Release with the fix").locator("input").fill("2.0")
    page.click("text=Resolve in this release")
    page.locator(".about .badge.is-resolved").wait_for()
    page.locator("text=the relay was down").wait_for()
    page.locator("button", has_text="Reopen").click()
    page.locator(".about .badge.is-new, .about .badge.is-ongoing").first.wait_for()


def test_a_reader_sees_everything_and_changes_nothing(guest: Watched) -> None:
    guest.log_in("reader")
    page = guest.page
    page.goto("/errors?range=7d")
    page.locator(".pill", has_text="Every 5 s").wait_for()
    page.locator("a.row", has_text="connection refused").first.click()
    page.locator("text=log in with a token of the role admin").wait_for()
    assert page.locator("button", has_text="Resolve").count() == 0
    for method, path in (
        ("POST", "/v1/issues/x/resolve"),
        ("PUT", "/v1/alert-rules/x"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/alerts/1/acknowledge"),
    ):
        answer = guest.context.request.fetch(guest.site.url + path, method=method, data={})
        assert (answer.status, answer.json()["error"]["message"]) == (403, "This token may not do this.")
    assert guest.said == []


def test_a_session_shows_what_happened_in_it(look: Watched) -> None:
    page = look.page
    page.goto("/sessions?range=7d")
    page.locator("a.row", has_text="s-1").first.click()
    page.locator("h1", has_text="Session s-1").wait_for()
    page.locator("td[data-heading=what]", has_text="mail.send").first.wait_for()
    assert page.locator("td[data-heading='context so far']").last.inner_text() != "0 tokens"


def test_a_rule_is_made_with_a_preview_and_an_alert_is_acknowledged(look: Watched) -> None:
    page = look.page
    page.goto("/alerts")
    page.click("text=New rule")
    dialog = page.locator("dialog")
    dialog.locator("label", has_text="Name").locator("input").fill("mine/all")
    dialog.locator("label", has_text="From how many calls").locator("input").fill("1")
    dialog.locator("text=/would have opened/").wait_for()
    dialog.locator("td[data-heading=worst]").first.wait_for()
    dialog.locator("text=Save the rule").click()
    dialog.wait_for(state="detached")
    page.locator("td[data-heading=name]", has_text="mine/all").wait_for()
    page.locator("td button", has_text="Acknowledge").click()
    page.fill("dialog textarea", "looking")
    page.locator("dialog button", has_text="Acknowledge").click()
    page.locator("td[data-heading=acknowledged]", has_text="looking").wait_for()
    with psycopg.connect(look.site.direct, autocommit=True) as conn:
        made = conn.execute("select metric, min_calls from bcp.alert_rules where rule_name = 'mine/all'")
        assert made.fetchone() == ("error_rate", 1)
        conn.execute("delete from bcp.alert_rules where rule_name = 'mine/all'")


def test_a_fresh_token_is_filled_in_and_setup_turns_green(look: Watched) -> None:
    page = look.page
    page.goto("/setup")
    page.click("text=Make a token for a sender")
    page.locator("text=A fresh token").wait_for()
    found = re.search(r"bcpa_[0-9a-f]{72}", page.locator("#way pre").inner_text())
    assert found is not None
    call = [{"bcp_name": "mail", "tool_name": "send", "success": True}]
    headers = {"authorization": f"Bearer {found[0]}"}
    assert look.site.send("POST", "/v1/events/tool_usage", json=call, headers=headers).status_code == 200
    page.locator("text=It works.").wait_for()


def test_the_live_list_holds_still_while_it_is_read(look: Watched) -> None:
    page = look.page
    page.goto("/live")
    row = page.locator("a.row").first
    row.wait_for()
    page.locator(".pill", has_text="Live").wait_for()
    row.hover()
    first = page.locator("tbody tr").first.inner_text()
    call = [{"bcp_name": "mail", "tool_name": "send", "success": False, "error_type": "Odd"}]
    look.site.send("POST", "/v1/events/tool_usage", role="ingest", json=call)
    page.locator("button.fresh", has_text=" new").wait_for()
    assert page.locator("tbody tr").first.inner_text() == first
    page.mouse.move(5, 5)
    page.locator("tbody tr", has_text="Odd").first.wait_for()
    page.get_by_label("failed only").check()
    page.wait_for_function("() => !document.querySelector('td .is-success')")
    assert "failed=true" in page.url


def test_the_database_goes_away_and_comes_back(guest: Watched) -> None:
    guest.log_in()
    page = guest.page
    page.goto("/")
    page.locator(".pill", has_text="Live").wait_for()
    assert total(page) > 0
    assert guest.site.relay is not None
    guest.site.relay.cut()
    try:
        page.locator(".pill", has_text="Database away since").wait_for()
        # What was there stays.
        assert total(page) > 0
    finally:
        guest.site.relay.mend()
    page.locator(".pill", has_text="Live").wait_for()
    page.wait_for_function("() => !document.querySelector('.failed')")


def test_keys_lead_through_pages_and_rows_and_along_a_chart(look: Watched) -> None:
    page = look.page
    page.goto("/")
    page.locator(".plot canvas").first.wait_for()
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.locator("a.row").first.wait_for()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.className") == "row"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("dialog", has_text="Keys").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("o")
    chart = page.locator(".plot").first
    chart.locator("canvas").wait_for()
    chart.focus()
    page.keyboard.press("End")
    page.locator(".cursor b").first.wait_for()
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Calls").wait_for()


# What numbers of other pages lead to.
LISTS = (
    "/calls?bundle=mail&tool=never_called&lists=yes",
    "/calls?bundle=mail&tool=search&metric=error_rate",
    "/sessions?users=yes",
    "/people?by=accounts&method=password&people=yes",
    "/people?by=accounts&method=password&user=u2",
)


def test_each_panels_sql_gives_its_rows_to_a_reader(look: Watched) -> None:
    page = look.page
    with psycopg.connect(look.site.direct, autocommit=True) as conn:
        # What a terminal would obey is in the last one: Ctrl-C, and a command of psql.
        odd = quote("'\\\x03\n\\! touch x\u202e")
        tool = f"/tool?bundle=files&tool={quote(HOSTILE)}"
        pages = ("/", "/live", "/tools?q='x", tool, "/health", "/alerts", "/setup")
        for path in (*pages, *LISTS, f"/tools?q={odd}"):
            page.goto(path)
            page.locator(".tools button", has_text="SQL").first.wait_for()
            buttons = page.locator(".tools button", has_text="SQL")
            for n in range(buttons.count()):
                buttons.nth(n).click()
                text = page.locator("dialog pre").inner_text()
                page.keyboard.press("Escape")
                page.locator("dialog").wait_for(state="detached")
                # Channels and tokens are for administrators, on the page too.
                admin = "notification_channels()" in text or "api_tokens()" in text
                conn.execute(f"set role {'bcp_admin' if admin else 'bcp_reader'}")
                assert conn.execute(text).description, text  # type: ignore[arg-type]
                assert text.replace("\n", "").isprintable()
                assert not any(line.startswith("\\") for line in text.splitlines())


def test_first_load_is_small_and_from_this_server_alone(look: Watched) -> None:
    page = look.page
    answer = page.goto("/")
    page.locator(".plot canvas").first.wait_for()
    page.wait_for_load_state("networkidle")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    sizes = [r.sizes()["responseBodySize"] for r in look.requests if not r.url.startswith("data:")]
    assert len(sizes) <= 12, [r.url for r in look.requests]
    assert sum(sizes) <= 120 * 1024
    files = [r for r in look.requests if "/assets/" in r.url]
    assert {r.response().headers["cache-control"] for r in files} == {"public, max-age=31536000, immutable"}
    assert json.dumps([r.method for r in look.requests]).count("POST") == 1
