"""A catalogue of Iceberg by REST on this machine, for tests: it keeps its tables in a file of SQLite."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyiceberg.table import Table

TABLE = re.compile(r"/v1/namespaces/([^/]+)/tables/([^/]+)")
TABLES = re.compile(r"/v1/namespaces/([^/]+)/tables")


@dataclass
class Catalog:
    """Where it is, what it was asked, and what it does wrong: `fail` says so of one commit."""

    url: str = ""
    tokens: set[str | None] = field(default_factory=set)
    fail: str = ""
    commits: int = 0


@contextmanager
def rest_catalog(folder: Path) -> Iterator[Catalog]:
    """Serve a catalogue, one request after the other."""
    from pyiceberg.catalog.sql import SqlCatalog  # noqa: PLC0415

    made = Catalog()
    # Made in the thread that uses it, as SQLite wants.
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"

        def serve() -> None:
            tables = SqlCatalog("rest", uri=f"sqlite:///{folder / 'catalog.db'}")
            server.RequestHandlerClass = _handler(made, tables)
            server.serve_forever(poll_interval=0.05)
            tables.engine.dispose()

        thread = Thread(target=serve)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def _handler(made: Catalog, tables: Any) -> type[BaseHTTPRequestHandler]:  # noqa: C901
    from pyiceberg.catalog.rest import CreateTableRequest  # noqa: PLC0415
    from pyiceberg.exceptions import (  # noqa: PLC0415
        CommitFailedException,
        NamespaceAlreadyExistsError,
        NoSuchNamespaceError,
        NoSuchTableError,
        TableAlreadyExistsError,
    )
    from pyiceberg.table import CommitTableRequest  # noqa: PLC0415

    codes = {
        NoSuchTableError: (404, "NoSuchTableException"),
        NoSuchNamespaceError: (404, "NoSuchNamespaceException"),
        TableAlreadyExistsError: (409, "AlreadyExistsException"),
        NamespaceAlreadyExistsError: (409, "AlreadyExistsException"),
        CommitFailedException: (409, "CommitFailedException"),
    }

    def of_table(table: Table) -> dict[str, Any]:
        metadata = json.loads(table.metadata.model_dump_json())
        return {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}

    def answer(method: str, path: str, body: bytes) -> dict[str, Any] | None:
        if path == "/v1/config":
            return {"defaults": {}, "overrides": {}}
        if found := TABLE.fullmatch(path):
            if method == "DELETE":
                tables.drop_table(found.groups())
                return None
            table = tables.load_table(found.groups())
            if method == "POST":
                made.commits += 1
                asked = CommitTableRequest.model_validate_json(body)
                if made.fail == "before":
                    raise ConnectionError
                tables.commit_table(table, asked.requirements, asked.updates)
                if made.fail == "after":
                    raise ConnectionError
                table = tables.load_table(found.groups())
            return of_table(table)
        if found := TABLES.fullmatch(path):
            if method == "GET":
                names = [{"namespace": [n], "name": t} for n, t in tables.list_tables(found[1])]
                return {"identifiers": names}
            new = CreateTableRequest.model_validate_json(body)
            return of_table(
                tables.create_table(
                    (found[1], new.name), new.table_schema, new.location, new.partition_spec,
                    new.write_order, new.properties,
                )
            )  # fmt: skip
        [namespace] = json.loads(body)["namespace"]
        tables.create_namespace(namespace)
        return {"namespace": [namespace], "properties": {}}

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            made.tokens.add(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status: int = 200
            said: Any
            try:
                said = answer(self.command, self.path.partition("?")[0], body)
                status = 204 if said is None else 200
            except ConnectionError:
                made.fail = ""
                status, said = (
                    503,
                    {"error": {"message": "secret of the catalogue", "type": "x", "code": 503}},
                )
            except tuple(codes) as error:
                status, kind = codes[type(error)]
                said = {"error": {"message": str(error), "type": kind, "code": status}}
            self.send_response(status)
            self.end_headers()
            if status != 204:
                self.wfile.write(json.dumps(said).encode())

        do_GET = do_POST = do_DELETE = do_HEAD = handle_request  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            del format, args

    return Handler
