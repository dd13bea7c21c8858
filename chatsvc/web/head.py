"""Parse the heads of requests with llhttp, and refuse what is not in the strict form."""

import re
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from tornado.httputil import HTTPHeaders, RequestStartLine

from chatsvc.web.headers import Headers

END = b"\r\n\r\n"
# llhttp also accepts HTTP/0.9, other protocols, absolute URLs, several spaces, line feeds first.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(
    rb"(?:(?P<method>" + _TOKEN + rb"{1,32}) /[!-~]*+|OPTIONS \*) HTTP/1\.[01]\r\n"
)
# Other methods are unknown to llhttp, or change what it expects, so it parses them as GET. No
# method changes where a request ends.
_PLAIN_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
# What no well-formed head contains. It is refused before the head is complete.
_NEVER = re.compile(
    rb"\A(?!\r|" + _TOKEN + rb")|(?<!\r)\n|\r(?!\n|\Z)|[^\t\r\n -~\x80-\xff]|\r\n[ \t]"
)


class Refused(Exception):
    """A request is not processed. The client gets `status`, and the connection is closed."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class RequestHead(NamedTuple):
    """A head without ambiguity."""

    start_line: RequestStartLine
    headers: HTTPHeaders
    is_kept_alive: bool  # whether the client wants that
    body_length: int | None  # None: the body comes in chunks
    expects_continue: bool


class _Fields:
    """Collects what llhttp finds, through its callbacks."""

    __slots__ = ("fields", "is_complete", "url")

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.is_complete = True


def parse_length(value: str) -> int:
    """Parse a Content-Length: decimal digits and nothing else. Raises ValueError."""
    if not _LENGTH.fullmatch(value):
        raise ValueError(f"not a length: {value!r}")
    return int(value)


def check_start(data: bytes, seen: int) -> None:
    """Raise Refused if this beginning of a head cannot become a well-formed one.

    The first `seen` bytes were checked before.
    """
    if _NEVER.search(data, max(0, seen - len(END))):
        raise Refused(400, "The request is malformed.")


def parse_head(raw: bytes) -> RequestHead:
    """Parse a head including the empty line at its end. Raises Refused."""
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise Refused(400, "The request line is malformed.")
    method = line["method"] or b"OPTIONS"
    parsed = _Fields()
    parser = HttpRequestParser(parsed)
    try:
        parser.feed_data(raw if method in _PLAIN_METHODS else b"GET" + raw[len(method) :])
    except HttpParserUpgrade:
        pass  # the upgrade is declined: the request is processed as it is
    except HttpParserError as error:
        raise Refused(400, f"The request is malformed: {error}.") from None
    # Each line must be one field; otherwise another parser could read another request.
    if not parsed.is_complete or len(parsed.fields) != raw.count(b"\r\n") - 2:
        raise Refused(400, "The request is malformed.")
    headers = Headers(parsed.fields)
    version = f"HTTP/{parser.get_http_version()}"
    start_line = RequestStartLine(method.decode(), parsed.url.decode(), version)
    return RequestHead(
        start_line,
        headers,
        _is_kept_alive(headers, version),
        _body_length(headers, version),
        version != "HTTP/1.0" and headers.get("Expect", "").lower() == "100-continue",
    )


def _is_kept_alive(headers: HTTPHeaders, version: str) -> bool:
    options = headers.get("Connection")
    if options is None:
        return version == "HTTP/1.1"
    tokens = [token.strip() for token in options.lower().split(",")]
    return "close" not in tokens and (version == "HTTP/1.1" or "keep-alive" in tokens)


def _body_length(headers: HTTPHeaders, version: str) -> int | None:
    """Return the announced length, None for chunks. Raises Refused if that is ambiguous."""
    coding, lengths = headers.get("Transfer-Encoding"), headers.get_list("Content-Length")
    if coding is None:
        if not lengths:
            return 0
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
            raise Refused(400, "Content-Length must be one whole number.")
        return int(lengths[0])
    if lengths:
        raise Refused(400, "Transfer-Encoding and Content-Length exclude each other.")
    if coding.lower() != "chunked" or version == "HTTP/1.0":
        raise Refused(400, "Transfer-Encoding must be chunked, and the version HTTP/1.1.")
    return None
