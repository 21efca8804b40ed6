"""The commands `bcp-analytics spool list`, `spool resend` and `spool erase`."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bcp_analytics.cli._erase import GivenId, read_user_id
from bcp_analytics.cli._support import Dsn, counted, readable_dsn, say, tell
from bcp_analytics.collector import Collector
from bcp_analytics.collector.spool import _erase, _folders, _format, _own, _segment
from bcp_analytics.errors import BcpAnalyticsError

app = typer.Typer(no_args_is_help=True, help="See and send what collectors have kept on disk.")

Folder = Annotated[
    Path | None,
    typer.Option("--spool", help="Folder of spools. By default that of this user.", show_default=False),
]


@app.command("list")
def list_(spool: Folder = None) -> None:
    """Say for each source how many events are on disk: waiting, refused by the database, or damaged.

    It skips links, and what another user owns or may write to.

    \b
    bcp-analytics spool list
    bcp-analytics spool list --spool /var/spool/my-app
    """  # noqa: D301
    root = spool or _folders.default_root()
    sources = _sources(root)
    found = {base.name: _counts(base) for base in sources}
    for base in sources:
        if others := _folders.refused_below(base):
            say(f"{base.name}: {counted(len(others), 'folder')} not of this user alone, or a link: skipped")
    for name, (waiting, refused, damaged) in found.items():
        if waiting or refused or damaged:
            places = counted(damaged, "damaged place")
            tell(f"{name}: {counted(waiting, 'event')} waiting, {refused} refused, {places}")
    if not any(map(any, found.values())):
        tell(f"Nothing waits in {root}.")


@app.command()
def resend(
    source: Annotated[str, typer.Argument(help="As spool list names it.")],
    *,
    dsn: Dsn = None,
    spool: Folder = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds that it may take.")] = 3600,
) -> None:
    """Send what a source's collectors left on disk, and what the database refused, once more.

    Run this once the cause is mended. Events that the database knows already become duplicates, and those
    that it refuses again are kept again. Programs that still run send their own spools.

    \b
    bcp-analytics spool resend mail-server
    bcp-analytics spool resend mail-server --dsn service=bcp --timeout 60
    """  # noqa: D301
    root = spool or _folders.default_root()
    base = root / source
    if base not in _sources(root):
        raise BcpAnalyticsError(
            f"There is no spool of {source!r} in {root}.",
            hint="bcp-analytics spool list names those there are.",
        )
    if not _own.is_folder(base):
        raise BcpAnalyticsError(
            f"{base} is a link, or others own it or may write to it.",
            hint="Run this as its owner, or take the others' right away with chmod go-w.",
        )
    where = readable_dsn(dsn)
    if refused := sorted(path for path in base.glob("*.rejected") if _is_own(path)):
        # They have the format of segments: a collector takes them over from a folder that nobody holds.
        folder = _folders.make(base)
        for number, path in enumerate(refused, time.time_ns()):
            path.rename(folder.path / f"{number:020d}{_segment.SUFFIX}")
        folder.release()
    collector = Collector(where, source=source, spool=root, at_spool_limit="block")
    collector.close(timeout_s)
    s = collector.stats()
    tell(f"{s.stored} stored, {s.duplicates} known already, {s.rejected} rejected.")
    if s.damaged:
        say(f"{counted(s.damaged, 'damaged place')} could not be sent; {base} keeps what was whole of them.")
    if left := s.spooled + _refused(base):
        raise BcpAnalyticsError(
            f"Still on disk: {counted(left, 'event')} ({s.last_error or 'the time was over'}).",
            hint="bcp-analytics status says whether the store is ready.",
        )


@app.command()
def erase(given: GivenId = None, *, spool: Folder = None) -> None:
    """Take a user out of what collectors left on disk, so that sending it does not bring them back.

    Reads the id from standard input, as the application sends it, and needs no database. Their events go, and
    what names them in others is replaced, by the rule that bcp-analytics erase-user follows in the database:
    run this before it, on every machine with a spool. The spools of programs that run are not touched: stop
    them first.

    \b
    printf '%s' "$ID" | bcp-analytics spool erase
    printf '%s' "$ID" | bcp-analytics spool erase --spool /var/spool/my-app
    """  # noqa: D301
    root = spool or _folders.default_root()
    user_id = read_user_id(given, "spool erase")
    in_use = damaged = 0
    for base in _sources(root):
        found = _erase.erase(base, user_id)
        in_use += found.in_use
        damaged += found.damaged
        tell(f"{base.name}: {counted(found.deleted, 'event')} deleted, {found.changed} changed")
    if in_use or damaged:
        raise BcpAnalyticsError(
            f"Not looked at: {counted(in_use, 'spool')} in use and {counted(damaged, 'damaged place')}.",
            hint="Stop the programs and run it again; delete files that end in .corrupt by hand.",
        )


def _is_own(path: Path) -> bool:
    with suppress(OSError):
        _own.read_file(path)
        return True
    return False


def _sources(root: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in root.iterdir() if path.is_dir())
    return []


def _counts(base: Path) -> tuple[int, int, int]:
    """Return events that wait, events that were refused, and places that were damaged."""
    if not _own.is_folder(base):
        return 0, 0, 0
    folders = filter(_own.is_folder, base.iterdir())
    waiting = sum(_events(path) for folder in folders for path in folder.glob(f"*{_segment.SUFFIX}"))
    return waiting, _refused(base), len(list(base.glob("*.corrupt")))


def _refused(base: Path) -> int:
    return sum(map(_events, base.glob("*.rejected")))


def _events(path: Path) -> int:
    """Return the events of a file that wait to be sent; none of one that is gone or of a later version."""
    with suppress(OSError, _format.NewerFormat):
        return _format.read(_own.read_file(path)).events
    return 0
