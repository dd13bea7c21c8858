"""A proxy in front of the service that does one of the things that proxies do to streams."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Habit = Literal[
    "passes on",
    "holds all back",
    "holds the body back",
    "compresses",
    "caches",
    "drops credentials",
    "says bad gateway",
    "redirects",
    "is something else",
    "cuts silence",
    "holds pings back",
    "comes from elsewhere",
]
NAME = "a-proxy/1.0"
CHUNK_BYTES = 65_536
CHANGES = {"compresses": ("Content-Encoding", "gzip"), "caches": ("Cache-Control", "max-age=60")}
SILENCE_LIMIT_S = 0.3
ELSEWHERE = "127.0.0.5"  # where the service sees it, and not where clients do
HOP_BY_HOP = ("connection", "transfer-encoding")


@contextmanager
def front(service_url: str, habit: Habit) -> Iterator[str]:
    """The address of a proxy for `service_url`, as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(service_url, habit))
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.block_on_close = False  # what it holds back ends with the service
        server.server_close()


def _handler(service_url: str, habit: Habit) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def version_string(self) -> str:
            return NAME

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            with suppress(OSError):
                if habit == "says bad gateway":
                    self.answer(502, {}, b"Bad Gateway\n")
                elif habit == "redirects":
                    self.answer(301, {"Location": "https://chat.example.com" + self.path}, b"")
                elif habit == "is something else":
                    self.answer(200, {"Content-Type": "text/html"}, b"<h1>Welcome</h1>\n")
                else:
                    self.pass_on()

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.head(status, headers)
            self.wfile.write(body)

        def head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def pass_on(self) -> None:
            source = (ELSEWHERE, 0) if habit == "comes from elsewhere" else None
            limit_s = SILENCE_LIMIT_S if habit == "cuts silence" else None
            upstream = http.client.HTTPConnection(
                urlsplit(service_url).netloc, timeout=limit_s, source_address=source
            )
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in HOP_BY_HOP
            }
            if habit == "drops credentials":
                headers.pop("Authorization", None)
            try:
                upstream.request("GET", self.path, headers=headers)
                self.copy(upstream.getresponse())
            finally:
                upstream.close()

        def copy(self, response: http.client.HTTPResponse) -> None:
            headers = {
                name: value
                for name, value in response.getheaders()
                if name.lower() not in HOP_BY_HOP
            }
            is_stream = self.path.endswith("/stream")
            if is_stream and habit in CHANGES:
                headers |= dict([CHANGES[habit]])
            body = response.read() if is_stream and habit == "holds all back" else b""
            self.head(response.status, headers)
            if is_stream and habit == "holds the body back":
                body = response.read()
            self.wfile.write(body)
            while part := response.read1(CHUNK_BYTES):
                if habit != "holds pings back" or b"event: ping" not in part:
                    self.wfile.write(part)

    return Handler
