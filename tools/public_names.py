"""Lists what the package's users may import: python -m tools.public_names > tests/contract/public_names.txt.

A name with an underscore is private, and so is all in a folder or module that has one.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING

import bcp_analytics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def modules() -> Iterator[ModuleType]:
    yield bcp_analytics
    for found in pkgutil.walk_packages(bcp_analytics.__path__, "bcp_analytics."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield importlib.import_module(found.name)


def names() -> list[str]:
    """Return each public name once per module it can be imported from."""
    return sorted(
        f"{module.__name__}.{name}"
        for module in modules()
        for name in getattr(module, "__all__", None) or _defined(module)
    )


def _defined(module: ModuleType) -> list[str]:
    return [
        name
        for name, found in vars(module).items()
        if not name.startswith("_") and getattr(found, "__module__", None) == module.__name__
    ]


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}\n" for name in names())
