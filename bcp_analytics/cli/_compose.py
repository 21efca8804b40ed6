"""The command `bcp-analytics compose`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from bcp_analytics.cli._support import counted, tell
from bcp_analytics.errors import BcpAnalyticsError

_COMPOSE = "docker-compose.yml"


def compose(
    folder: Annotated[Path, typer.Argument(help="The folder to write to; it is made where it is missing.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace files that were changed since.")] = False,
) -> None:
    """Write a Docker Compose file for a TimescaleDB into a folder; Grafana, server and S3 store on request.

    Nothing is started. A file that is there and differs is left alone, and so are all others, unless --force
    is given.

    \b
    bcp-analytics compose analytics
    cd analytics
    mkdir -p secrets && (umask 077 && openssl rand -base64 24 > secrets/postgres_password)
    docker compose up --detach --wait
    """  # noqa: D301
    source = _source()
    names = [Path(_COMPOSE), *(p.relative_to(source) for p in sorted((source / "grafana").rglob("*.*")))]
    try:
        written = _write(source, folder, names, force=force)
    except OSError as error:
        raise BcpAnalyticsError(
            f"{error.filename or folder} cannot be written: {error.strerror}.",
            hint="Name a folder that is yours.",
        ) from error
    tell(f"{counted(written, 'file')} written to {folder}.")
    tell(f"How to go on stands at the top of {folder / _COMPOSE}.")


def _write(source: Path, folder: Path, names: list[Path], *, force: bool) -> int:
    """Write the files that are missing or differ, and return how many. Raises `OSError`."""
    new = [name for name in names if not (folder / name).exists()]
    changed = [
        name
        for name in names
        if name not in new and (folder / name).read_bytes() != (source / name).read_bytes()
    ]
    if changed and not force:
        raise BcpAnalyticsError(
            f"{folder / changed[0]} is there and differs; nothing was written.",
            hint="Name another folder, or give --force to replace it.",
        )
    for name in new + changed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((source / name).read_bytes())
    return len(new + changed)


def _source() -> Path:
    """Return the folder of the files: in a wheel inside of the package, in a checkout above it."""
    package = Path(str(files("bcp_analytics")))
    for folder in (package / "compose", package.parent):
        if (folder / _COMPOSE).is_file():
            return folder
    raise BcpAnalyticsError(
        f"{_COMPOSE} is not in the package bcp_analytics in {package}.",
        hint="The installation is incomplete: install the package again.",
    )
