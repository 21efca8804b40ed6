"""A relay before a database that can be cut and mended: a database that goes away and comes back."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Relay:
    """Listens at `dsn` and passes all on to the server's socket, until it is cut; a context manager."""

    def __init__(self, dsn: str) -> None:
        options = conninfo_to_dict(dsn)
        self._server = Path(str(options["host"])) / f".s.PGSQL.{options.get('port', 5432)}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable")
        self._whole = True
        self._sockets: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        # Closing it alone would not wake who waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def cut(self) -> None:
        """Cut all connections, and let no new one through."""
        self._whole = False
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._whole = True

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._whole:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._sockets |= {client, server}
                threads = [
                    threading.Thread(target=self._pass, args=ends, daemon=True)
                    for ends in ((client, server), (server, client))
                ]
                for thread in threads:
                    thread.start()
                threading.Thread(target=self._close, args=(threads, client, server), daemon=True).start()

    def _pass(self, taken: socket.socket, given: socket.socket) -> None:
        with suppress(OSError):
            while data := taken.recv(65536):
                given.sendall(data)
        for one in (taken, given):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _close(self, threads: list[threading.Thread], *ends: socket.socket) -> None:
        for thread in threads:
            thread.join()
        for one in ends:
            one.close()
            self._sockets.discard(one)
