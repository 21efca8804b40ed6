"""The questions as HTTP asks them: what each takes and answers, read from the functions themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from inspect import Parameter, getdoc, signature
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from bcp_analytics._core import reading
from bcp_analytics.queries import _alerts, _calls, _errors, _intents, _report, _sessions, _tools, _usage
from bcp_analytics.queries._questions import QUESTIONS
from bcp_analytics.serve._errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.datastructures import QueryParams

Schema = dict[str, Any]

# The modules that hold the names of the types in the signatures.
_NAMES = {
    name: value
    for module in (_alerts, _calls, _errors, _intents, _report, _sessions, _tools, _usage)
    for name, value in vars(module).items()
}
_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    UUID: {"type": "string", "format": "uuid"},
    Any: {},
}
# Calls may lack them, and an empty text asks for those that do.
_OFTEN_LACKED = {"user_id", "session_id", "client_name", "client_version", "client_model", "release"}
TIME_TEXT = "ISO 8601, in UTC where it names no zone; or 30m, 24h, 7d, 2w ago, today, yesterday, now."


def _parts(annotation: Any) -> list[Any]:  # noqa: ANN401
    """Return the types that an annotation allows, without None."""
    if get_origin(annotation) in {UnionType, Union}:
        return [one for one in get_args(annotation) if one is not type(None)]
    return [annotation]


def schema_of(annotation: Any) -> Schema:  # noqa: ANN401
    """Return the JSON Schema of a type of a row's column."""
    nullable = type(None) in get_args(annotation)
    [kind] = _parts(annotation)
    if get_origin(kind) is Literal:
        found: Schema = {"type": "string", "enum": list(get_args(kind))}
    else:
        found = dict(_PLAIN[kind])
    if nullable and "type" in found:
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    return found


def _one_of(values: tuple[str, ...]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in values:
            raise ValueError(f"it is one of {', '.join(values)}.")
        return value

    return read


def _boolean(value: str) -> bool:
    if value not in {"true", "false"}:
        raise ValueError("it is true or false.")
    return value == "true"


def _of(kind: type[Any], what: str) -> Callable[[str], Any]:
    def read(value: str) -> Any:  # noqa: ANN401
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"it is not {what}.") from None

    return read


def _integer(value: str) -> int:
    number: int = _of(int, "a whole number")(value)
    # PostgreSQL's integer, which is what the questions take.
    if not -(2**31) <= number < 2**31:
        raise ValueError("it is too large.")
    return number


def _document(value: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON.") from None


class Argument:
    """One parameter of a question: how its text in a URL is read, and its JSON Schema."""

    def __init__(self, parameter: Parameter) -> None:
        """Read it from the parameter of a Python function."""
        self.name = parameter.name
        self.default = parameter.default
        self.required = parameter.default is Parameter.empty
        annotation = eval(str(parameter.annotation), dict(_NAMES))  # noqa: S307 - of our own source
        kinds = _parts(annotation)
        self.is_time = kinds == [datetime]
        self.read: Callable[[str], Any] = str
        self.schema: Schema = {"type": "string"}
        if self.is_time:
            self.schema = {"type": "string", "description": TIME_TEXT}
        elif kinds == [str] and parameter.name in _OFTEN_LACKED:
            self.schema = {"type": "string", "description": "Empty for what names none."}
        elif parameter.name == "interval":
            self.read = reading.read_interval
            self.schema = {"type": "string", "description": "15m, 1h, 1d, 1w, 1mo, or none for one row each."}
        elif get_origin(kinds[0]) is Literal:
            values = get_args(kinds[0])
            self.read = _one_of(values)
            self.schema = {"type": "string", "enum": list(values)}
        elif get_args(kinds[0]) == (float,):
            self.read = reading.read_numbers
            self.schema = {"type": "array", "items": {"type": "number"}}
        elif get_args(kinds[0]):
            values = get_args(get_args(kinds[0])[0])
            self.read = lambda value: [_one_of(values)(one) for one in value.split(",")]
            self.schema = {"type": "array", "items": {"type": "string", "enum": list(values)}}
        elif kinds == [bool]:
            self.read = _boolean
            self.schema = {"type": "boolean"}
        elif kinds == [Any]:
            self.read = _document
            self.schema = {"type": "string", "contentMediaType": "application/json"}
        elif kinds in ([int], [float], [UUID]):
            self.read = {int: _integer, float: _of(float, "a number"), UUID: _of(UUID, "a UUID")}[kinds[0]]
            self.schema = dict(_PLAIN[kinds[0]])


class Question:
    """A question: its function, its arguments, and its rows."""

    def __init__(self, name: str) -> None:
        """Read it from the function of that name."""
        self.name = name
        self.ask, self.row = QUESTIONS[name]
        own = [p for p in signature(self.ask).parameters.values() if p.name != "conn"]
        self.arguments = {parameter.name: Argument(parameter) for parameter in own}
        self.text = getdoc(self.ask) or ""
        self.columns = {column: schema_of(kind) for column, kind in get_type_hints(self.row).items()}

    def given(self, query: QueryParams, now: Callable[[], datetime]) -> Mapping[str, Any]:
        """Return the arguments that a URL gives; raises `Refused` where one is unknown or cannot be read."""
        given: dict[str, Any] = {}
        for name, value in query.multi_items():
            argument = self.arguments.get(name)
            if argument is None:
                raise Refused(
                    400,
                    f"{self.name} takes no parameter of that name.",
                    hint=f"It takes {', '.join([*self.arguments, 'format', 'spreadsheet'])}.",
                )
            if name in given:
                raise Refused(
                    400, f"{name} is given twice.", hint="Write more values with commas between them."
                )
            try:
                given[name] = reading.read_time(value, UTC, now) if argument.is_time else argument.read(value)
            except (ValueError, OverflowError) as error:
                raise Refused(400, f"{name} cannot be read: {error}") from None
        if missing := [a.name for a in self.arguments.values() if a.required and a.name not in given]:
            raise Refused(400, f"{self.name} needs {' and '.join(missing)}.")
        return given


ALL = {name: Question(name) for name in QUESTIONS}
"""By their names."""
