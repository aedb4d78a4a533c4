"""A folder behind http on the loopback, with parts of files, and answers that fail at will."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

Running = TypeVar("Running", bound=ThreadingHTTPServer)


class Server(ThreadingHTTPServer):
    """What it was asked for; how many next requests it fails, or answers by half; whether it has parts."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.failing, self.halving, self.parts = folder, list[str](), 0, 0, True
        self.tag = "ETag"  # the header that tells a file's version, if any
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        path = unquote(self.path)
        self.server.asked.append(f"{self.command} {path}")
        file = self.server.folder / path.lstrip("/")
        if self.server.failing:
            self.server.failing -= 1
            return self._send(HTTPStatus.SERVICE_UNAVAILABLE, b"", with_body)
        if not file.is_file():
            return self._send(HTTPStatus.NOT_FOUND, b"", with_body)
        data = file.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"Accept-Ranges": "bytes" if self.server.parts else "none"}
        if self.server.tag:
            headers[self.server.tag] = f'"{file.stat().st_mtime_ns}"'
        if wanted and self.server.parts:
            first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            return self._send(HTTPStatus.PARTIAL_CONTENT, data[first : last + 1], with_body, headers)
        return self._send(HTTPStatus.OK, data, with_body, headers)

    def _send(
        self, status: HTTPStatus, data: bytes, with_body: bool, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body and status != HTTPStatus.SERVICE_UNAVAILABLE and self.server.halving:
            self.server.halving -= 1
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif with_body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve a folder until the block ends."""
    with running(Server(folder)) as server:
        yield server


@contextlib.contextmanager
def running(server: Running) -> Iterator[Running]:
    """Answer in a thread until the block ends."""
    with server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
