"""Links between the project's own pages lead somewhere; those of the site are checked by `make docs` too."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(page for folder in ("docs", ".github") for page in (ROOT / folder).rglob("*.md")),
    ROOT / "examples/README.md",
]


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ +(.*)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def _broken(page: Path) -> list[str]:
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            found.append(f"{page.relative_to(ROOT)}: {link}")
    return found


def test_links_lead_somewhere() -> None:
    assert [link for page in PAGES for link in _broken(page)] == []


def test_the_examples_that_are_named_are_there_and_each_is_listed() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(examples/[^`]+)`", page.read_text("utf-8"))}
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
    table = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    ours = [path for path in (ROOT / "examples").iterdir() if path.name not in {"README.md", "__pycache__"}]
    assert [path.name for path in ours if f"[{path.name}](" not in table] == []


def _listed(entries: list[Any]) -> list[str]:
    return [
        path
        for entry in entries
        for to in entry.values()
        for path in (_listed(to) if isinstance(to, list) else [to])
    ]


def test_every_page_is_in_the_navigation() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    docs = ROOT / site["docs_dir"]
    assert sorted(_listed(site["nav"])) == sorted(str(p.relative_to(docs)) for p in docs.rglob("*.md"))
