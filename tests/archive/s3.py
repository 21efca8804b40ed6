"""An S3-compatible store over real HTTP, by moto, that fails when told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from io import BytesIO
from typing import TYPE_CHECKING

from moto.moto_api._internal.models import moto_api_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BUCKET = "archives"
DENIED = ("403 Forbidden", b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
BROKEN = ("500 Internal Server Error", b"<Error><Code>InternalError</Code></Error>")


@dataclass
class Faults:
    """What goes wrong; nothing by default."""

    answer: Callable[[str, str], tuple[str, bytes] | None] | None = None
    """Of a request's method and path, the status and body sent back instead."""
    upload: Callable[[str, bytes], bytes] | None = None
    """Of a path and what is sent for it, what the store takes in."""
    download: Callable[[str, bytes], bytes] | None = None
    """Of a path and what is stored, what the store gives out."""
    seen: list[tuple[str, str]] = field(default_factory=list)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


@contextmanager
def server(faults: Faults) -> Iterator[str]:
    """Yield the URL of a server with an empty bucket."""
    app: WSGIApplication = DomainDispatcherApplication(create_backend_app)

    def faulty(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        faults.seen.append((method, path))
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        found = faults.answer(method, path) if faults.answer else None
        if found is not None:
            start(found[0], [("Content-Type", "application/xml"), ("Content-Length", str(len(found[1])))])
            return [found[1]]
        if faults.upload and method == "PUT":
            body = faults.upload(path, body)
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        given = app(environ, start)
        if faults.download and method == "GET" and path.endswith(".parquet"):
            body = b"".join(given)
            changed = faults.download(path, body)
            assert len(changed) == len(body), "or its length would be another than the header says"
            return [changed]
        return given

    made = make_server("127.0.0.1", 0, faulty, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    moto_api_backend.reset()
    try:
        with closing(HTTPConnection("127.0.0.1", made.server_port, timeout=30)) as conn:
            conn.request("PUT", f"/{BUCKET}")
            assert conn.getresponse().status == 200
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        thread.join()
        made.server_close()
