"""The reference as a server: a handler coroutine with a queue per stream, json.dumps, PyJWT."""

import asyncio
import json
import os
import uuid
from collections import defaultdict
from typing import Any

import jwt
import tornado.iostream
import tornado.web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from bench.reference import store
from bench.reference.models import database

PING_INTERVAL_S = 15  # as the service under test
RETRY_MS = 2000

Item = tuple[int | None, bytes]  # seq, or None for events without one; and the frame


def frame(event: store.Json, seq: int | None = None) -> bytes:
    head = f"id: {seq}\n" if seq is not None else ""
    return f"{head}data: {json.dumps(event)}\n\n".encode()


class Hub:
    """Topics and the queues of who listens."""

    def __init__(self) -> None:
        self.queues: dict[str, set[asyncio.Queue[Item]]] = defaultdict(set)

    def publish(self, topic: str, event: store.Json, seq: int | None = None) -> None:
        item = (seq, frame(event, seq))
        for queue in self.queues[topic]:
            queue.put_nowait(item)

    async def ping(self) -> None:
        item = (None, b'event: ping\ndata: {"seq": 0}\n\n')
        while True:
            await asyncio.sleep(PING_INTERVAL_S)
            for queues in self.queues.values():
                for queue in queues:
                    queue.put_nowait(item)


class Handler(tornado.web.RequestHandler):
    def initialize(self, hub: Hub, data: store.Store, secret: str) -> None:
        self.hub, self.data, self.secret = hub, data, secret

    def prepare(self) -> None:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        try:
            if scheme != "Bearer":
                raise jwt.InvalidTokenError
            self.claims = jwt.decode(
                token,
                self.secret,
                ["HS256"],
                audience="chatsvc",
                options={"require": ["exp", "sub"]},
            )
        except jwt.InvalidTokenError:
            raise tornado.web.HTTPError(401) from None

    def answer(self, value: object, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value))


class ChatHandler(Handler):
    async def get(self) -> None:
        who = (self.claims["sub"], self.claims.get("email"), self.claims.get("name"))
        self.answer(await self.data.run(store.open_chat, *who))


class MessagesHandler(Handler):
    async def post(self) -> None:
        body: dict[str, Any] = json.loads(self.request.body)
        content, client_id = body["content"], body.get("client_id")
        if not isinstance(content, str) or not 0 < len(content.strip()) <= 10_000:
            raise tornado.web.HTTPError(422)
        chat_id, message = await self.data.run(
            store.post_message, self.claims["sub"], content, client_id
        )
        self.hub.publish(
            f"chat:{chat_id}",
            {"type": "new_message", "message": message},
            message["seq"],
        )
        self.hub.publish(
            "staff",
            {"type": "new_user_message", "chat_id": chat_id, "message": message},
        )
        self.answer(message, 201)


class StreamHandler(Handler):
    async def get(self) -> None:
        last_id = self.request.headers.get("Last-Event-ID")
        queue = self.queue = asyncio.Queue[Item]()
        chat_id, _, _ = await self.data.run(store.stream_start, self.claims["sub"], None)
        self.hub.queues[f"chat:{chat_id}"].add(queue)
        try:
            await self.stream(queue, int(last_id) if last_id else None)
        except (tornado.iostream.StreamClosedError, asyncio.CancelledError):
            pass
        finally:
            self.hub.queues[f"chat:{chat_id}"].discard(queue)

    async def stream(self, queue: asyncio.Queue[Item], cursor: int | None) -> None:
        _, newest, missed = await self.data.run(store.stream_start, self.claims["sub"], cursor)
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-store, no-transform")
        self.write(f": hello\nretry: {RETRY_MS}\n\n")
        self.write(
            frame(
                {
                    "type": "state",
                    "last_seq": newest,
                    "unread_count": 0,
                    "archived": False,
                }
            )
        )
        for message in missed:
            self.write(frame({"type": "new_message", "message": message}, message["seq"]))
        await self.flush()
        while True:
            seq, data = await queue.get()
            if seq is not None and seq <= newest:
                continue
            self.write(data)
            await self.flush()

    def on_connection_close(self) -> None:
        # the coroutine sleeps in queue.get(): this frame wakes it, and writing finds the connection closed
        if hasattr(self, "queue"):
            self.queue.put_nowait((None, b"\n"))


class ListHandler(Handler):
    async def get(self) -> None:
        page = int(self.get_query_argument("page", "1"))
        self.answer(await self.data.run(store.list_chats, store.PAGE, (page - 1) * store.PAGE))


class StaffChatHandler(Handler):
    async def get(self, chat_id: str) -> None:
        self.answer(await self.data.run(store.staff_chat, uuid.UUID(chat_id)))


class HealthHandler(tornado.web.RequestHandler):
    def get(self) -> None:
        self.finish("ok")


async def serve(port: int, secret: str) -> None:
    hub, data = Hub(), store.Store()
    services = {"hub": hub, "data": data, "secret": secret}
    application = tornado.web.Application(
        [
            (r"/support_chat", ChatHandler, services),
            (r"/support_chat/messages", MessagesHandler, services),
            (r"/support_chat/stream", StreamHandler, services),
            (r"/admin/chats", ListHandler, services),
            (r"/admin/chats/([0-9a-f-]+)", StaffChatHandler, services),
            (r"/readyz", HealthHandler),
        ],
        log_function=lambda handler: None,
    )
    sockets = bind_sockets(port, "127.0.0.1")
    HTTPServer(application).add_sockets(sockets)
    print(f"listening on 127.0.0.1 port {sockets[0].getsockname()[1]}", flush=True)
    await hub.ping()


def main() -> None:
    options = {
        name: os.environ[f"REFERENCE_{name}"] for name in ("DATABASE_URL", "PORT", "SECRET", "LOOP")
    }
    database.init(options["DATABASE_URL"])
    loop_factory = None
    if options["LOOP"] == "uvloop":
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve(int(options["PORT"]), options["SECRET"]))


if __name__ == "__main__":
    main()
