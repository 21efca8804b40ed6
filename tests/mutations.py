"""Breaks a copy of the project as MUTATIONS.md says, and tells whether the test named there notices:

    python -m tests.mutations             # all of them
    python -m tests.mutations lock grant  # those whose titles have one of these words

It exits with 1 where a test passes although what it holds is broken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.targets import why_unavailable

ROOT = Path(__file__).parent.parent
FILE = Path(__file__).parent / "MUTATIONS.md"
SOURCES = ("sql/**/*.sql", "migrations/**/*.sql", "bcp_analytics/**/*.py")

_ENTRY = re.compile(
    r"^## (?P<title>[^\n]+)\n(?P<text>.*?)```diff\n(?P<diff>.*?)```\n+Caught by (?P<tests>.*?)\.$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Mutation:
    """Consecutive lines, without indentation, what they become, and the tests that fail then."""

    title: str
    old: list[str]
    new: list[str]
    tests: list[str]

    def places(self, root: Path = ROOT) -> list[tuple[Path, int]]:
        """Return each file and line where the lines stand: a mutation has to have exactly one."""
        found = []
        for pattern in SOURCES:
            for path in root.glob(pattern):
                lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
                found += [(path, n) for n in range(len(lines)) if lines[n : n + len(self.old)] == self.old]
        return found

    def apply(self, root: Path) -> None:
        [(path, n)] = self.places(root)
        lines = path.read_text(encoding="utf-8").splitlines()
        lines[n : n + len(self.old)] = self.new
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def mutations() -> list[Mutation]:
    return [
        Mutation(
            title=entry["title"],
            old=[line[1:].strip() for line in entry["diff"].splitlines() if line.startswith("-")],
            new=[line[1:] for line in entry["diff"].splitlines() if line.startswith("+")],
            tests=re.findall(r"`([^`]+)`", entry["tests"]),
        )
        for entry in _ENTRY.finditer(FILE.read_text(encoding="utf-8"))
    ]


def noticed(mutation: Mutation) -> list[str]:
    """Return those of the tests that do not fail once the lines are changed; none is as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        mutation.apply(root)
        return [test for test in mutation.tests if _passes(root, test)]


def _passes(root: Path, test: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    target = "native" if why_unavailable("native") is None else "embedded"
    done = subprocess.run(
        command,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "BCP_TEST_TARGETS": target},
        capture_output=True,
        text=True,
        check=False,
    )
    # What could not even begin has neither noticed nor missed anything.
    said = done.stdout.splitlines()[-1]
    if done.returncode not in {0, 1} or " error" in said:
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 0


def main(words: list[str]) -> int:
    chosen = [m for m in mutations() if not words or any(word in m.title.lower() for word in words)]
    missed = 0
    for mutation in chosen:
        silent = noticed(mutation)
        missed += len(silent)
        for test in mutation.tests:
            print(f"{'MISSED' if test in silent else 'caught'}  {mutation.title}: {test}", flush=True)  # noqa: T201
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
