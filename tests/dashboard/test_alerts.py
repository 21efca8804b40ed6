"""Alerts: an administrator sets them up in a browser, a receiver hears of them, a reader looks at them."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.dashboard.conftest import HOSTILE, Site, Watched
from tests.notify.receivers import Received, receiving
from tests.notify.test_notifier import allow

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.any_target("what a browser shows is the same on all")]
RULE = f"mine {HOSTILE}"


@pytest.fixture
def heard(site: Site) -> Iterator[Any]:
    """Give a receiver on this machine; its event is set when it hears of the rule."""
    with receiving() as receiver, psycopg.connect(site.direct, autocommit=True) as conn:
        allow(conn, "127.0.0.1")
        receiver.event = threading.Event()  # type: ignore[attr-defined]

        def answer(got: Received) -> tuple[int, dict[str, str], bytes]:
            if got.json["data"].get("rule_name") == RULE:
                receiver.event.set()  # type: ignore[attr-defined]
            return 204, {}, b""

        receiver.answer = answer
        yield receiver


def panel(page: Any, title: str) -> Any:
    return page.locator(f"section[aria-label='{title}']")


def test_a_rule_made_in_the_browser_reaches_a_webhook(look: Watched, heard: Any) -> None:
    page = look.page
    page.goto("/alerts")
    # Where there is none yet, one can be made too.
    panel(page, "Channels").locator("text=Nobody is told of alerts").wait_for()
    panel(page, "Channels").locator("text=New channel").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Name", exact=True).fill("on call/1")
    dialog.get_by_label("URL", exact=True).fill(heard.url)
    dialog.locator("text=Make the channel").click()
    page.locator("h2", has_text="The key that signs").wait_for()
    key = dialog.locator("pre").inner_text()
    assert key.startswith("whsec_")
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    panel(page, "Channels").locator("button", has_text="Test").click()
    panel(page, "Channels").locator("[role=status]", has_text="delivered").wait_for()
    heard.got[0].check(key)
    page.click("text=New rule")
    dialog.get_by_label("Name", exact=True).fill(RULE)
    dialog.locator("label", has_text="Limit").locator("input").fill("0.01")
    dialog.locator("label", has_text="Looks back").locator("input").fill("1 day")
    dialog.locator("label", has_text="From how many calls").locator("input").fill("1")
    dialog.locator("label", has_text=re.compile("^For ")).locator("select").select_option("all")
    dialog.locator("text=Save the rule").click()
    dialog.wait_for(state="detached")
    with psycopg.connect(look.site.direct, autocommit=True) as conn:
        conn.execute("select bcp_internal.evaluate_alerts()")
    assert heard.event.wait(30)
    assert heard.got[-1].json["type"] == "alerts.changed"
    heard.got[-1].check(key)
    page.reload()
    panel(page, "Open").locator("td", has_text=RULE).first.wait_for()
    panel(page, "Who was told").locator("tr", has_text=RULE).locator("td", has_text="delivered").wait_for()
    row = panel(page, "Open").locator("tr", has_text=RULE)
    row.locator("select").select_option("4")
    row.locator("text=to nobody until").wait_for()
    # Nothing of the page and of what it is sent has the key again.
    assert key not in page.content()
    assert key not in look.context.request.get("/v1/channels").text()
    page.once("dialog", lambda asked: asked.accept())
    panel(page, "Channels").locator("button", has_text="Delete").click()
    panel(page, "Channels").locator("text=Nobody is told of alerts").wait_for()
    assert page.title() != "owned"


def test_a_rule_is_snoozed_and_told_of_again(look: Watched) -> None:
    page = look.page
    page.goto("/alerts")
    row = panel(page, "Rules").locator("tr", has_text="slow").first
    row.locator("select").select_option("24")
    row.locator("text=told to nobody until").wait_for()
    row.locator("select").select_option("0")
    row.locator("text=told to nobody until").wait_for(state="detached")


def test_what_a_channel_may_not_reach_is_said_in_its_form(look: Watched) -> None:
    page = look.page
    page.goto("/alerts")
    panel(page, "Channels").locator("text=New channel").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Name", exact=True).fill("inside")
    dialog.get_by_label("URL", exact=True).fill("http://192.0.2.1/")
    dialog.locator("text=Make the channel").click()
    dialog.locator("text=notification_hosts does not allow").wait_for()
    assert [text for text in look.said if "status of 400" not in text] == []
    look.said.clear()


def test_a_channel_is_changed_and_its_secret_follows_to_no_other_host(look: Watched) -> None:
    with psycopg.connect(look.site.direct, autocommit=True) as conn:
        allow(conn, "127.0.0.1, localhost")
        page = look.page
        page.goto("/alerts")
        panel(page, "Channels").locator("text=New channel").click()
        dialog = page.locator("dialog")
        # The text of a label has that of its choices in it.
        chosen = lambda title: dialog.locator("label", has_text=re.compile(f"^{title} ")).locator("select")  # noqa: E731
        chosen("Kind").select_option("email")
        for label, value in (
            ("Name", "mail"),
            ("SMTP server", "127.0.0.1"),
            ("User", "ada"),
            ("From", "store@example.com"),
            ("To, with commas between", "ada@example.com, bob@example.com"),
        ):
            dialog.get_by_label(label, exact=True).fill(value)
        chosen("TLS").select_option("none")
        dialog.locator("input[type=password]").fill("hunter2")
        dialog.get_by_label("slow", exact=True).check()
        dialog.get_by_label("gets the weekly digest", exact=True).uncheck()
        dialog.locator("text=Make the channel").click()
        row = panel(page, "Channels").locator("tr", has_text="mail")
        row.locator("text=slow").first.wait_for()

        def stored() -> dict[str, Any]:
            [(found,)] = conn.execute(
                "select to_jsonb(c) from bcp_internal.notification_channels c where channel_name = 'mail'"
            ).fetchall()
            return dict(found)

        before = stored()
        assert len(before["rule_names"]) == 1
        assert (before["digest"], before["tell_closed"]) == (False, True)
        assert before["config"]["recipients"] == ["ada@example.com", "bob@example.com"]

        # Who may change a channel cannot have its password sent to a server of their own.
        row.locator("button", has_text="Edit").click()
        assert dialog.get_by_label("SMTP server", exact=True).input_value() == "127.0.0.1"
        assert dialog.locator("input[type=password]").input_value() == ""
        dialog.get_by_label("SMTP server", exact=True).fill("localhost")
        dialog.get_by_label("gets the weekly digest", exact=True).check()
        dialog.get_by_label("tells that alerts close", exact=True).uncheck()
        dialog.locator("fieldset input:checked").uncheck()
        dialog.locator("text=Save the channel").click()
        dialog.locator("text=where the secret of the channel is sent would change").wait_for()
        assert stored() == before
        dialog.locator("input[type=password]").fill("hunter3")
        dialog.locator("text=Save the channel").click()
        dialog.wait_for(state="detached")
        row.locator("text=all rules").wait_for()
        after = stored()
        assert (after["config"]["host"], after["secret"]) == ("localhost", "hunter3")
        assert (after["rule_names"], after["digest"], after["tell_closed"]) == (None, True, False)
        # What sends the secret nowhere else needs it not.
        row.locator("button", has_text="Edit").click()
        chosen("From severity").select_option("critical")
        dialog.locator("text=Save the channel").click()
        dialog.wait_for(state="detached")
        assert stored() == after | {"min_severity": "critical"}
        conn.execute("select bcp.delete_notification_channel('mail')")
    assert [text for text in look.said if "status of 400" not in text] == []
    look.said.clear()


def test_a_reader_is_told_who_may_change(browser: Any, site: Site) -> None:
    watched = Watched(browser, site)
    watched.log_in("reader")
    page = watched.page
    page.goto("/alerts")
    page.locator("text=log in with one of the role admin").wait_for()
    panel(page, "Rules").locator("button", has_text="Preview").first.click()
    page.locator("dialog", has_text="it would have opened").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("button", has_text="New").count() == 0
    assert page.locator("td select").count() == 0
    watched.context.close()
    assert watched.said == []
