"""Takes a user out of spools, so that what is replayed does not bring them back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bcp_analytics.collector.capture._events import METRICS
from bcp_analytics.collector.spool import _folders, _format, _segment
from bcp_analytics.collector.spool._mentions import Mentions, read, session_of, user_of, write

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Erased:
    """Events deleted and changed; folders of programs that run, and damaged files, which stay as they are."""

    deleted: int = 0
    changed: int = 0
    in_use: int = 0
    damaged: int = 0


def erase(base: Path, user_id: str) -> Erased:
    """Take a user out of what collectors of a source left and what was refused. Raises `OSError`."""
    found = Erased(damaged=len(list(base.glob("*.corrupt"))))
    person = Mentions(user_id)
    folders = list(_folders.left_below(base))
    try:
        held = sum(path.is_dir() and not path.name.startswith(".") for path in base.iterdir())
        found.in_use = held - len(folders)
        segments = [path for folder in folders for path in folder.path.glob(f"*{_segment.SUFFIX}")]
        paths = sorted([*segments, *base.glob("*.rejected")])
        sessions = _own_sessions(paths, person)
        for path in paths:
            _rewrite(path, person, sessions, found)
    finally:
        for folder in folders:
            folder.remove()
    return found


def _own_sessions(paths: list[Path], person: Mentions) -> set[str]:
    """Return the sessions in which nobody else is, as far as the spool knows: bcp_internal.sessions_of."""
    own: set[str] = set()
    others: set[str] = set()
    for path in paths:
        for record in _records(path) or []:
            event = _event(record)
            if event is not None and (session := session_of(event)) and user_of(event) is not None:
                (own if person.is_own(event) else others).add(session)
    return own - others


def _rewrite(path: Path, person: Mentions, sessions: set[str], found: Erased) -> None:
    records = _records(path)
    if records is None:
        found.damaged += 1
        return
    kept = [_format.header()]
    before = (found.deleted, found.changed)
    events = 0
    for record in records:
        if isinstance(record, bytes):
            # Damaged bytes may be part of an event of theirs; they stay for somebody to look at.
            found.damaged += 1
            kept.append(record)
            continue
        payload = record.payload
        if record.type == _format.EVENT:
            event = _event(record)
            if event is None:
                found.damaged += 1
            elif person.is_own(event) or (
                record.kind != METRICS and user_of(event) is None and session_of(event) in sessions
            ):
                found.deleted += 1
                continue
            else:
                payload = _without(person, event, payload)
                found.changed += payload != record.payload
            events += 1
        kept.append(_format.pack(record.type, record.kind, record.number, payload))
    if (found.deleted, found.changed) == before:
        return
    if events == 0:
        path.unlink()
        return
    # Replace the file whole, or not at all.
    beside = path.with_name(f".{path.name}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _segment.write(descriptor, b"".join(kept))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)


def _records(path: Path) -> list[_format.Record | bytes] | None:
    """Return the records of a file and its damaged places; None where a later version wrote it."""
    try:
        return list(_format.scan(path.read_bytes()))
    except _format.NewerFormat:
        return None


def _event(record: _format.Record | bytes) -> dict[str, Any] | None:
    """Return the event of a record; None where it has none that can be read."""
    if isinstance(record, bytes) or record.type != _format.EVENT:
        return None
    try:
        event = read(record.payload.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _without(person: Mentions, event: dict[str, Any], payload: bytes) -> bytes:
    without = person.without(event)
    if without == event and not person.is_in(payload.decode("utf-8", "surrogateescape")):
        return payload
    return write(without, ascii_only=True, spaces=False).encode("ascii")
