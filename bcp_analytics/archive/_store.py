"""Where the files are: a folder, or a bucket of an S3-compatible store."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from bcp_analytics.archive._model import LOCATION_VARIABLE
from bcp_analytics.errors import ArchiveError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parts under way at once, and their size: these bound the memory of an upload, whatever the size of the file.
_PART_BYTES = 8 * 1024 * 1024
_PARTS = 3
_READ_BYTES = 8 * 1024 * 1024
_RETRIES: Any = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
_SHORTEST_SECRET = 8  # shorter ones are words that any message may contain
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")


def location_url(location: str | os.PathLike[str] | None) -> str:
    """Return a location, by default the environment's, as the URL that the manifest keeps.

    Raises `InvalidArgument` where there is none, or it is none that can be used.
    """
    given = os.fspath(location) if location is not None else os.environ.get(LOCATION_VARIABLE, "")
    if not given:
        raise InvalidArgument(
            "No location is named for the archives.",
            hint=f"Give a folder or s3://bucket/prefix, or set {LOCATION_VARIABLE}.",
        )
    if "://" not in given:
        return Path(given).expanduser().resolve().as_uri()
    try:
        parts = urlsplit(given)
        has_more = bool(parts.query or parts.fragment or parts.port)
    except ValueError:
        raise InvalidArgument(
            "The location of the archives cannot be read.", hint="Write it as s3://bucket/prefix."
        ) from None
    if "@" in parts.netloc:
        raise InvalidArgument(
            "The location of the archives has a user or a password in it, and would be kept in the manifest.",
            hint="Leave them out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and not has_more:
        return Path(unquote(parts.path)).resolve().as_uri()
    if parts.scheme == "s3" and parts.netloc and not has_more:
        return f"s3://{parts.netloc}{parts.path.rstrip('/')}"
    raise InvalidArgument(
        f"The location of the archives is of a kind that is not known: {parts.scheme}://...",
        hint="Write a folder, file:///folder or s3://bucket/prefix; AWS_ENDPOINT_URL names another store "
        "that speaks S3.",
    )


class Store:
    """A location, opened."""

    def __init__(self, url: str, *, make: bool = False) -> None:
        """Open a location of `location_url`; nothing is sent yet. `make` makes a folder that is not there."""
        self.url = url
        parts = urlsplit(url)
        self.folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._store: LocalStore | S3Store
        with self._told("open", ""):
            if self.folder is not None:
                # Never make it when reading: a folder that is not mounted here would look like an empty one.
                if not make and not self.folder.is_dir():
                    raise FileNotFoundError
                self._store = LocalStore(self.folder, mkdir=make)
            else:
                self._store = S3Store.from_url(url, client_options=s3_client_options(), retry_config=_RETRIES)

    def uri(self, path: str) -> str:
        """Return where a file is, as other programs name it."""
        return str(self.folder / path) if self.folder is not None else f"{self.url}/{path}"

    def put(self, path: str, content: IO[bytes] | bytes) -> None:
        """Write a file, so that it survives a power cut."""
        with self._told("write", path):
            if isinstance(content, bytes):
                obstore.put(self._store, path, content, use_multipart=False)
            else:
                content.seek(0)
                obstore.put(self._store, path, content, chunk_size=_PART_BYTES, max_concurrency=_PARTS)
        if self.folder is not None:
            _sync(self.folder, path)

    def read(self, path: str, into: IO[bytes]) -> str:
        """Copy a file into another, and return its SHA-256 in hexadecimal."""
        digest = sha256()
        with self._told("read", path):
            size = obstore.head(self._store, path)["size"]
            # One request per part: a large file might take longer than a request may.
            for start in range(0, size, _READ_BYTES):
                part = memoryview(
                    obstore.get_range(self._store, path, start=start, end=min(start + _READ_BYTES, size))
                )
                digest.update(part)
                into.write(part)
        into.flush()
        into.seek(0)
        return digest.hexdigest()

    def names(self, suffix: str) -> list[str]:
        """Return the paths of all files whose name ends so, in order."""
        with self._told("list", ""):
            return sorted(
                item["path"]
                for items in obstore.list(self._store)
                for item in items
                if item["path"].endswith(suffix)
            )

    def remove(self, folder: str, name: str) -> None:
        """Remove the files of a folder with `name` in theirs, also parts that a killed run left there."""
        if self.folder is not None:
            where = self.folder / folder
            for path in where.glob(f"*{name}*"):
                path.unlink(missing_ok=True)
            return
        with self._told("remove", folder):
            found = [
                item["path"]
                for items in obstore.list(self._store, prefix=folder)
                for item in items
                if name in item["path"]
            ]
            if found:
                obstore.delete(self._store, found)

    def remove_but(self, kept: set[str]) -> None:
        """Remove all files but some."""
        with self._told("remove", ""):
            found = [
                item["path"]
                for items in obstore.list(self._store)
                for item in items
                if item["path"] not in kept
            ]
            if found:
                obstore.delete(self._store, found)

    @contextmanager
    def _told(self, what: str, path: str) -> Iterator[None]:
        """Raise `ArchiveError` for what the store raises."""
        where = f"{self.url}/{path}" if path else self.url
        try:
            yield
        except (exceptions.NotFoundError, FileNotFoundError):
            raise ArchiveError(
                f"{where} is not there.",
                hint="If it was removed or moved, put it back: the manifest says that it is needed.",
            ) from None
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise ArchiveError(
                f"The archive could not {what} {where}: {_reason(error)}.",
                hint="Check the credentials (AWS_*), the bucket and the network, and run it again."
                if self.folder is None
                else "Check that the folder is yours and that the disk has room, and run it again.",
            ) from None


def s3_client_options() -> Any:  # noqa: ANN401 - a dict that obstore types for itself
    """Return how to talk to S3: without TLS only where AWS_ENDPOINT_URL says so."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return {"allow_http": endpoint.startswith("http://"), "connect_timeout": "10s", "timeout": "120s"}


def _reason(error: Exception) -> str:
    """Return what an error says, without what only its programmers want, and without any secret."""
    said = " ".join(str(error).split("Debug source:")[0].split()).rstrip(".") or type(error).__name__
    for name in _SECRETS:
        if len(secret := os.environ.get(name, "")) >= _SHORTEST_SECRET:
            said = said.replace(secret, "[REDACTED]")
    return said[:500]


def _sync(root: Path, path: str) -> None:
    """Flush a file, and the folders that lead to it, to the disk."""
    place = root / path
    for one in (place, *place.parents):
        descriptor = os.open(one, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if one == root:
            break
