"""The outline of a message that cannot be read: whose it is, found in bounded memory.

A message may be too long to be kept, nested too deep, or have a number that Python refuses. Its id is a
member of its top level all the same, and JSON has no order of members: this passes over all beside it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_MAX_TEXT: Final = 1_000
"""Bytes of a name or of a value that are kept."""
_LEVELS: Final = 2
_WANTED: Final = {("id",), ("method",), ("params", "name")}

_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_BARE: Final = re.compile(rb'[^"{}\[\]:,]*+')
_DEEP: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")++', re.DOTALL)
_OPEN: Final = frozenset(b"{[")
_CLOSE: Final = frozenset(b"}]")


class Outline:
    """Takes a JSON object in parts; raises for nothing that comes instead of one."""

    def __init__(self, *parts: bytes) -> None:
        """Begin with the first parts."""
        self.found: dict[str, Any] = {}
        """The values that were found of `id`, `method` and `params.name`, by the last of these names."""
        self._path: list[str | None] = [None] * _LEVELS
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._text = b""
        self._stopped = False
        for part in parts:
            self.feed(part)

    def stop(self) -> None:
        """Note that bytes are missing here: nothing after them can be told."""
        self._stopped = True

    def feed(self, part: bytes) -> None:
        """Take the next bytes."""
        at = 0
        while at < len(part) and not self._stopped:
            if self._in_string:
                at = self._pass_string(part, at)
            elif self._depth > _LEVELS:
                at = self._pass_deep(part, at)
            else:
                at = self._pass_top(part, at)

    def _pass_string(self, part: bytes, begin: int) -> int:
        end = begin
        if self._escaped:
            self._escaped = False
            end += 1
        found = _STRING.match(part, end)
        end = found.end() if found else end
        if end < len(part):
            # The quote that ends the text, or a backslash whose character is in the next part.
            self._escaped = part[end] == ord("\\")
            self._in_string = self._escaped
            end += 1
        self._keep(part[begin:end])
        return end

    def _pass_deep(self, part: bytes, begin: int) -> int:
        end, size, depth = begin, len(part), self._depth
        while depth > _LEVELS and end < size:
            mark = part[end]
            if mark in _OPEN:
                depth += 1
            elif mark in _CLOSE:
                depth -= 1
            elif found := _DEEP.match(part, end):
                end = found.end()
                continue
            else:
                # A text that goes on in the next part.
                self._in_string = True
                break
            end += 1
        self._depth = depth
        return end + self._in_string

    def _pass_top(self, part: bytes, begin: int) -> int:
        found = _BARE.match(part, begin)
        end = found.end() if found else begin
        self._keep(part[begin:end])
        if end < len(part):
            self._step(part[end : end + 1])
        return end + 1

    def _step(self, mark: bytes) -> None:
        if self._depth < 1 and mark != b"{":
            # Not an object, so there is nothing to find.
            self._stopped = True
        elif mark == b'"':
            self._in_string = True
            self._keep(mark)
        elif mark == b":":
            self._name()
        elif mark in b"{[":
            self._depth += 1
            if self._depth <= _LEVELS:
                self._path[self._depth - 1] = None
            # Only texts and numbers are wanted.
            self._text = b""
        else:
            self._value()
            if mark in b"}]":
                self._depth -= 1
                self._stopped = self._depth < 1

    def _keep(self, text: bytes) -> None:
        if self._depth <= _LEVELS and len(self._text) <= _MAX_TEXT:
            self._text += text[: _MAX_TEXT + 1]

    def _take(self) -> Any:  # noqa: ANN401 - any JSON
        text, self._text = self._text.strip(), b""
        if len(text) > _MAX_TEXT:
            return None
        try:
            return json.loads(text.decode("utf-8", "replace"))
        except ValueError:
            return None

    def _name(self) -> None:
        name = self._take()
        if 1 <= self._depth <= _LEVELS:
            self._path[self._depth - 1] = name if isinstance(name, str) else None

    def _value(self) -> None:
        value = self._take()
        path = tuple(self._path[: self._depth])
        if value is not None and path in _WANTED:
            self.found[str(path[-1])] = value
