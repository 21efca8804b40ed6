"""The rooms of the package: what is public, and who imports whom."""

from __future__ import annotations

from pathlib import Path

from tools import public_names, rooms


def test_the_public_names_are_those_listed() -> None:
    listed = Path(__file__).with_name("public_names.txt").read_text(encoding="utf-8").split()
    assert public_names.names() == listed, (
        "run python -m tools.public_names > tests/contract/public_names.txt"
    )


def test_the_drawing_of_the_rooms_is_as_they_are() -> None:
    page = rooms.FILE.read_text(encoding="utf-8")
    assert rooms.written(page) == page, "run python -m tools.rooms"


def test_no_two_rooms_import_each_other() -> None:
    """Whoever imports a room can then read it from the bottom up."""
    below = rooms.imports()
    while below:
        lowest = {room for room, others in below.items() if not others & below.keys()}
        assert lowest, f"a circle among {sorted(below)}"
        below = {room: others for room, others in below.items() if room not in lowest}
