"""Events, the topics they are published to, and their one encoding: a frame of bytes that every subscriber shares."""

import msgspec

STAFF_TOPIC = "staff"
ACCESS_TOPIC = "access"  # between processes: the frame is the id of a staff session or token that was ended, or empty: any of them
_CHAT_PREFIX = "chat:"

_encoder = msgspec.json.Encoder()


def chat_topic(chat_id: str) -> str:
    """The topic that carries the events of one chat."""
    return _CHAT_PREFIX + chat_id


def chat_id_of(topic: str) -> str | None:
    """Whose topic it is, or None of one that is no chat's."""
    return topic.removeprefix(_CHAT_PREFIX) if topic.startswith(_CHAT_PREFIX) else None


def encode_frame(data: msgspec.Struct, *, seq: int | None = None, name: str | None = None) -> bytes:
    """One event as Server-Sent Events want it. JSON holds no raw line break, so `data:` is always one line."""
    head = b"" if seq is None else b"id: %d\n" % seq
    if name is not None:
        head += b"event: %s\n" % name.encode()
    return b"%sdata: %s\n\n" % (head, _encoder.encode(data))


class Event(msgspec.Struct, frozen=True):
    """What a bus carries. `seq` is the message's number where a client must not miss it, else None."""

    topic: str
    frame: bytes
    seq: int | None = None

    @classmethod
    def of(cls, topic: str, data: msgspec.Struct, seq: int | None = None) -> "Event":
        """Encodes `data` once, for all subscribers of `topic`."""
        return cls(topic, encode_frame(data, seq=seq), seq)
