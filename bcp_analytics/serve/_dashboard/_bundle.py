"""Joins the dashboard's modules into one file, so that a browser needs one request for them.

Each module becomes a function that runs once and returns what it exports, in the order in which they need
each other. It knows the forms of import and export that the modules use, and raises for any other: users need
no build step, and what runs is what the files say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = r"\{([^{}]*)\}"
# A statement begins a line, or follows another one.
_BEGIN = r"(?m)(?:^|(?<=[;}]))"
_FROM = r"""\s*from\s*['"]([^'"]+)['"];?"""
_IMPORT = re.compile(_BEGIN + r"import\s*(?:([A-Za-z_$][\w$]*)|" + _NAMES + ")" + _FROM)
_PASS_ON = re.compile(_BEGIN + r"export\s*" + _NAMES + _FROM)
_LIST = re.compile(_BEGIN + r"export\s*" + _NAMES + ";?")
_DEFAULT = re.compile(_BEGIN + r"export default function\b")
_DECLARED = re.compile(r"(?m)^export (?=(?:async )?(?:function\*?|const|class) ([A-Za-z_$][\w$]*))")
# Of comments that name a map of the source, which is not there.
_MAP = re.compile(r"//# sourceMappingURL=\S+")
_LEFT = re.compile(_BEGIN + r"(?:import|export)\b[^(]")


class UnknownFormError(Exception):
    """A module imports or exports in a way that is not known here, or a circle of modules."""


def _pairs(names: str) -> list[tuple[str, str]]:
    """Return what `a, b as c` names, as (a, a) and (b, c)."""
    found = []
    for part in filter(None, (part.strip() for part in names.split(","))):
        name, _, other = part.partition(" as ")
        found.append((name.strip(), (other or name).strip()))
    return found


def _read(name: str, text: str, number: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a module as a function, and the modules that it needs."""
    needs: list[str] = []
    exports: list[str] = []

    def take(module: str) -> str:
        if module not in number:
            raise UnknownFormError(f"{name} imports {module}, which is not there")
        needs.append(module)
        return number[module]

    def imported(found: re.Match[str]) -> str:
        default, names, module = found.groups()
        members = f"default: {default}" if default else ", ".join(f"{a}: {b}" for a, b in _pairs(names))
        return f"const {{{members}}} = {take(module)};"

    def passed_on(found: re.Match[str]) -> str:
        names, module = found.groups()
        variable = take(module)
        exports.extend(f"{b}: {variable}.{a}" for a, b in _pairs(names))
        return ""

    def listed(found: re.Match[str]) -> str:
        exports.extend(f"{b}: {a}" for a, b in _pairs(found[1]))
        return ""

    def declared(found: re.Match[str]) -> str:
        exports.append(found[1])
        return ""

    def default(_: re.Match[str]) -> str:
        exports.append("default: $default")
        return "const $default = function"

    text = _MAP.sub("", text)
    text = _IMPORT.sub(imported, text)
    text = _PASS_ON.sub(passed_on, text)
    text = _LIST.sub(listed, text)
    text = _DEFAULT.sub(default, text)
    text = _DECLARED.sub(declared, text)
    if left := _LEFT.search(text):
        raise UnknownFormError(f"{name}: {text[left.start() : left.start() + 80]!r}")
    body = f"const {number[name]} = (() => {{\n{text.strip()}\nreturn {{ {', '.join(exports)} }}\n}})()\n"
    return body, needs


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """Return the text of one module that is `entry` and all that it imports, of `modules` by their names."""
    number = {name: f"$m{i}" for i, name in enumerate(sorted(modules))}
    done: list[str] = []
    written: dict[str, str] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise UnknownFormError(f"a circle: {' > '.join((*above, name))}")
        if name in written:
            return
        body, needs = _read(name, modules[name], number)
        for needed in needs:
            add(needed, (*above, name))
        written[name] = body
        done.append(name)

    add(entry, ())
    return "".join(written[name] for name in done)
