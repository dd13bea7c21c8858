"""Bodies of requests: where they end, however they are cut into packets."""

import pytest

from chatsvc.web.body import Body, ChunkedBody, LengthBody
from chatsvc.web.head import Refused

REST = b"GET / HTTP/1.1\r\n"
GOOD = {
    b"0\r\n\r\n": b"",
    b"1\r\na\r\n0\r\n\r\n": b"a",
    b"a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n": b"0123456789abcdefghij",
    b"0002\r\n\r\n\r\n2\r\n0\r\r\n000\r\n\r\n": b"\r\n0\r",
    b"5\r\n0\r\n\r\n\r\n0\r\n\r\n": b"0\r\n\r\n",
}
BAD = [
    b"\r\n",
    b"x\r\n",
    b" 1\r\na\r\n0\r\n\r\n",
    b"1 \r\na\r\n0\r\n\r\n",
    b"1\na\r\n0\r\n\r\n",
    b"+1\r\na\r\n0\r\n\r\n",
    b"-1\r\na\r\n",
    b"0x1\r\na\r\n",
    b"1_0\r\na\r\n",
    b"1;a=b\r\na\r\n0\r\n\r\n",
    b"1;\r\na\r\n0\r\n\r\n",
    b"f" * 17 + b"\r\n",
    b"1\r\nab\r\n0\r\n\r\n",
    b"1\r\na0\r\n\r\n",
    b"1\r\na\n0\r\n\r\n",
    b"1\r\na\r\n\r\n",
    b"0\r\nTrailer: x\r\n\r\n",
    b"0\r\n\n",
    b"0\n\n",
    b"0\r\r\n",
]


def take_all(body: Body, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Content and rest of a body that comes in pieces."""
    content = rest = b""
    for piece in pieces:
        part, rest_of_piece = body.take(piece) if not body.is_complete else (b"", piece)
        content, rest = content + part, rest + rest_of_piece
    return content, rest


def ways(data: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and in two pieces at every place."""
    two = [[data[:n], data[n:]] for n in range(1, len(data))]
    return [[data], [data[n : n + 1] for n in range(len(data))], *two]


@pytest.mark.parametrize("raw", GOOD)
def test_chunks_become_their_content(raw: bytes) -> None:
    for pieces in ways(raw + REST):
        body = ChunkedBody()
        assert take_all(body, pieces) == (GOOD[raw], REST), pieces
        assert body.is_complete and body.received == body.size == len(GOOD[raw])


@pytest.mark.parametrize("raw", BAD)
def test_chunks_that_could_be_read_in_two_ways_are_refused(raw: bytes) -> None:
    for pieces in ways(raw):
        with pytest.raises(Refused):
            take_all(ChunkedBody(), pieces)


def test_the_size_of_a_chunk_counts_before_it_comes() -> None:
    body = ChunkedBody()
    assert body.take(b"1\r\na\r\nffffffff\r\nab") == (b"aab", b"")
    assert (body.size, body.received) == (0x100000000, 3)


def test_a_body_with_a_length_ends_there() -> None:
    for pieces in ways(b"hello" + REST):
        body = LengthBody(5)
        assert take_all(body, pieces) == (b"hello", REST)
        assert body.is_complete and body.received == 5
    assert LengthBody(0).is_complete
