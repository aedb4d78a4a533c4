"""A hub of data sets on the loopback: what the client asks for of one data set that lies in a folder."""

from __future__ import annotations

import hashlib
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SHA = "a" * 40  # of the one commit


class Hub(ThreadingHTTPServer):
    """Serves ``folder`` as the data set ``name``; ``asked`` are the paths of all requests."""

    daemon_threads = True

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name, self.asked = folder, name, list[str]()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def entry(self, path: Path) -> dict[str, Any]:
        """A file or a folder as the hub's tree has it."""
        kind, size = "directory" if path.is_dir() else "file", path.stat().st_size
        return {"path": path.relative_to(self.folder).as_posix(), "oid": SHA, "type": kind, "size": size}


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, folder = unquote(urlsplit(self.path).path), self.server.folder
        self.server.asked.append(path)
        api, resolve = f"/api/datasets/{self.server.name}", f"/datasets/{self.server.name}/resolve/"
        if path.startswith(f"{api}/tree/"):
            inside = folder / path.removeprefix(f"{api}/tree/").partition("/")[2]
            if inside.is_dir():
                return self._send([self.server.entry(each) for each in sorted(inside.iterdir())])
        elif path in (api, f"{api}/revision/{SHA}"):
            return self._send({"id": self.server.name, "sha": SHA, "siblings": []})
        elif path.startswith(resolve):
            file = folder / path.removeprefix(resolve).partition("/")[2]
            if file.is_file():
                return self._send(file.read_bytes())
        self._send({}, HTTPStatus.NOT_FOUND, {"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET

    def _send(
        self, body: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        tag = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        told = {"Content-Length": str(len(data)), "X-Repo-Commit": SHA, "ETag": f'"{tag}"', **(headers or {})}
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass
