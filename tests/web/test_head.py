"""Heads of requests: one interpretation, or none."""

import pytest

from chatsvc.web.head import Refused, check_start, parse_head

GET = b"GET / HTTP/1.1\r\n"
GOOD: dict[bytes, tuple[str, str, str, bool, int | None]] = {
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n": ("GET", "/", "HTTP/1.1", True, 0),
    b"GET /a?b=c&d HTTP/1.0\r\n\r\n": ("GET", "/a?b=c&d", "HTTP/1.0", False, 0),
    b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n": ("GET", "/", "HTTP/1.0", True, 0),
    b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n": ("GET", "/", "HTTP/1.1", False, 0),
    b"GET / HTTP/1.1\r\nConnection: x, close\r\n\r\n": ("GET", "/", "HTTP/1.1", False, 0),
    b"POST / HTTP/1.1\r\ncontent-length:7\r\n\r\n": ("POST", "/", "HTTP/1.1", True, 7),
    b"PUT / HTTP/1.1\r\nContent-Length: 007 \t\r\n\r\n": ("PUT", "/", "HTTP/1.1", True, 7),
    b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n": (
        "POST",
        "/",
        "HTTP/1.1",
        True,
        None,
    ),
    b"OPTIONS * HTTP/1.1\r\n\r\n": ("OPTIONS", "*", "HTTP/1.1", True, 0),
    b"get / HTTP/1.1\r\n\r\n": ("get", "/", "HTTP/1.1", True, 0),
    b"F!O / HTTP/1.1\r\n\r\n": ("F!O", "/", "HTTP/1.1", True, 0),
    b"CONNECT / HTTP/1.1\r\nContent-Length: 1\r\n\r\n": ("CONNECT", "/", "HTTP/1.1", True, 1),
    b"M-SEARCH / HTTP/1.1\r\n\r\n": ("M-SEARCH", "/", "HTTP/1.1", True, 0),
    GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n": ("GET", "/", "HTTP/1.1", True, 0),
}
BAD = [
    b"\r\n\r\n",
    b" GET / HTTP/1.1\r\n\r\n",
    b"\nGET / HTTP/1.1\r\n\r\n",
    b"G\xcbT / HTTP/1.1\r\n\r\n",
    b"GET,PUT / HTTP/1.1\r\n\r\n",
    b"/ HTTP/1.1\r\n\r\n",
    b"G" * 33 + b" / HTTP/1.1\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\n\r\n",
    b"GET /  HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1 \r\n\r\n",
    b"GET /a b HTTP/1.1\r\n\r\n",
    b"GET /\t HTTP/1.1\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\n\r\n",
    b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
    b"GET / http/1.1\r\n\r\n",
    b"GET / HTTP/1.2\r\n\r\n",
    b"GET / HTTP/0.9\r\n\r\n",
    b"GET / HTTP/2.0\r\n\r\n",
    b"GET / HTTP/11.1\r\n\r\n",
    b"GET / HTTP/1.x\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET * HTTP/1.1\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\n\r\n",
    b"GET a/ HTTP/1.1\r\n\r\n",
    b"GET ?a HTTP/1.1\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\n",
    b"SOURCE / ICE/1.0\r\n\r\n",
    b"DESCRIBE / RTSP/1.0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\r\n\r\n",
    GET + b"Host: a\nX: y\r\n\r\n",
    GET + b"Host: a\rX: y\r\n\r\n",
    GET + b"Host: a\r\r\n\r\n",
    GET + b"X : y\r\n\r\n",
    GET + b"X\t: y\r\n\r\n",
    GET + b" X: y\r\n\r\n",
    GET + b"X: y\r\n folded\r\n\r\n",
    GET + b"X: y\r\n\tfolded\r\n\r\n",
    GET + b"no colon\r\n\r\n",
    GET + b": no name\r\n\r\n",
    GET + b"X Y: z\r\n\r\n",
    GET + b"X(: z\r\n\r\n",
    GET + b"\xe9: z\r\n\r\n",
    GET + b"X\x00: z\r\n\r\n",
    GET + b"X: a\x00b\r\n\r\n",
    GET + b"X: a\x0bb\r\n\r\n",
    GET + b"X: a\x7fb\r\n\r\n",
    *(
        GET + b"Content-Length: " + value + b"\r\n\r\n"
        for value in (
            *(b"", b"-1", b"+1", b"x", b"1x", b"0x1", b"1.0", b"1_0", b"1 2", b"1,1", b"1, 1"),
            *(b"\xb2", b"9" * 19, b"9" * 100, b'"1"', b"1;"),
        )
    ),
    GET + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    GET + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    *(
        GET + b"Transfer-Encoding: " + value + b"\r\n\r\n"
        for value in (
            *(b"", b"gzip", b"identity", b"xchunked", b"chunkedx", b"gzip, chunked", b"chunked,"),
            *(b"chunked, chunked", b"chunked;x=1", b'"chunked"', b"\x0bchunked", b"chunk"),
        )
    ),
    GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
]


@pytest.mark.parametrize("raw", GOOD)
def test_a_well_formed_head_is_understood(raw: bytes) -> None:
    head = parse_head(raw)
    assert (*head.start_line, head.is_kept_alive, head.body_length) == GOOD[raw]


@pytest.mark.parametrize("raw", BAD)
def test_a_head_that_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse_head(raw)
    assert caught.value.status == 400


def test_fields_are_kept_as_they_came() -> None:
    head = parse_head(GET + b"a: 1\r\nX-Y:\r\nA:  2 \t\r\nb: \xe9,: x\r\n\r\n")
    assert list(head.headers.get_all()) == [
        ("A", "1"),
        ("A", "2"),
        ("X-Y", ""),
        ("B", "\u00e9,: x"),
    ]


@pytest.mark.parametrize(
    ("value", "version", "expected"),
    [
        ("100-continue", b"1.1", True),
        ("100-Continue", b"1.1", True),
        ("100-continue", b"1.0", False),
    ],
)
def test_an_expectation_is_read(value: str, version: bytes, expected: bool) -> None:
    raw = b"POST / HTTP/%b\r\nExpect: %b\r\nContent-Length: 1\r\n\r\n" % (version, value.encode())
    assert parse_head(raw).expects_continue is expected


@pytest.mark.parametrize("raw", GOOD)
def test_no_beginning_of_a_well_formed_head_is_refused(raw: bytes) -> None:
    for n in range(1, len(raw)):
        check_start(raw[:n], n - 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00",  # TLS
        b"(GET / ",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\rX",
        b"GET / HTTP/1.1\r\nX: a\x00",
        b"GET / HTTP/1.1\r\nX: a\r\n ",
    ],
)
def test_a_beginning_that_cannot_become_a_head_is_refused_at_once(raw: bytes) -> None:
    """A head with bare line feeds has no end; its client once waited for 30 s."""
    with pytest.raises(Refused):
        for n in range(1, len(raw) + 1):
            check_start(raw[:n], n - 1)
    with pytest.raises(Refused):
        check_start(raw, 0)
