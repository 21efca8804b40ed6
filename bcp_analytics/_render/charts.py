"""Small charts of characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:#"
_ACROSS = " ▏▎▍▌▋▊▉█"


def columns(values: Sequence[float], height: int, *, plain: bool, style: str = "") -> Text:
    """Return a chart with one column per value, from 0 to the largest, `height` lines high.

    `plain` keeps to ASCII. A value above 0 shows, however small.
    """
    marks = _ASCII if plain else _EIGHTHS
    steps = len(marks) - 1
    top = max(values, default=0) or 1
    levels = [max(1, round(value / top * height * steps)) if value > 0 else 0 for value in values]
    lines = (
        "".join(marks[min(max(level - line * steps, 0), steps)] for level in levels)
        for line in reversed(range(height))
    )
    return Text("\n".join(lines), style=style, no_wrap=True)


def bar(share: float, width: int, *, plain: bool, style: str = "") -> Text:
    """Return a bar of `share`, from 0 to 1, of `width` characters; a share above 0 shows, however small."""
    marks = " #" if plain else _ACROSS
    steps = len(marks) - 1
    level = max(1, round(share * width * steps)) if share > 0 else 0
    full, rest = divmod(min(level, width * steps), steps)
    return Text(marks[-1] * full + (marks[rest] if rest else ""), style=style, no_wrap=True)


def scale(labels: dict[int, str], width: int) -> Text:
    """Return a line of `width` characters with each label at its place, as far as it fits."""
    line = " " * width
    for place, label in labels.items():
        begin = max(0, min(place, width - len(label)))
        if line[max(0, begin - 1) : begin + len(label) + 1].strip():
            continue
        line = line[:begin] + label + line[begin + len(label) :]
    return Text(line, style="dim", no_wrap=True)
