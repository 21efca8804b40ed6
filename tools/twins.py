"""Writes the twins of the SQL functions from the catalogue: python -m tools.twins.

These are `bcp_analytics/ingest.py`, the modules of `queries/` and `upkeep/`, and the lists of names in their
`__init__.py` and that of the package, each from the line `MARK` on. What stands above that line is written by
hand, and so is `tools/twins.toml`, which holds what the catalogue cannot say. A test holds the files to what
this returns.

- A function has the parameters and defaults of its SQL function, and that one's comment as its docstring.
- A row has the columns of the answer. Where the comment of the function says "share is of the calls ...", in
  a part of a sentence that begins with the name of the column, the docstring of the column is that.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import class_row

from bcp_analytics.errors import BY_SQLSTATE

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bcp_analytics"
MARK = "# Written by python -m tools.twins from here on.\n"
FACTS: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
MODULES = {path: names.split() for path, names in FACTS["modules"].items()}

TYPES = {
    "text": "str",
    "bcp.error_level_enum": "str",
    "bigint": "int",
    "integer": "int",
    "boolean": "bool",
    "double precision": "float",
    "real": "float",
    "double precision[]": "Sequence[float]",
    "bigint[]": "Sequence[int]",
    "text[]": "Sequence[str]",
    "interval": "timedelta | str",
    "jsonb": "Any",
    "timestamp with time zone": "datetime",
    "uuid": "UUID",
    "inet": "Address",
}
# Where a name of a type comes from.
SOURCES = {
    "dataclass": "dataclasses",
    "datetime": "datetime",
    "timedelta": "datetime",
    "Any": "typing",
    "Literal": "typing",
    "Sequence": "collections.abc",
    "UUID": "uuid",
    "Events": "bcp_analytics._core.encode",
    **dict.fromkeys(
        ["Address", "BreakdownColumn", "ErrorLevel", "EventId", "Id", "IssueState", "Outcome"],
        "bcp_analytics._core.arguments",
    ),
    **dict.fromkeys(
        ["Arguments", "@action", "@procedure", "@question", "@scalar", "@scalar_or_none"],
        "bcp_analytics._core.function",
    ),
}
# Of overloads, the one that takes a batch as text has the parameters, the one that takes JSON the comment.
_FUNCTIONS = """
select p.proname as name, p.prokind = 'p' as is_procedure, p.proretset as is_set,
       p.proargnames[:p.pronargs] as parameters,
       array(
           select format_type(t, null)
           from unnest(p.proargtypes::oid[]) with ordinality as a (t, n) order by n)
           as types,
       array(
           select pg_get_function_arg_default(p.oid, n) from generate_series(1, p.pronargs) as n order by n)
           as defaults,
       array(
           select array[n, format_type(t, null), said]
           from (
               select i, n, t, null from unnest(p.proargnames, p.proallargtypes, p.proargmodes)
                   with ordinality as a (n, t, mode, i)
               where mode in ('o', 't')
               union all
               select attnum, attname, atttypid, col_description(attrelid, attnum)
               from pg_type r join pg_attribute on attrelid = r.typrelid
               where r.oid = p.prorettype and attnum > 0 and not attisdropped) as c (i, n, t, said)
           order by i) as columns,
       format_type(p.prorettype, null) as kind,
       array(select grantee::regrole::text from aclexplode(p.proacl) where grantee <> p.proowner order by 1)
           as roles,
       obj_description(coalesce(j.oid, p.oid), 'pg_proc') as comment
from pg_proc p
left join pg_proc j
    on j.pronamespace = p.pronamespace and j.proname = p.proname and 'p_events' = any (j.proargnames)
where p.pronamespace = 'bcp'::regnamespace and (j.oid is null or 'p_events_text' = any (p.proargnames))
"""


@dataclass
class Function:
    """A function or procedure, as the catalogue says."""

    name: str
    is_procedure: bool
    is_set: bool
    parameters: list[str] | None
    types: list[str]
    defaults: list[Any]
    columns: list[list[str | None]]
    """Of each the name, the type and the comment."""
    kind: str
    roles: list[str]
    """Who may call it beside its owner."""
    comment: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the table says of it."""
        return FACTS.get(self.name, {})

    @property
    def row(self) -> str:
        """Name of the dataclass of its rows."""
        if not self.is_set:
            return "IngestResult"
        return self.facts.get("row", "".join(word.capitalize() for word in self.name.split("_")))


# Folders whose modules are such files, and what they export besides.
_ROOMS = {"queries": {"bcp_analytics._core.arguments": ["BreakdownColumn", "IssueState"]}, "upkeep": {}}


def functions(conn: psycopg.Connection[Any]) -> dict[str, Function]:
    with conn.cursor(row_factory=class_row(Function)) as cur:
        found = {function.name: function for function in cur.execute(_FUNCTIONS)}
    for function in found.values():
        for place, (default, kind) in enumerate(zip(function.defaults, function.types, strict=True)):
            if default is not None:
                function.defaults[place] = conn.execute(f"select ({default})::{kind}").fetchone()
    listed = [name for names in MODULES.values() for name in names]
    _check(set(listed) == set(found), "functions of the schema bcp", set(listed) ^ set(found))
    about = set(FACTS) - {"modules", "exports", "arguments", "null", "types", "columns", "IngestResult"}
    _check(about <= set(found), "functions of the schema bcp", about - set(found))
    return {name: found[name] for name in listed}


def _check(right: bool, what: str, named: set[str]) -> None:  # noqa: FBT001
    if not right:
        raise SystemExit(f"tools/twins.toml and the {what} do not agree: {', '.join(sorted(named))}")


def files(conn: psycopg.Connection[Any]) -> dict[Path, str]:
    """Return what each file is to be."""
    found = functions(conn)
    texts = {path: _module(path, [found[name] for name in names]) for path, names in MODULES.items()}
    exports = {path: _exports([found[name] for name in names]) for path, names in MODULES.items()}
    for room, besides in _ROOMS.items():
        within = {
            f"bcp_analytics.{_dotted(p)}": names for p, names in exports.items() if p.startswith(f"{room}/")
        }
        names = sorted(name for of in within.values() for name in of)
        texts[f"{room}/__init__"] = _imports(within | besides) + _all(
            [*itertools.chain(*besides.values()), *names]
        )
        exports = {p: of for p, of in exports.items() if not p.startswith(f"{room}/")} | {room: names}
    texts["__init__"] = _root({_dotted(path): names for path, names in exports.items()})
    return {
        (file := PACKAGE / f"{path}.py"): _by_hand(file) + MARK + _formatted(text)
        for path, text in texts.items()
    }


def _by_hand(file: Path) -> str:
    head, mark, _ = file.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise SystemExit(f"{file.relative_to(ROOT)} lacks the line {MARK}")
    return head


def _dotted(path: str) -> str:
    return path.replace("/", ".")


def _formatted(text: str) -> str:
    for command in ("check --select I --fix", "format"):
        text = subprocess.run(  # noqa: S603 - ruff, as make lint runs it
            [sys.executable, "-m", "ruff", *command.split(), "--stdin-filename", PACKAGE / "written.py", "-"],
            input=text,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        ).stdout
    return text


def _exports(of: list[Function]) -> list[str]:
    return sorted({function.name for function in of} | {function.row for function in of if function.columns})


def _imports(names: dict[str, list[str]]) -> str:
    return "".join(f"from {module} import {', '.join(of)}\n" for module, of in names.items())


def _all(names: list[str]) -> str:
    return f"__all__ = {sorted(names)}\n"


def _root(twins: dict[str, list[str]]) -> str:
    others = {module: names.split() for module, names in FACTS["exports"].items()}
    names = others | {m: of for m, of in twins.items() if m != "queries"}
    questions = twins["queries"]
    imports = _imports({f"bcp_analytics.{m}": of for m, of in (names | {"queries": questions}).items()})
    return (
        "from importlib import import_module\n"
        "from typing import TYPE_CHECKING\n"
        "from bcp_analytics._core.version import __version__\n"
        f"if TYPE_CHECKING:\n{textwrap.indent(imports, '    ')}\n"
        + _all(["__version__", *questions, *(name for of in names.values() for name in of)])
        + f"# Where those are that are no questions.\n_HOMES = {names}\n"
        + _LOADER
    )


# Not for type checkers, to which it would say that every name is there.
_LOADER = '''
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load what has this name: something public, or a module of it."""
        if name in {*_HOMES, "queries"}:
            return import_module(f"{__name__}.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = next((home for home, names in _HOMES.items() if name in names), "queries")
        globals()[name] = found = getattr(import_module(f"{__name__}.{home}"), name)
        return found


def __dir__() -> list[str]:
    """Return the public names, those that are not loaded too."""
    return sorted({*globals(), *__all__})
'''


def _module(path: str, of: list[Function]) -> str:
    rows: set[str] = set()
    parts = []
    for function in of:
        if function.columns and function.row not in rows:
            rows.add(function.row)
            parts.append(_row(function))
        parts.append(_twin(path, function))
    text = "\n\n".join(parts)
    code = re.sub(r'"""(.|\n)*?"""', "", text)
    used: dict[str, list[str]] = {}
    for name, module in SOURCES.items():
        if re.search(rf"(?<!\w){name}\b", code):
            used.setdefault(module, []).append(name.removeprefix("@"))
    return _imports(used) + "\n\n" + text


def _row(function: Function) -> str:
    facts = FACTS.get(function.name if function.is_set else function.row, {})
    nullable = f"{FACTS['null']['always']} {facts.get('null', '')}".split()
    lines = [
        "@dataclass(frozen=True, slots=True)",
        f"class {function.row}:",
        textwrap.indent(_quoted(facts.get("says", f"A row of the answer of `{function.name}`.")), "    "),
        "",
    ]
    columns = facts.get("columns", {})
    named = {*columns, *facts.get("null", "").split()}
    _check(named <= {name for name, _, _ in function.columns}, f"columns of {function.name}", named)
    for name, kind, comment in function.columns:
        assert name is not None
        assert kind is not None
        annotation = (FACTS["types"] | function.facts.get("types", {})).get(name, TYPES[kind])
        if annotation != "Any" and any(fnmatch(name, pattern) for pattern in nullable):
            annotation += " | None"
        lines.append(f"    {name}: {annotation}")
        said = columns.get(name) or _python(comment or _said(name, function.comment))
        if said := said or FACTS["columns"].get(name):
            lines.append(textwrap.indent(_quoted(said), "    "))
    return "\n".join(lines) + "\n"


def _said(column: str, comment: str) -> str:
    """Return what a comment says of a column: "share is of ..." from there to the end of that part."""
    found = re.search(rf"(?:^|[.;?:] ){column} (?:is |are |(?=[a-z]+s ))(.*?)(?:;|\.(?= |$))", comment)
    return found[1][0].upper() + found[1][1:] + "." if found else ""


def _twin(path: str, function: Function) -> str:
    positional, keywords = [], []
    types = FACTS["arguments"] | FACTS["arguments"].get(path, {})
    types |= function.facts.get("types", {})
    arguments = zip(function.parameters or [], function.types, function.defaults, strict=True)
    for name, kind, default in ((n.removeprefix("p_"), k, d) for n, k, d in arguments):
        argument = f"{name}: {types.get(name, TYPES[kind])}"
        if name == "events_text":
            positional.append(f"events: {types[name]}")
            continue
        if default is None and name != "batch_id":
            positional.append(argument)
            continue
        value = default[0] if default else None
        if (value is None or name in FACTS["null"]["arguments"].split()) and not argument.endswith(": Any"):
            argument += " | None"
        # An operation follows right after a tool.
        (positional if value == "call" else keywords).append(f"{argument} = {_literal(value)}")
    signature = ", ".join(positional + ["*"] * bool(keywords) + keywords)
    return (
        f"@{_decorator(function)}\n"
        f"def {function.name}({signature}) -> Arguments:\n"
        f"{textwrap.indent(_docstring(path, function), '    ')}\n"
        "    return locals()\n"
    )


def _decorator(function: Function) -> str:
    if function.is_procedure:
        return "procedure"
    if not function.columns:
        # What psycopg makes of an array.
        kind = TYPES[function.kind].replace("Sequence[", "list[")
        return f"scalar{'_or_none' * ('null' in function.facts)}({kind})"
    return f"{'question' if function.is_set else 'action'}({function.row})"


def _literal(value: Any) -> str:
    match value:
        case timedelta():
            unit = f"days={value.days}" if value.days else f"hours={value.seconds // 3600}"
            return f"timedelta({unit})"
        case list():
            return repr(tuple(_number(one) for one in value))
    return repr(_number(value))


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


_AUTOCOMMIT = """\
It commits along the way, so the connection must be in autocommit mode: raises `InvalidArgument` where it is
not."""
_OWNER = "Only the role that migrated the database may call it."


def _docstring(path: str, function: Function) -> str:
    said = [_python(function.comment)]
    if path.startswith("upkeep/") and not re.search("bcp_admin|[Oo]nly the", said[0]):
        said.append(f"For {', '.join(function.roles)}." if function.roles else _OWNER)
    text = " ".join(" ".join([*said, _AUTOCOMMIT * function.is_procedure]).split())
    title, rest = re.fullmatch(r"(.*?[.?])(?: (.*))?", text).groups()  # type: ignore[union-attr]
    about = "Arguments mean what `bcp_analytics.queries` says." if path.startswith("queries/") else None
    return _quoted(*(part for part in (title, rest, about) if part))


def _quoted(*parts: str) -> str:
    """Return a docstring of these paragraphs."""
    first, *rest = parts
    text = "\n\n".join(
        "\n".join(textwrap.wrap(part, 106, break_on_hyphens=False)) for part in (f'"""{first}', *rest)
    )
    return f'{text}"""' if len(text) < 104 else f'{text}\n"""'


def _python(text: str) -> str:
    """Return what a comment says in the words of Python."""
    words = {"true": "True", "false": "False", "null": "None"}
    text = re.sub(r"\bp_(\w+) => (\w+)", lambda m: f"{m[1]}={words.get(m[2], m[2])}", text)
    text = re.sub(r"\bp_(\w+) => '(.*?)'", r'\1="\2"', text)
    text = re.sub(r"\bp_(\w+)", r"`\1`", text)
    text = re.sub(r"\ba null (\w+)", r"\1=None", text)
    text = re.sub(r"\bnull\b", "None", text)
    for name in (name for names in MODULES.values() for name in names):
        text = re.sub(rf"\bbcp\.{name}(\(\)|\b(?!\())", f"`{name}`", text).replace(f"bcp.{name}(", f"{name}(")
    text = re.sub(r"(^|\. )ZB", r"\1Raises ZB", text)
    return re.sub(r"\bZB\w{3}\b", lambda m: f"`{BY_SQLSTATE[m[0]].__name__}`", text)


def main() -> None:
    from tests.targets import MAKERS  # noqa: PLC0415

    server = MAKERS["embedded"]()
    try:
        server.start()
        with psycopg.connect(server.shared()) as conn:
            for file, text in files(conn).items():
                file.write_text(text, encoding="utf-8")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
