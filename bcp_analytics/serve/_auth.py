"""Who asks: tokens, the browser's sessions that stand for them, and how failures are limited and noted."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from bcp_analytics.serve._errors import Refused, StoreAway
from bcp_analytics.serve._once import Once

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from starlette.requests import HTTPConnection

    from bcp_analytics.serve._database import Database, Role

Value = TypeVar("Value")

COOKIE = "bcp_session"
# What each role of a token may do.
_MAY: dict[str, frozenset[Role]] = {
    "ingest": frozenset({"ingest"}),
    "reader": frozenset({"reader"}),
    "admin": frozenset({"ingest", "reader", "admin"}),
}
_TOKEN = re.compile(r"bcpa_([0-9a-f]{64})([0-9a-f]{8})")
# For how long an answer of the database about a token is believed: a revoked one is refused after that.
_BELIEVED = 5.0
# Failures in a minute, of one address or of one token, after which it has to wait.
_PATIENCE = 10
_MINUTE = 60.0
# Who shares an address with whoever fails goes on: a token that was valid in this time need not wait.
_TRUSTED = 3600.0
# A browser's session ends after half a day.
_SESSION = 12 * 3600.0
# Of failures at most so many are stored at a time, so that nobody can fill the store with them.
_NOTED = 20
_REMEMBERED = 10_000

Problem = Literal["missing", "malformed", "unknown", "expired", "revoked", "too_weak"]
_SAID: dict[str, str] = {
    "missing": "This needs a token.",
    "malformed": "This is no token of this store.",
    "unknown": "This token is not known.",
    "expired": "This token has expired.",
    "revoked": "This token was revoked.",
    "too_weak": "This token may not do this.",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it is, and what it may do."""

    token_id: UUID
    name: str
    role: Role
    vantage: Literal["server", "client"] | None


class _Recent(Generic[Value]):
    """The entries that are not older than `age` seconds, at most `_REMEMBERED` of them."""

    def __init__(self, age: float, clock: Callable[[], float]) -> None:
        self._age = age
        self._clock = clock
        self._entries: OrderedDict[object, tuple[float, Value]] = OrderedDict()

    def get(self, key: object) -> Value | None:
        found = self._entries.get(key)
        return found[1] if found is not None and found[0] > self._clock() else None

    def put(self, key: object, value: Value) -> None:
        self._entries.pop(key, None)
        self._entries[key] = self._clock() + self._age, value
        while len(self._entries) > _REMEMBERED:
            self._entries.popitem(last=False)

    def put_if_absent(self, key: object, value: Value) -> Value:
        found = self.get(key)
        if found is None:
            self.put(key, found := value)
        return found

    def drop(self, key: object) -> None:
        self._entries.pop(key, None)


class Tokens:
    """Checks tokens against the database, and notes what was refused."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the database that knows the tokens, and what tells seconds."""
        self._database = database
        self._known = _Recent[Caller](_BELIEVED, clock)
        self._trusted = _Recent[bool](_TRUSTED, clock)
        self._failures = _Recent[Counter[str]](_MINUTE, clock)
        self._sessions = _Recent[bytes](_SESSION, clock)
        self._noted: Counter[tuple[str, str]] = Counter()
        self._once = Once[tuple[Any, ...]]()

    async def check(self, token: str | None, address: str, need: Role) -> Caller:
        """Return whose token this is; raises `Refused` where it is none, or may not do what is needed."""
        if token is None:
            raise self._refused("missing", address, b"")
        found = _TOKEN.fullmatch(token)
        if found is None or sha256(found[1].encode()).hexdigest()[:8] != found[2]:
            raise self._refused("malformed", address, b"")
        return await self.check_digest(sha256(token.encode()).digest(), address, need)

    async def check_digest(self, digest: bytes, address: str, need: Role) -> Caller:
        """Do the same for the SHA-256 of a token."""
        caller = self._known.get(digest)
        if caller is None:
            if not self._trusted.get(digest):
                self._wait(address, digest)
            row = await self._once.run(digest, lambda: self._ask(digest))
            if row[4] is not None:
                raise self._refused(row[4], address, digest)
            caller = Caller(*row[:4])
            self._known.put(digest, caller)
            self._trusted.put(digest, True)  # noqa: FBT003 - a value, not an option
        if need not in _MAY[caller.role]:
            raise self._refused("too_weak", address, digest)
        return caller

    async def _ask(self, digest: bytes) -> tuple[Any, ...]:
        async with self._database.connection("admin") as conn:
            cur = await conn.execute(
                "select token_id, token_name, role, vantage, problem from bcp_internal.check_api_token(%s)",
                [digest],
            )
            row: tuple[Any, ...] | None = await cur.fetchone()
        assert row is not None  # noqa: S101 - for the type checker
        return row

    async def open_session(self, token: str, address: str, need: Role) -> tuple[str, Caller]:
        """Return the secret of a new browser's session that stands for a token, and whose token it is."""
        caller = await self.check(token, address, need)
        session = secrets.token_urlsafe(32)
        self._sessions.put(sha256(session.encode()).digest(), sha256(token.encode()).digest())
        return session, caller

    def close_session(self, session: str) -> None:
        """Forget a browser's session."""
        self._sessions.drop(sha256(session.encode()).digest())

    async def check_session(self, session: str, address: str, need: Role) -> Caller:
        """Return whose session of a browser this is; raises `Refused`."""
        digest = self._sessions.get(sha256(session.encode()).digest())
        if digest is None:
            raise self._refused("missing", address, b"")
        return await self.check_digest(digest, address, need)

    def _wait(self, address: str, digest: bytes) -> None:
        for key in (address, digest):
            if (failed := self._failures.get(key)) is not None and failed.total() >= _PATIENCE:
                raise Refused(
                    429,
                    "Too many requests without a valid token.",
                    hint="Wait a minute.",
                    headers={"Retry-After": "60"},
                )

    def _refused(self, problem: Problem, address: str, digest: bytes) -> Refused:
        if len(self._noted) < _REMEMBERED:
            self._noted[problem, address] += 1
        if problem == "too_weak":
            return Refused(403, _SAID[problem], hint="Use a token of another role.")
        # Who sends no token guesses none.
        if problem != "missing":
            self._wait(address, digest)
            for key in (address, digest) if digest else (address,):
                self._failures.put_if_absent(key, Counter())[problem] += 1
        return Refused(
            401,
            _SAID[problem],
            hint="Send the header Authorization: Bearer TOKEN. bcp-analytics token create makes tokens.",
            headers={"WWW-Authenticate": 'Bearer realm="bcp_analytics"'},
        )

    async def note_failures(self) -> None:
        """Store what was refused since the last time: one event per reason and address, at most 20.

        The rarest are one event together, without an address.
        """
        noted, self._noted = self._noted, Counter()
        if not noted:
            return
        ranked = noted.most_common()
        events = [
            {"success": False, "error_type": problem, "ip_address": address, "attempts": attempts}
            for (problem, address), attempts in ranked[: _NOTED - 1]
        ]
        if others := sum(attempts for _, attempts in ranked[_NOTED - 1 :]):
            events.append({"success": False, "error_type": "others", "attempts": others})
        try:
            async with self._database.connection("admin") as conn:
                await conn.execute("select bcp_internal.note_token_use(%s)", [json.dumps(events)])
        except StoreAway:
            self._noted.update(noted)


def bearer(connection: HTTPConnection) -> str | None:
    """Return the token of the header Authorization, None where there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def address_of(connection: HTTPConnection) -> str:
    """Return the address that the request comes from."""
    return connection.client.host if connection.client is not None else ""


async def authorize(connection: HTTPConnection, need: Role) -> Caller:
    """Return who asks, by the header Authorization or the cookie of a browser's session; raises `Refused`."""
    tokens: Tokens = connection.app.state.tokens
    address = address_of(connection)
    token = bearer(connection)
    session = connection.cookies.get(COOKIE)
    if token is None and session is not None:
        caller = await tokens.check_session(session, address, need)
    else:
        caller = await tokens.check(token, address, need)
    connection.scope["bcp.caller"] = caller.name
    return caller
