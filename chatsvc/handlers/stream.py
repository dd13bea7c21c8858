"""Opens streams (docs/api.md section 5). The request ends; a Subscriber stays on its connection."""

import logging
import random
import time

from tornado.httputil import format_timestamp

from chatsvc.errors import DomainError
from chatsvc.handlers.admin import check_chat_id
from chatsvc.handlers.endpoint import Endpoint, StaffHandler, UserHandler
from chatsvc.handlers.openapi import CURSOR_QUERY, operation
from chatsvc.security.rate_limits import address_key
from chatsvc.services.cursors import parse_seq
from chatsvc.services.identity import Caller
from chatsvc.streams.connection import StreamConnection
from chatsvc.streams.subscriber import Subscription

log = logging.getLogger(__name__)

# How long EventSource waits before it reconnects; random, so that not all return at once.
RETRY_MS = (1000, 3000)
UNPARSABLE = -1
EVENT_STREAM = "text/event-stream; charset=utf-8"


class EventStream:
    """The schema of a stream's response, for /openapi.json."""


class StreamHandler(Endpoint):
    """Opens a stream on the connection of this request.

    `admission` limits how many are opened at once; the rest wait.
    """

    remembers = False  # each stream authenticates once; caching thousands would fill the cache

    async def identify(self) -> Caller:
        async with self.services.streams.admission:
            return await super().identify()

    def cors_headers(self) -> list[tuple[str, str]]:
        return []

    def set_error(self, error: DomainError) -> None:
        """Set the error; close the connection too if there is no room for a stream."""
        super().set_error(error)
        if error.status == 503:
            self.set_header("Connection", "close")

    def open_stream(self, *, chat_id: str | None, staff: bool) -> None:
        """End the request and leave a Subscriber on its connection.

        Raises TooManyRequests, Unavailable before anything is written.
        """
        subscription = Subscription(
            owner=self.caller.user_id,
            address=address_key(self.address),
            chat_id=chat_id,
            staff=staff,
            cursor=self.cursor(),
            message_id=self.message_id(),
            access_id=self.caller.access_id,
            expires_at=self.caller.expires_at,
            request_id=self.request_id,
        )
        streams = self.services.streams
        if self.request.method == "HEAD":
            self.set_header("Content-Type", EVENT_STREAM)
            return
        streams.admit(subscription)
        head = self.stream_head(f"chatsvc, for {self.address}" if staff else "chatsvc")
        taken = self.detach()
        if taken is None:
            return  # the client has disconnected during the reads
        connection = StreamConnection(taken, streams.selector)
        connection.write(head)
        streams.open(subscription, connection)
        log.info("stream opened: %s %s", self.request.path, self.request_id)

    def cursor(self) -> int | None:
        """Return the id of the last event that the client has.

        The header takes precedence: on reconnect EventSource resends the original query.
        """
        text = self.request.headers.get("Last-Event-ID") or self.get_query_argument(
            "last_event_id", None
        )
        if not text:
            return None
        seq = parse_seq(text)
        return UNPARSABLE if seq is None else seq

    def message_id(self) -> str | None:
        """Return the id of the message at `last_event_id`.

        EventSource resends the original query, so `last_message_id` is ignored if the header has
        another cursor.
        """
        header = self.request.headers.get("Last-Event-ID")
        if header and header != self.get_query_argument("last_event_id", None):
            return None
        return self.get_query_argument("last_message_id", "") or None

    def stream_head(self, comment: str) -> bytes:
        """Return the head of the response, with a comment that makes a buffering proxy noticeable.

        For staff the comment has their address. The doctor compares it with the real one to find a
        proxy that does not forward it.
        """
        headers = [
            ("Content-Type", EVENT_STREAM),
            ("Cache-Control", "no-store, no-transform"),
            ("X-Accel-Buffering", "no"),
            # without it, an nginx that compresses this type buffers everything
            ("Content-Encoding", "identity"),
            ("Connection", "close"),
            ("Date", format_timestamp(time.time())),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-Id", self.request_id),
            *self.cors_headers(),
        ]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        retry_ms = random.randint(*RETRY_MS)  # noqa: S311 -- jitter, no secret
        return f"HTTP/1.1 200 OK\r\n{lines}\r\n: {comment}\nretry: {retry_ms}\n".encode("latin-1")


class UserStreamHandler(UserHandler, StreamHandler):
    @operation("Events of the caller's chat", {200: EventStream}, query=CURSOR_QUERY, errors=(429,))
    async def get(self) -> None:
        if self.caller.chat_id is None:
            async with self.services.streams.admission:
                await self.chat_id()
        self.open_stream(chat_id=self.caller.chat_id, staff=False)


class ChatStreamHandler(StaffHandler, StreamHandler):
    @operation("Events of one chat", {200: EventStream}, query=CURSOR_QUERY, errors=(429,))
    async def get(self, chat_id: str) -> None:
        await self.services.chats.state(check_chat_id(chat_id))
        self.open_stream(chat_id=chat_id, staff=False)


class NotificationsStreamHandler(StaffHandler, StreamHandler):
    @operation(
        "Events for all staff, and those of one chat in the same connection",
        {200: EventStream},
        query={**CURSOR_QUERY, "chat_id": {"type": "string", "format": "uuid"}},
        errors=(404, 429),
    )
    async def get(self) -> None:
        chat_id = self.get_query_argument("chat_id", None)
        if chat_id is not None:
            await self.services.chats.state(check_chat_id(chat_id))
        self.open_stream(chat_id=chat_id, staff=True)


ROUTES = [
    (r"/support_chat/stream", UserStreamHandler),
    (r"/admin/chats/([^/]+)/stream", ChatStreamHandler),
    (r"/admin/notifications/stream", NotificationsStreamHandler),
]
