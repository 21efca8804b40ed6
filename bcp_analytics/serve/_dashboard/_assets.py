"""The files of the dashboard as a browser gets them: one page, one style sheet, one script."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from bcp_analytics._render.look import LOOK
from bcp_analytics.serve._dashboard._bundle import bundle

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_HERE = "bcp_analytics.serve._dashboard"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, as it is and compressed."""

    kind: str
    plain: bytes
    packed: bytes
    digest: str


def asset(kind: str, text: str) -> Asset:
    """Return a text as a file."""
    plain = text.encode()
    # The same bytes at each start, so that a digest names them.
    packed = gzip.compress(plain, 9, mtime=0)
    return Asset(kind, plain, packed, sha256(plain).hexdigest()[:16])


def _texts(folder: str, suffix: str) -> dict[str, str]:
    found: list[Traversable] = sorted(files(_HERE).joinpath(folder).iterdir(), key=lambda one: one.name)
    return {
        one.name.removesuffix(suffix): one.read_text(encoding="utf-8")
        for one in found
        if one.name.endswith(suffix)
    }


def script() -> str:
    """Return the script: our modules, which name each other by ./NAME.js, and those of others."""
    vendor = _texts("vendor", ".js")
    modules = {
        "preact": vendor["preact"],
        "preact/hooks": vendor["preact-hooks"],
        "@preact/signals-core": vendor["preact-signals-core"],
        "@preact/signals": vendor["preact-signals"],
        "htm": vendor["htm"],
        "uplot": vendor["uplot"] + "\nexport { uPlot as default };",
    }
    modules |= {f"./{name}.js": text for name, text in _texts("js", ".js").items()}
    return bundle(modules, "./main.js")


def style() -> str:
    """Return the style sheet: the look that the static report has too, then ours."""
    sheets = _texts("css", ".css")
    return "\n".join([LOOK, _texts("vendor", ".css")["uplot"], *sheets.values()])


@cache
def assets() -> dict[str, Asset]:
    """Return the files by their paths."""
    return {
        f"/assets/{name}.{one.digest}.{suffix}": one
        for name, suffix, one in (
            ("app", "js", asset("text/javascript; charset=utf-8", script())),
            ("app", "css", asset("text/css; charset=utf-8", style())),
        )
    }


@cache
def page_text() -> str:
    """Return the page, which names the files, with {{session}} where it says who is logged in."""
    paths = {path.rpartition(".")[2]: path for path in assets()}
    text = files(_HERE).joinpath("index.html").read_text(encoding="utf-8")
    return text.replace("{{script}}", paths["js"]).replace("{{style}}", paths["css"])
