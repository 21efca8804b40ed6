"""Answers as a table for people, as JSON or as CSV for programs.

The last two hold what Python holds: times in ISO 8601 in UTC, durations in milliseconds, null or an empty
field where there is nothing. The table rounds, and writes units. None of them has a character in it that a
terminal might obey: `visible` says which those are.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, tzinfo
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from bcp_analytics._render.visible import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SPACE = 3  # what the box puts between two columns
_NARROWEST_TEXT = 12  # columns that text can be folded into
# What a spreadsheet takes for a formula, in full width too, or cuts off before it looks for one.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "error": "red", "fatal": "bold red"}


def to_json(rows: Sequence[Any]) -> str:
    """Return rows, dataclasses or dictionaries, as a JSON array of objects, one per line."""
    return json_objects({k: _plain(v) for k, v in _fields(row).items()} for row in rows)


def _fields(row: Any) -> dict[str, Any]:  # noqa: ANN401
    return row if isinstance(row, dict) else asdict(row)


def json_objects(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows as a JSON array of objects, one per line."""
    lines = [visible_json(json.dumps(row, ensure_ascii=False)) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def to_csv(rows: Sequence[Any], kind: type[Any], *, spreadsheet: bool = False) -> str:
    """Return rows of the dataclass `kind` as CSV by RFC 4180, names first; no value is an empty field.

    `spreadsheet`: as `csv_rows` has it.
    """
    names = [field.name for field in fields(kind)]
    cells = ([_cell(v) for v in asdict(row).values()] for row in rows)
    return csv_rows(names, cells, spreadsheet=spreadsheet)


def dicts_to_csv(rows: Sequence[dict[str, Any]], *, spreadsheet: bool = False) -> str:
    """Do the same for dictionaries of the same names; nothing at all where there are none."""
    cells = ([_cell(v) for v in row.values()] for row in rows)
    return csv_rows(list(rows[0]), cells, spreadsheet=spreadsheet) if rows else ""


def csv_rows(names: Sequence[str], rows: Iterable[Sequence[Any]], *, spreadsheet: bool = False) -> str:
    """Return rows as CSV by RFC 4180, names first; None is an empty field.

    `spreadsheet`: text that a spreadsheet would take for a formula gets an apostrophe before it. Numbers stay
    numbers.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    for row in chain([names], rows):
        writer.writerow([_csv_field(value, spreadsheet=spreadsheet) for value in row])
    return out.getvalue()


def _csv_field(value: Any, *, spreadsheet: bool) -> Any:  # noqa: ANN401
    if not isinstance(value, str):
        return "" if value is None else value
    shown = visible(value)
    return f"'{shown}" if spreadsheet and value.startswith(_FORMULA) else shown


def to_table(
    rows: Sequence[Any],
    kind: type[Any] | Sequence[str],
    *,
    zone: tzinfo = UTC,
    title: str | None = None,
    width: int | None = None,
) -> tuple[Table, list[str]]:
    """Return rows of the dataclass `kind` as a table, times in `zone`, and the names it has no room for.

    `kind` may be the names of its fields to show instead. `width` is how many characters there are, None for
    as many as it takes. Where it is too little, text and headings are folded, and then columns of numbers
    left out from the right.
    """
    names = [field.name for field in fields(kind)] if isinstance(kind, type) else kind
    columns = [_column(name, rows, zone) for name in names]
    hidden: list[str] = []
    while width is not None and len(columns) > 1 and _room(columns, width) < 0:
        last = max((i for i, c in enumerate(columns) if not c.is_text), default=len(columns) - 1)
        hidden.insert(0, columns.pop(last).name)
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    for column, wide in zip(columns, _widths(columns, width), strict=True):
        table.add_column(
            column.heading, justify="left" if column.is_text else "right", overflow="fold", width=wide
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table, hidden


def to_cells(rows: Sequence[Any], names: Sequence[str], *, zone: tzinfo = UTC) -> list[Cells]:
    """Return the named columns of rows as the table has them, for other ways of showing them."""
    columns = [_column(name, rows, zone) for name in names]
    return [Cells(c.name, c.heading, [str(cell) for cell in c.cells], c.is_text) for c in columns]


def _room(columns: list[_Column], width: int) -> int:
    """Return how many characters are left where every column is as narrow as it can be."""
    return width - sum(c.narrowest for c in columns) - _SPACE * (len(columns) - 1)


def _widths(columns: list[_Column], width: int | None) -> list[int]:
    """Return how wide each column is: the room there is goes to text first, then to headings."""
    if width is None:
        return [column.widest for column in columns]
    widths = [column.narrowest for column in columns]
    room = max(_room(columns, width), 0)
    for i in sorted(range(len(columns)), key=lambda i: not columns[i].is_text):
        more = min(room, columns[i].widest - widths[i])
        widths[i] += more
        room -= more
    return widths


def duration(milliseconds: float) -> str:
    """Return a duration with the unit that suits it: 0.42 ms, 840 ms, 1.24 s, 2 min 05 s, 3 h 20 min."""
    if milliseconds < 999.5:  # noqa: PLR2004 - what would be rounded to 1000
        return f"{_significant(milliseconds)} ms"
    seconds = milliseconds / 1000
    if seconds < 59.95:  # noqa: PLR2004 - what would be rounded to 60.0
        return f"{_significant(seconds)} s"
    whole = round(seconds)
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def size(count: float) -> str:
    """Return a number of bytes with the unit that suits it, in powers of 1000: 512 B, 1.5 kB, 24 MB."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if count < 999.5:  # noqa: PLR2004
            break
        count, unit = count / 1000, larger
    return f"{_significant(count) if unit != 'B' else round(count)} {unit}"


def percent(share: float) -> str:
    """Return a share from 0 to 1 in per cent; 100 % and 0 % only where it is that."""
    rounded = f"{share * 100:.1f}"
    if (rounded == "100.0" and share < 1) or (rounded == "0.0" and share > 0):
        return "> 99.9 %" if share > 0.5 else "< 0.1 %"  # noqa: PLR2004
    return f"{rounded} %"


@dataclass(frozen=True, slots=True)
class Cells:
    """A column of a table: its heading, and its cells as text with units."""

    name: str
    heading: str
    cells: list[str]
    is_text: bool


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    heading: str
    cells: list[Text]
    is_text: bool

    @property
    def narrowest(self) -> int:
        words = max(map(len, self.heading.split()))
        cells = max(map(cell_len, map(str, self.cells)), default=0)
        return max(words, min(cells, _NARROWEST_TEXT) if self.is_text else cells)

    @property
    def widest(self) -> int:
        return max(len(self.heading), max(map(cell_len, map(str, self.cells)), default=0))


def _column(name: str, rows: Sequence[Any], zone: tzinfo) -> _Column:
    values = [getattr(row, name) for row in rows]
    heading, show = _look(name, values, zone)
    cells = [Text("-", "dim") if v is None else _text(show(v), v) for v in values]
    return _Column(name, heading, cells, is_text=any(isinstance(v, str | dict | list | UUID) for v in values))


def _text(shown: str, value: Any) -> Text:  # noqa: ANN401
    return Text(visible(shown), _STYLES.get(value, "") if isinstance(value, str) else "")


def _look(name: str, values: list[Any], zone: tzinfo) -> tuple[str, Callable[[Any], str]]:
    """Return a column's heading, and how its values are shown."""
    heading = name.replace("_", " ")
    if name.endswith("_ms"):
        short = heading.removesuffix(" ms")
        return short.removesuffix(" duration") or short, duration
    if name.endswith("_bytes"):
        return heading.removesuffix(" bytes"), size
    if name.endswith("_rate") or name == "share":
        return heading, percent
    if name == "percentile":
        return heading, lambda p: f"p{p * 100:.6g}"
    times = [v.astimezone(zone) for v in values if isinstance(v, datetime)]
    if times:
        return f"{heading} ({_zone_name(zone)})", lambda v: format(v.astimezone(zone), _time_format(times))
    return heading, lambda v: _number(name, v) if isinstance(v, int | float) else str(_cell(v))


def _number(name: str, value: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return _significant(value) if "_per_" in name else f"{value:,.6g}"


def _time_format(times: list[datetime]) -> str:
    if all((t.hour, t.minute, t.second, t.microsecond) == (0, 0, 0, 0) for t in times):
        return "%Y-%m-%d"
    if all((t.second, t.microsecond) == (0, 0) for t in times):
        return "%Y-%m-%d %H:%M"
    return "%Y-%m-%d %H:%M:%S"


def _zone_name(zone: tzinfo) -> str:
    return str(getattr(zone, "key", None) or zone.tzname(None) or zone)


def _significant(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    if value == 0:
        return "0"
    value = float(f"{value:.3g}")  # round first: 0.9996 has more digits behind the point than 1.00
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 3)}f}"


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value


def _cell(value: Any) -> Any:  # noqa: ANN401
    """Return a value for a field of text: JSON as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else _plain(value)
