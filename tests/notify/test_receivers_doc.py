"""What docs/how-to/alerts.md tells receivers to run checks what a notifier sends."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bcp_analytics.embedded._runtime import find_node
from bcp_analytics.notify._notifier import attempt
from tests.notify.receivers import Received, receiving
from tests.notify.test_sending import SECRET, to

PAGE = (Path(__file__).parents[2] / "docs/how-to/alerts.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sent() -> Received:
    with receiving() as receiver:
        assert asyncio.run(attempt(to(receiver))) is None
        return receiver.got[0]


def snippet(language: str) -> str:
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def forgeries(sent: Received) -> list[tuple[str, dict[str, str], bytes, bool]]:
    """Cases: secret, headers, body, and whether they are genuine."""
    good = sent.headers
    rotated = good | {"webhook-signature": "v1,AAAA " + good["webhook-signature"]}
    return [
        (SECRET, good, sent.body, True),
        (SECRET, rotated, sent.body, True),
        (SECRET, good, sent.body + b" ", False),
        ("whsec_" + "QUFB" * 8, good, sent.body, False),
        (SECRET, good | {"webhook-id": "msg_other"}, sent.body, False),
        (SECRET, good | {"webhook-timestamp": "1614265330"}, sent.body, False),
        (SECRET, good | {"webhook-signature": "v1,"}, sent.body, False),
    ]


def test_the_python_of_the_page(sent: Received) -> None:
    names: dict[str, Any] = {}
    exec(snippet("python"), names)  # noqa: S102 - of our own page
    for secret, headers, body, genuine in forgeries(sent):
        assert names["verified"](secret, headers, body) == genuine


def test_the_javascript_of_the_page(sent: Received) -> None:
    cases = [(secret, headers, body.decode(), genuine) for secret, headers, body, genuine in forgeries(sent)]
    check = f"for (const [s, h, b, g] of {json.dumps(cases)}) console.log(verified(s, h, b) === g);"
    program = f"{snippet('js')}\n{check}"
    done = subprocess.run(
        [find_node(), "-e", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "true\n" * len(cases)
