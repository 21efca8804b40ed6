"""A relay before a database that can lose an answer: the server has committed, the client never hears."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

# Messages of PostgreSQL's protocol, https://www.postgresql.org/docs/current/protocol-message-formats.html
_READY_OUTSIDE_A_TRANSACTION = b"Z\0\0\0\5I"


class LossyRelay:
    """Listens at `dsn` and passes all on to the server's socket; a context manager."""

    def __init__(self, dsn: str) -> None:
        options = conninfo_to_dict(dsn)
        folder = str(options["host"])
        self._server = Path(folder) / f".s.PGSQL.{options.get('port', 5432)}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=port, sslmode="disable")
        self._lose: bytes | None = None
        self.lost = 0
        """Answers that were lost."""
        self._open = ExitStack()
        self._threads = [threading.Thread(target=self._listen)]

    def lose_the_answer_to(self, text: bytes) -> None:
        """Cut the connection that next sends `text`, once the server is done with it."""
        self._lose = text

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing it alone would not wake who waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._open.close()
        for thread in self._threads[1:]:
            thread.join()
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._open.callback(_cut, client, server)
                self._threads.append(threading.Thread(target=self._relay, args=(client, server)))
                self._threads[-1].start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        lost: bytes | None = None
        # Either side may go at any time.
        with client, server, suppress(OSError):
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(1 << 20)
                    if not data:
                        return
                    if source is client:
                        if self._lose is not None and self._lose in data:
                            self._lose, lost = None, b""
                        server.sendall(data)
                    elif lost is None:
                        client.sendall(data)
                    else:
                        lost += data
                        if lost.endswith(_READY_OUTSIDE_A_TRANSACTION):
                            self.lost += 1
                            return


def _cut(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
