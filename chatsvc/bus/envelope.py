"""What travels between processes: an event, the process that published it, and a MAC."""

import hmac
from typing import Annotated

import msgspec

MAC_BYTES = 16


class InvalidEnvelope(ValueError):
    """The payload was not sealed with our key for this channel."""


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """An event, whose topic is the channel's name, and the process that published it."""

    origin: bytes
    frame: bytes
    seq: Annotated[int, msgspec.Meta(ge=1)] | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Envelope).decode


class Sealer:
    """Encodes envelopes with a MAC over channel and content.

    Only processes with the same `key` can make an envelope, and it is valid on one channel alone.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, channel: str, envelope: Envelope) -> bytes:
        """Return the payload to publish on `channel`: the MAC, then the envelope."""
        content = _encode(envelope)
        return self._mac(channel, content) + content

    def open(self, channel: str, payload: bytes) -> Envelope:
        """Return the envelope of a payload received on `channel`. Raises InvalidEnvelope."""
        mac, content = payload[:MAC_BYTES], payload[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(channel, content)):
            raise InvalidEnvelope("the MAC is wrong")
        try:
            return _decode(content)
        except msgspec.DecodeError as error:
            raise InvalidEnvelope(str(error)) from error

    def _mac(self, channel: str, content: bytes) -> bytes:
        return hmac.digest(self._key, b"%s\0%s" % (channel.encode(), content), "sha256")[:MAC_BYTES]
