"""Events, their topics, and their one encoding: a frame of bytes that every subscriber shares.

A transaction emits events and signals. Events go to subscribers in all processes; signals go to a
part of this process, see `App`.
"""

from typing import NamedTuple

import msgspec

STAFF_TOPIC = "staff"
# Between processes. The frame is the id of an ended staff session or token; empty: unknown, so
# all are checked.
ACCESS_TOPIC = "access"
_CHAT_PREFIX = "chat:"

# JSON allows them in a string, and some clients split lines at them
_LINE_BREAKS = tuple((chr(n).encode(), b"\\u%04x" % n) for n in (0x85, 0x2028, 0x2029))

_encoder = msgspec.json.Encoder()


def chat_topic(chat_id: str) -> str:
    """The topic that carries the events of one chat."""
    return _CHAT_PREFIX + chat_id


def chat_id_of(topic: str) -> str | None:
    """Return the id of the topic's chat, or None for other topics."""
    return topic.removeprefix(_CHAT_PREFIX) if topic.startswith(_CHAT_PREFIX) else None


def encode_frame(data: msgspec.Struct, *, seq: int | None = None, name: str | None = None) -> bytes:
    """Encode one Server-Sent Event. `data:` is one line, even for clients that know more breaks."""
    head = b"" if seq is None else b"id: %d\n" % seq
    if name is not None:
        head += b"event: %s\n" % name.encode()
    encoded = _encoder.encode(data)
    for character, escaped in _LINE_BREAKS:
        encoded = encoded.replace(character, escaped)
    return b"%sdata: %s\n\n" % (head, encoded)


class Event(msgspec.Struct, frozen=True):
    """An encoded event on the bus. `seq` is the number of the message that it is about, if any."""

    topic: str
    frame: bytes
    seq: int | None = None

    @classmethod
    def encode(cls, topic: str, data: msgspec.Struct, seq: int | None = None) -> "Event":
        """Encode `data` once, for all subscribers of `topic`."""
        return cls(topic, encode_frame(data, seq=seq), seq)


class Emission(NamedTuple):
    """An event that a transaction emitted, not yet encoded."""

    topic: str
    event: msgspec.Struct
    seq: int | None = None


class Signal(msgspec.Struct, frozen=True):
    """Something that happened in a transaction and concerns this process alone."""


class MessagePosted(Signal, frozen=True):
    """A new message was stored."""

    sender_type: str


class NoticeDue(Signal, frozen=True):
    """A notice is due `in_s` seconds from now."""

    in_s: float


class NoticeEnded(Signal, frozen=True):
    """A notice was `sent`, `cancelled` or `failed`, or will be retried (`retried`)."""

    outcome: str


class AccessEnded(Signal, frozen=True):
    """A staff session or token ended. `access_id` None: unknown, so all are checked."""

    access_id: str | None


class UserChanged(Signal, frozen=True):
    """A user's name, e-mail address or language changed: what is cached of the user is outdated."""

    user_id: str
