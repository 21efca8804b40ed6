"""A browser that has the overview open, for benchmarks/stream.py: when it had painted which total."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe
    from multiprocessing.synchronize import Event

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Of each total that is shown: when the frame that it is in was done, and the total.
WATCH_TOTAL = """() => {
    window.painted = []
    let last = null
    const look = () => {
        const shown = document.querySelector('[data-total]')?.textContent.replaceAll(',', '')
        if (shown === undefined || shown === last) return
        last = shown
        // Before the frame is painted, and after.
        requestAnimationFrame(() => setTimeout(() => painted.push([Date.now() / 1000, Number(shown)])))
    }
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true })
    look()
}"""


def paint(port: int, token: str, path: str, stop: Event, pipe: Pipe) -> None:
    """Have the overview open in a browser, and send when it had painted which total."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the extra dev

    with sync_playwright() as playwright:
        # Root has no user namespace to put its pages into.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": 1280, "height": 900}, base_url=f"http://127.0.0.1:{port}"
        )
        if context.request.post("/v1/session", data={"token": token}).status != 200:  # noqa: PLR2004
            raise RuntimeError("the browser could not log in")
        page = context.new_page()
        page.goto(path)
        page.locator("[data-total]").wait_for()
        page.locator(".pill", has_text="Live").wait_for()
        page.evaluate(WATCH_TOTAL)
        while not stop.is_set():
            page.wait_for_timeout(200)
        pipe.send([[(at, total) for at, total in page.evaluate("painted")]])
        browser.close()
