"""Runs pgspot over migrations/ and sql/ in the order a database gets them: python -m tools.pgspot_all.

Exits with 1 where pgspot finds what is not in `ACCEPTED`, or no longer finds what one there names. pgspot
is called as a library, so that one body it cannot read does not hide the rest of its file.
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pglast import parse_sql
from pgspot.codes import codes
from pgspot.state import Counter, State
from pgspot.visitors import SQLVisitor

from bcp_analytics._core.resources import migrations_folder, sql_folder
from bcp_analytics.migrate._backend import SAFE_PATH
from bcp_analytics.migrate._sqlfiles import files

if TYPE_CHECKING:
    from pathlib import Path

_IF_NOT_EXISTS = "the preflight refuses a schema of that name that belongs to another role"
_INLINED = "SET would keep it from being inlined; every name in it is qualified"
_CALLED_OFTEN = "SET takes a third of a call; every name in it is qualified"
_COMMITS = "a procedure that commits cannot have SET; it sets search_path again after each commit"
# What is right as it is, by code and beginning of what it is about, with the reason.
ACCEPTED: dict[tuple[str, str], str] = {
    ("PS010", "bcp"): _IF_NOT_EXISTS,
    ("PS010", "bcp_internal"): _IF_NOT_EXISTS,
    ("PS005", "bcp_internal.aggregates("): _INLINED,
    ("PS005", "bcp_internal.latency_ms("): _INLINED,
    ("PS005", "bcp_internal.grams("): _INLINED,
    ("PS005", "bcp_internal.uuidv7("): _INLINED,
    ("PS005", "bcp_internal.says_error("): _INLINED,
    ("PS005", "bcp_internal.suspect_success("): _INLINED,
    ("PS005", "bcp_internal.calls("): _INLINED,
    ("PS005", "bcp_internal.cut_ip("): _INLINED,
    ("PS005", "bcp_internal.hmac_sha256("): _INLINED,
    ("PS005", "bcp_internal.issue_state("): _INLINED,
    ("PS005", "bcp_internal.session_duration_ms("): _INLINED,
    ("PS005", "bcp_internal.sessions_begun("): _INLINED,
    ("PS005", "bcp_internal.has_shape("): _INLINED,
    ("PS005", "bcp_internal.is_ruler("): _INLINED,
    ("PS005", "bcp_internal.sketch_place("): _CALLED_OFTEN,
    ("PS005", "bcp.refresh_analytics_views("): _COMMITS,
    ("PS005", "bcp.run_cleanup("): _COMMITS,
    ("PS005", "bcp_internal.cleanup_job("): _COMMITS,
    ("PS005", "bcp_internal.columnstore_aggregates("): _COMMITS,
    ("PS005", "bcp_internal.columnstore_job("): _COMMITS,
    ("PS005", "bcp_internal.columnstore_tables("): _COMMITS,
    ("PS005", "bcp_internal.columnstore_tables_job("): _COMMITS,
    ("PS005", "bcp_internal.move_chunks("): _COMMITS,
    ("PS005", "bcp.erase_user("): _COMMITS,
    ("PS005", "bcp.anonymize_history("): _COMMITS,
    ("PS005", "bcp_internal.refresh_pending("): _COMMITS,
    ("PS005", "bcp_internal.refresh_aggregate("): _COMMITS,
}

# pgspot's parser takes a variable of a composite type for a scalar, and then has no fields to assign to.
_COMPOSITE = re.compile(
    r"^(\s+v_\w+(?:\s+constant)?\s+)bcp(?:_internal)?\.\w+(?:%rowtype)?(\s*(?::=|;))", re.MULTILINE
)
_LEAD = re.compile(r"(?:\s+|--[^\n]*\n)*")


@dataclass(frozen=True)
class Finding:
    """A code of pgspot, what it is about, and its file and line."""

    code: str
    about: str
    place: str

    def __str__(self) -> str:
        title = codes[self.code]["title"] if self.code in codes else "not understood"
        return f"{self.place}: {self.code} {title}: {self.about}"

    @property
    def accepted_by(self) -> tuple[str, str] | None:
        fitting = [a for a in ACCEPTED if a[0] == self.code and self.about.startswith(a[1])]
        return max(fitting, key=lambda a: len(a[1]), default=None)


class _Collector(Counter):
    """Keeps what pgspot would print."""

    def __init__(self) -> None:
        nothing: list[str] = []
        options = Namespace(
            ignore=nothing, ignore_lang=nothing, sql_fn=nothing, proc_without_search_path=nothing
        )
        options.plpgsql, options.summary_only = True, False
        super().__init__(options)
        self.found: list[tuple[str, str]] = []

    def print_issue(self, code: str, context: str) -> None:
        self.found.append((code, str(context)))

    def unknown(self, message: str) -> None:
        self.found.append(("unknown", message))


def check(paths: list[Path]) -> list[Finding]:
    """Return what pgspot finds in files that run one after the other, each with the runner's search_path."""
    collector = _Collector()
    state = State(collector)
    findings = []
    for path in paths:
        text = _COMPOSITE.sub(r"\1record\2", path.read_text(encoding="utf-8"))
        SQLVisitor(state)(parse_sql(f"set local search_path = {SAFE_PATH}")[0])
        for statement in parse_sql(text):
            collector.found = []
            try:
                SQLVisitor(state)(statement)
            except Exception as error:  # noqa: BLE001  # pgspot lets through whatever its parser raises
                collector.found.append(("unread", str(error)))
            lead = _LEAD.match(text, statement.stmt_location)
            line = text.count("\n", 0, lead.end() if lead else 0) + 1
            findings += [
                Finding(*found, f"{path.parent.name}/{path.name}:{line}") for found in collector.found
            ]
    return findings


def everything() -> list[Path]:
    migrations = [path for path in files(migrations_folder()) if not path.name.endswith(".rollback.sql")]
    return migrations + files(sql_folder())


def main() -> int:
    findings = check(everything())
    used = {finding.accepted_by for finding in findings}
    complaints = [str(finding) for finding in findings if finding.accepted_by is None]
    complaints += [
        f"tools/pgspot_all.py: {' '.join(a)}: found no more, so take it out"
        for a in ACCEPTED
        if a not in used
    ]
    sys.stdout.writelines(f"{complaint}\n" for complaint in complaints)
    sys.stdout.write(f"pgspot: {len(everything())} files, {len(complaints)} findings\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
