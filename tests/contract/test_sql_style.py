"""The habits of SQL that no formatter keeps: pg_format and sqlfmt rewrite most of a file, sqlfluff reads no
body.
A line has at most 120 characters, except for a regular expression, which stays whole so that it can be
searched, and for the rows of a seed. Each function and view has its comment right below it, with its grants.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "sql").glob("*.sql"), *(ROOT / "migrations").glob("*.sql")])
LITERAL = re.compile(r"'(?:[^']|'')*'")
# What a regular expression has and a sentence has not.
EXPRESSION = re.compile(r"\(\?|\[\^|\][+*{?]|[\\$]\)|\\[a-zA-Z.]|\|\^")
CREATED = [
    re.compile(
        rf"^create or replace ({kind}) ([\w.]+){body}\n(.*?)(?=^create |^do |\Z)", re.DOTALL | re.MULTILINE
    )
    for kind, body in (("function|procedure", r".*?^\$(?:func|proc)\$;"), ("view", r"[^;]*;"))
]
RIDDLES = {
    "as above": re.compile(r"\bas (?:above|in the one above)\b", re.IGNORECASE),
    "one row a tool": re.compile(
        r"\b(?:one|a) (?:row|line|statement|value|call|chunk) an? [a-z]", re.IGNORECASE
    ),
}


def without_expressions(line: str) -> str:
    return LITERAL.sub(lambda m: "''" if EXPRESSION.search(m[0]) else m[0], line)


def long_lines(text: str) -> list[int]:
    return [n for n, line in enumerate(text.splitlines(), 1) if len(without_expressions(line)) > 120]


def comments(text: str) -> str:
    """Return what a reader reads: comments, and literals that were wrapped joined again."""
    dashes = " ".join(line.strip()[2:].strip() for line in text.splitlines() if line.strip().startswith("--"))
    said = re.findall(r"^comment on [^;']*? is\s+((?:'(?:[^']|'')*'\s*)+);", text, re.MULTILINE)
    return "\n".join([dashes, *("".join(part[1:-1] for part in LITERAL.findall(one)) for one in said)])


def uncommented(text: str) -> list[str]:
    """Return what has no comment right below it, and what has something else than grants after that."""
    found = []
    for kind, name, after in (parts for pattern in CREATED for parts in pattern.findall(text)):
        if not re.match(rf"(?:\s*(?:revoke|grant) [^;]*;)*\s*comment on {kind} {re.escape(name)}\b", after):
            found.append(name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_keeps_the_habits(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "_seed_" in path.name or long_lines(text) == []
    assert uncommented(text) == []
    assert [name for name, pattern in RIDDLES.items() if pattern.search(comments(text))] == []


def test_what_breaks_a_habit_is_found() -> None:
    good = "create or replace function bcp.f() returns integer\nas $func$\nselect 1;\n$func$;\n\n"
    assert uncommented(good + "comment on function bcp.f() is 'x';\n") == []
    assert uncommented(good + "grant execute on function bcp.f to bcp_reader;\n") == ["bcp.f"]
    assert long_lines("x" * 121 + "\n" + "y ~ '" + "[^a]" * 40 + "'") == [1]
    assert RIDDLES["as above"].search(comments("-- No search_path, as\n-- above.\n"))
    assert RIDDLES["one row a tool"].search(
        comments("comment on view bcp.v is\n    'One row '\n    'a tool.';")
    )


def test_the_map_of_the_folder_has_each_file() -> None:
    rows = re.findall(
        r"^\| (\d\d)(?:-(\d\d))? \|", (ROOT / "sql/README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = {number for first, last in rows for number in range(int(first), int(last or first) + 1)}
    assert {int(path.name[:2]) for path in (ROOT / "sql").glob("*.sql")} <= listed
