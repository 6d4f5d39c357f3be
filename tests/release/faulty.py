"""A real HTTP server on loopback that answers as it is told: also badly, late, or not at all."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Fault = Literal["hang", "reset", "garbage", "drip"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as the server saw it; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Told:
    """What to answer."""

    status: int = 200
    body: str = "ok"
    headers: Mapping[str, str] = field(default_factory=dict)


Behaviour = Callable[[Seen], Told | Fault]


class Server:
    """The running server: where it is, and what it was asked."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None) -> None:
        self.seen: list[Seen] = []
        self.ended = threading.Event()
        self.server_names: list[str | None] = []
        handler = type("Handler", (_Handler,), {"behaviour": staticmethod(behaviour), "owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        scheme = "http"
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: self.server_names.append(name)
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: Behaviour
    owner: Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(method=self.command, path=self.path, headers=headers, body=body)
        self.owner.seen.append(seen)
        told = type(self).behaviour(seen)
        if isinstance(told, Told):
            self._say(told)
        else:
            self.close_connection = True
            getattr(self, f"_{told}")()

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815 - the names are given

    def _say(self, told: Told) -> None:
        payload = told.body.encode()
        self.send_response(told.status)
        for name, value in told.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    def _hang(self) -> None:
        self.owner.ended.wait()

    def _reset(self) -> None:
        # With a linger of 0 seconds, a close is a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _garbage(self) -> None:
        self.wfile.write(b"this is no HTTP\r\n\r\n")

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        while not self.owner.ended.wait(0.05):
            self.wfile.write(b".")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is given
        """Tests look at what was seen instead."""


@contextmanager
def serving(behaviour: Behaviour | Told | Fault, *, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that lives as long as the block."""
    server = Server(behaviour if callable(behaviour) else lambda _seen: behaviour, tls)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
