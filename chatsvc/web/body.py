"""Parse the bodies of requests: find their end, and return the content without its framing."""

import re
from typing import Protocol

from chatsvc.web.head import Refused

_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})\r\n")
_NEXT_SIZE = re.compile(rb"\r\n([0-9a-fA-F]{1,16})\r\n")
# The beginnings of these lines and of the empty line at the end. Trailers are refused.
_PART = re.compile(rb"[0-9a-fA-F]{0,16}\r?")
_NEXT_PART = re.compile(rb"\r?|\r\n[0-9a-fA-F]{0,16}\r?")


class Body(Protocol):
    """A body that is being read."""

    size: int  # bytes that were announced
    received: int
    is_complete: bool

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the body's content in `data`, and the rest, which is of the next request.

        Raises Refused.
        """


class LengthBody:
    """A body with a Content-Length."""

    __slots__ = ("_left", "is_complete", "received", "size")

    def __init__(self, length: int) -> None:
        self.size = self._left = length
        self.received = 0
        self.is_complete = length == 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        content, rest = (data, b"") if len(data) <= self._left else _cut(data, self._left)
        self._left -= len(content)
        self.received += len(content)
        self.is_complete = not self._left
        return content, rest


class ChunkedBody:
    """A body in chunks, without extensions and trailers."""

    __slots__ = ("_held", "_is_first", "_is_last", "_left", "is_complete", "received", "size")

    def __init__(self) -> None:
        self.size = 0  # of the chunks so far
        self.received = 0
        self.is_complete = False
        self._held = b""  # the beginning of a line
        self._left = 0  # bytes of the current chunk that are missing
        self._is_first = True
        self._is_last = False

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        data, self._held = self._held + data, b""
        parts: list[bytes] = []
        at = 0
        while at < len(data) and not self.is_complete:
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                self._left -= len(part)
                self.received += len(part)
                at += len(part)
            else:
                line_end = self._line(data, at)
                if line_end is None:
                    self._held = data[at:]
                    return b"".join(parts), b""
                at = line_end
        return b"".join(parts), data[at:]

    def _line(self, data: bytes, at: int) -> int | None:
        """Read the line between chunks. Return where it ends, or None if it is incomplete."""
        if self._is_last:
            return self._empty_line(data, at)
        match = (_SIZE if self._is_first else _NEXT_SIZE).match(data, at)
        if match is None:
            if (_PART if self._is_first else _NEXT_PART).fullmatch(data, at):
                return None
            raise Refused(400, "The size of a chunk is malformed.")
        self._is_first = False
        self._left = int(match[1], 16)
        self._is_last = not self._left
        self.size += self._left
        return match.end()

    def _empty_line(self, data: bytes, at: int) -> int | None:
        if data.startswith(b"\r\n", at):
            self.is_complete = True
            return at + 2
        if data[at:] != b"\r":
            raise Refused(400, "The end of the body is malformed; trailers are not supported.")
        return None


def _cut(data: bytes, at: int) -> tuple[bytes, bytes]:
    return data[:at], data[at:]
