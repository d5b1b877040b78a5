"""A file server on this machine that can be told to fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FileServer:
    """Serves files from memory, with ranges, and notes every request.

    Attributes:
        url: base address.
        files: content by path, such as "/detr/a.pth".
        requests: (path, first byte asked for) of each request, in order.
        faults: what the next requests get in place of a proper answer, first one first: an HTTP status, or
            ``("cut", n)``, n bytes of the body.
        ranges: whether requests for a part are understood.
        release: while this is not set, as it is at first, connections stay open: without a byte of the
            body, or after the n bytes.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, int]] = []
        self.faults: list[int | tuple[str, int]] = []
        self.ranges = True
        self.release = threading.Event()
        self.release.set()


@contextmanager
def serve() -> Iterator[FileServer]:
    """A running server on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(match[1]) if match else 0
            server.requests.append((self.path, start))
            fault = server.faults.pop(0) if server.faults else None
            if isinstance(fault, int) or self.path not in server.files:
                self.send_error(fault if isinstance(fault, int) else 404)
                return
            content = server.files[self.path]
            if not server.ranges:
                start = 0
            if start and start >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if fault is not None:
                self.wfile.write(content[start:][: fault[1]])
                self.wfile.flush()
            server.release.wait(60)
            if fault is None:
                self.wfile.write(content[start:])

        def log_message(self, *_: Any) -> None:
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = FileServer(f"http://127.0.0.1:{http_server.server_port}")
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        http_server.shutdown()
        thread.join()
        http_server.server_close()
