"""Takes a user out of spools, so that what is replayed does not bring them back."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bcp_analytics.collector import _folders, _format, _segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ERASED: Final = "[ERASED]"
_DELIMITED: Final = 8
_LONG: Final = 16


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
    folders = list(_folders.left_below(base))
    try:
        held = sum(path.is_dir() and not path.name.startswith(".") for path in base.iterdir())
        found.in_use = held - len(folders)
        segments = [path for folder in folders for path in folder.path.glob(f"*{_segment.SUFFIX}")]
        for path in sorted([*segments, *base.glob("*.rejected")]):
            _rewrite(path, user_id, found)
    finally:
        for folder in folders:
            folder.remove()
    return found


def _rewrite(path: Path, user_id: str, found: Erased) -> None:
    try:
        records = list(_format.scan(path.read_bytes()))
    except _format.NewerFormat:
        found.damaged += 1
        return
    without = _replacer(user_id)
    kept = [_format.header()]
    before = (found.deleted, found.changed)
    events = 0
    for record in records:
        if isinstance(record, bytes):
            # What cannot be read may be part of one of theirs, and stays for somebody to look at.
            found.damaged += 1
            kept.append(record)
            continue
        payload = record.payload
        if record.type == _format.EVENT:
            try:
                event = json.loads(payload)
            except ValueError:
                event = None
            if isinstance(event, dict) and _is_theirs(event.get("user_id"), user_id):
                found.deleted += 1
                continue
            changed = _walk(event, without)
            if changed != event:
                found.changed += 1
                payload = json.dumps(changed, separators=(",", ":")).encode("ascii")
            events += 1
        kept.append(_format.pack(record.type, record.kind, record.number, payload))
    if (found.deleted, found.changed) == before:
        return
    if events == 0:
        path.unlink()
        return
    # Whole, or not at all.
    beside = path.with_name(f".{path.name}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _segment.write(descriptor, b"".join(kept))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)


def _is_theirs(value: object, user_id: str) -> bool:
    # The same address however it is written, as the anonymiser has it.
    return value is not None and str(value).lower() == user_id.lower()


def _replacer(user_id: str) -> Callable[[str], str]:
    """Return what takes the id out of a string: the rule of bcp_internal.erasure_patterns."""
    if len(user_id) < _DELIMITED or (user_id.isdigit() and len(user_id) < _LONG):
        return lambda text: ERASED if text.lower() == user_id.lower() else text
    pattern = re.escape(user_id)
    if len(user_id) < _LONG:
        pattern = rf"(?<![\w-]){pattern}(?![\w-])"
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda text: compiled.sub(ERASED, text)


def _walk(value: Any, without: Callable[[str], str]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return without(value)
    if isinstance(value, list):
        return [_walk(one, without) for one in value]
    if isinstance(value, dict):
        return {without(key): _walk(one, without) for key, one in value.items()}
    return value
