"""Where the parts of a JSON text are, so that one can be changed and every other byte stays.

A text that is read and written anew is another one: numbers, escapes and spaces come out differently.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


class Part(NamedTuple):
    """A value, and where it is: of an object's member with its name, from `begin`."""

    name: str
    begin: int
    at: int
    end: int
    value: Any


Edit = tuple[int, int, str]
"""From, to, and what comes there."""


def skip(text: str, at: int) -> int:
    """Return where the next thing begins that is no space."""
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def value(text: str, at: int) -> Part:
    """Return the value that begins here; raises ValueError or RecursionError."""
    at = skip(text, at)
    found, end = _DECODER.raw_decode(text, at)
    return Part("", at, at, end, found)


def whole(text: str) -> Part:
    """Return the one value of a text; raises ValueError or RecursionError."""
    found = value(text, 0)
    if skip(text, found.end) != len(text):
        raise ValueError("There is more than one value.")
    return found


def elements(text: str, at: int) -> list[Part]:
    """Return the elements of the array that begins here."""
    return _inside(text, at, "]", value)


def members(text: str, at: int) -> list[Part]:
    """Return the members of the object that begins here, in the order of the text."""
    return _inside(text, at, "}", _member)


def by_name(text: str, at: int) -> dict[str, Part]:
    """Return the members of the object that begins here; of two with one name the last, as parsers do."""
    return {part.name: part for part in members(text, at)}


def without(text: str, parts: Iterable[Part], name: str) -> str:
    """Return an object of these members but those of a name."""
    return "{" + ",".join(text[part.begin : part.end] for part in parts if part.name != name) + "}"


def with_member(holder: Part, name: str, member: str) -> Edit:
    """Return the edit that puts a member at the end of an object."""
    comma = "," if holder.value else ""
    return holder.end - 1, holder.end - 1, f"{comma}{json.dumps(name)}:{member}"


def with_element(holder: Part, element: str) -> Edit:
    """Return the edit that puts an element at the end of an array."""
    return holder.end - 1, holder.end - 1, f"{',' if holder.value else ''}{element}"


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with all of these edits, which do not overlap."""
    kept, done = [], 0
    for begin, end, new in sorted(edits):
        kept += [text[done:begin], new]
        done = end
    return "".join([*kept, text[done:]])


def _member(text: str, at: int) -> Part:
    name = value(text, at)
    found = value(text, skip(text, name.end) + 1)
    return found._replace(name=name.value, begin=name.at)


def _inside(text: str, at: int, close: str, read: Any) -> list[Part]:  # noqa: ANN401 - value or _member
    found: list[Part] = []
    at = skip(text, at + 1)
    while text[at] != close:
        found.append(read(text, at))
        at = skip(text, found[-1].end)
        # A comma, or the end: the whole was read before its parts are.
        at = skip(text, at + 1) if text[at] == "," else at
    return found
