"""Draws which room of the package imports which: python -m tools.rooms, into docs/design/architecture.md.

A test holds the drawing to this. Imports for type checkers count too; those within a room do not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grimp

PACKAGE = "bcp_analytics"
FILE = Path(__file__).parents[1] / "docs" / "design" / "architecture.md"
BEGIN = "<!-- Written by python -m tools.rooms: begin -->\n"
END = "<!-- end -->\n"


def imports() -> dict[str, set[str]]:
    """Return which rooms each room imports; a room is a folder or module right below the package."""
    graph = grimp.build_graph(PACKAGE)
    rooms = sorted(graph.find_children(PACKAGE))
    for room in rooms:
        graph.squash_module(room)
    return {
        _name(room): {
            _name(other)
            for other in graph.find_modules_directly_imported_by(room)
            if other in rooms and other != room
        }
        for room in rooms
    }


def _name(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.")


def needed(rooms: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out each arrow that a longer way says already, so that the drawing can be read."""

    def reached(room: str) -> set[str]:
        return set().union(*({other} | reached(other) for other in rooms[room]))

    return {
        room: {
            other for other in others if not any(other in reached(between) for between in others - {other})
        }
        for room, others in rooms.items()
    }


def drawing() -> str:
    arrows = [
        f"    {room} --> {other}" for room, others in needed(imports()).items() for other in sorted(others)
    ]
    return "\n".join([BEGIN + "```mermaid", "flowchart TD", *arrows, "```", END])


def written(text: str) -> str:
    """Return the page with the drawing in its place."""
    before, _, rest = text.partition(BEGIN)
    return before + drawing() + rest.partition(END)[2]


if __name__ == "__main__":
    sys.setrecursionlimit(200)  # a circle of imports ends in an error
    FILE.write_text(written(FILE.read_text(encoding="utf-8")), encoding="utf-8")
