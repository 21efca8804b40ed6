"""The embedded server of tests/embedded, for the attacks on it."""

from __future__ import annotations

from tests.embedded.conftest import initialised, server, start_server

__all__ = ["initialised", "server", "start_server"]
