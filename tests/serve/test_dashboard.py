"""The dashboard's files: joined as they are, from others only what is listed, and cached by their digests."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from bcp_analytics._render.look import LOOK
from bcp_analytics.report import _svg
from bcp_analytics.report._collect import _INTERVALS
from bcp_analytics.serve._dashboard._assets import _texts, assets
from bcp_analytics.serve._dashboard._bundle import UnknownFormError, bundle
from tests.serve.conftest import Running
from tools.javascript import TOOLS
from tools.vendor import TARGET, listed


def test_what_is_from_others_is_as_it_was_published() -> None:
    books = listed()
    lock = json.loads((TOOLS / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    names = {path.name for path in TARGET.iterdir()}
    assert names == {*books, *(one["licence"] for one in books.values()), "vendor.json"}
    for name, one in books.items():
        assert hashlib.sha256((TARGET / name).read_bytes()).hexdigest() == one["sha256"], name
        package, _, rest = one["from"].rpartition("@")
        assert lock[f"node_modules/{package}"]["version"] == rest.partition("/")[0]


def test_modules_become_one() -> None:
    modules = {
        "a": "import{x as y,z}from'b';\nimport d from './d.js'\nexport const all = [y, z, d()]\n",
        "b": "const q = 1;export{q as x};\nexport function z() {}\n",
        "./d.js": "export default function () { return 2 }\n",
    }
    text = bundle(modules, "a")
    assert text.index("q as x") if "q as x" in text else text.index("const q = 1") < text.index("all")
    assert "import" not in text
    assert "export" not in text


@pytest.mark.parametrize(
    "modules",
    [
        {"a": "import * as b from 'b'\n", "b": ""},
        {"a": "import { x } from 'nowhere'\n"},
        {"a": "export let x = 1\n"},
        {"a": "import { b } from 'b'\n", "b": "import { a } from 'a'\n"},
    ],
)
def test_what_cannot_be_joined_is_told(modules: dict[str, str]) -> None:
    with pytest.raises(UnknownFormError):
        bundle(modules, "a")


def test_the_whole_is_small_and_names_no_other_server() -> None:
    assert sum(len(one.packed) for one in assets().values()) < 100 * 1024
    for path, one in assets().items():
        text = one.plain.decode()
        assert "sourceMappingURL" not in text, path
        assert "//cdn" not in text


def test_a_file_is_kept_for_ever_and_the_page_is_asked_for_each_time(server: Running) -> None:
    page = server.send("GET", "/")
    assert page.headers["cache-control"] == "private, no-cache"
    headers: dict[str, Any] = {"if-none-match": page.headers["etag"]}
    assert server.send("GET", "/", headers=headers).status_code == 304
    for path in assets():
        plain = server.send("GET", path, headers={"accept-encoding": "identity"})
        packed = server.send("GET", path, headers={"accept-encoding": "gzip"})
        assert plain.content == packed.content == assets()[path].plain
        assert packed.headers["content-encoding"] == "gzip"
        assert "immutable" in packed.headers["cache-control"]
    assert server.send("GET", "/assets/app.0000.js").status_code == 404
    assert server.send("GET", "/nothing").status_code == 404


def test_the_static_report_draws_the_same_series_in_the_same_colours_and_buckets() -> None:
    code = _texts("js", ".js")
    report = inspect.getsource(_svg)
    for name, colour in (("succeeded", "good"), ("failed", "bad"), ("not known", "muted")):
        assert f"name: '{name}', color: '--{colour}'" in code["overview"]
        assert re.search(rf'"{name}".*"var\(--{colour}\)"', report)
    assert "['p50', 'p95', 'p99']" in code["overview"]
    steps = [int(ms.replace("_", "")) for ms in re.findall(r"\['\d+[mhd]', ([\d_]+)\]", code["state"])]
    assert [timedelta(milliseconds=ms) for ms in steps] == list(_INTERVALS)
    for one in (LOOK, assets()[next(path for path in assets() if path.endswith("css"))].plain.decode()):
        assert "--good: light-dark(" in one
