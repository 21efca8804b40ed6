"""The arguments of the tools: their JSON Schema, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bcp_analytics._core import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

MAX_ARGUMENT = 500
"""Characters of an argument."""
_WHEN = "30m, 24h, 7d or 2w ago, today, yesterday, or ISO 8601"
TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_ARGUMENT}
SINCE: Schema = {
    "type": "string",
    "maxLength": 40,
    "description": f"Start of the range: {_WHEN}. Default yesterday, UTC.",
}
UNTIL: Schema = {"type": "string", "maxLength": 40, "description": "End of the range, likewise. Default now."}
RANGE = {"since": SINCE, "until": UNTIL}
BCP = {"bcp_name": TEXT | {"description": "Only this bundle of tools (MCP server)."}}
TOOL = {"tool_name": TEXT | {"description": "Only this tool."}}


class Problem(Exception):  # noqa: N818 - said to the agent, no fault of ours
    """An argument that cannot be taken. Its message repeats nothing that was sent."""


def limit(default: int, most: int) -> dict[str, Schema]:
    """Return the argument limit."""
    return {
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": most,
            "default": default,
            "description": "Rows.",
        }
    }


def choice(*values: str, about: str) -> Schema:
    """Return an argument that is one of these."""
    return {"type": "string", "enum": list(values), "description": about}


@dataclass(frozen=True, slots=True)
class Given:
    """Arguments that were read."""

    values: Mapping[str, Any]
    now: datetime
    since: datetime
    until: datetime
    ranged: bool
    """Whether since or until was given."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return an argument."""
        return self.values.get(name, default)

    def some(self, *names: str) -> dict[str, Any]:
        """Return those of these arguments that were given."""
        return {name: self.values[name] for name in names if name in self.values}

    @property
    def range(self) -> dict[str, Any]:
        """The range, as questions take it."""
        return {"since": self.since, "until": self.until}

    @property
    def words(self) -> str:
        """The range, as people read it."""
        begin, end = (t.strftime("%Y-%m-%d %H:%M") for t in (self.since, self.until))
        return f"from {begin} to {end} UTC"

    @property
    def query(self) -> dict[str, str]:
        """The range, as the dashboard takes it."""
        return {
            name: time.isoformat(timespec="seconds").replace("+00:00", "Z")
            for name, time in (("from", self.since), ("to", self.until))
        }


def read(
    properties: Mapping[str, Schema], required: tuple[str, ...], sent: Mapping[str, Any], now: datetime
) -> Given:
    """Check arguments by their schema and read them; raises `Problem`."""
    values: dict[str, Any] = {}
    for name, value in sent.items():
        schema = properties.get(name)
        if schema is None:
            raise Problem(
                f"There is an argument that this tool does not take. It takes {', '.join(properties)}."
            )
        if value is not None:
            values[name] = _checked(name, schema, value)
    if missing := [name for name in required if name not in values]:
        raise Problem(f"{' and '.join(missing)} must be given.")
    until = _time("until", values.get("until", "now"), now)
    since = _time("since", values["since"], now) if "since" in values else _default_since(until, now)
    if since >= until:
        raise Problem("The range is empty: since must be before until.")
    return Given(values, now, since, until, ranged=bool({"since", "until"} & set(values)))


def _checked(name: str, schema: Schema, value: Any) -> Any:  # noqa: ANN401
    if schema["type"] == "integer":
        if isinstance(value, bool) or not isinstance(value, int):
            raise Problem(f"{name} must be a whole number.")
        if not schema["minimum"] <= value <= schema["maximum"]:
            raise Problem(f"{name} must be from {schema['minimum']} to {schema['maximum']}.")
        return value
    if not isinstance(value, str):
        raise Problem(f"{name} must be text.")
    if "\0" in value:
        raise Problem(f"{name} must not hold the character NUL.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Problem(f"{name} must be text of whole characters.") from None
    if "enum" in schema and value not in schema["enum"]:
        raise Problem(f"{name} must be one of {', '.join(schema['enum'])}.")
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", MAX_ARGUMENT):
        raise Problem(f"{name} must have 1 to {schema.get('maxLength', MAX_ARGUMENT)} characters.")
    return value


def _time(name: str, text: str, now: datetime) -> datetime:
    try:
        return reading.read_time(text, UTC, lambda: now)
    except ValueError:
        raise Problem(
            f"{name} is not a time: write {_WHEN}, such as 2026-01-31 or 2026-01-31T18:00Z."
        ) from None


def _default_since(until: datetime, now: datetime) -> datetime:
    yesterday = reading.read_time("yesterday", UTC, lambda: now)
    try:
        return yesterday if yesterday < until else until - timedelta(days=1)
    except OverflowError:
        raise Problem("until is too early.") from None
