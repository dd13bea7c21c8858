"""The composition root: builds and wires all objects, starts and stops them."""

import asyncio
import logging
import re
import resource
import socket
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from chatsvc.bus.local import Bus, LocalBus
from chatsvc.config.config import Config
from chatsvc.database.threads import Database
from chatsvc.events import (
    ACCESS_TOPIC,
    AccessEnded,
    Emission,
    Event,
    MessagePosted,
    NoticeDue,
    NoticeEnded,
    Signal,
    UserChanged,
)
from chatsvc.handlers import (
    account,
    admin,
    assets,
    dashboard,
    demo,
    ops,
    search,
    stream,
    unsubscribe,
    user,
)
from chatsvc.handlers.access_log import AccessLog
from chatsvc.handlers.base import BODY_MAX_BYTES
from chatsvc.handlers.cookies import cookie_names
from chatsvc.handlers.endpoint import Endpoint, EndpointDelegate, TooLargeHandler
from chatsvc.handlers.openapi_document import describe
from chatsvc.handlers.page import PageHandler, PageNotFoundHandler
from chatsvc.handlers.services import Services
from chatsvc.mail.factory import make_mailer
from chatsvc.mail.messages import Composer
from chatsvc.ops.metrics import Metrics
from chatsvc.ops.readiness import Readiness
from chatsvc.ops.summary import Summary
from chatsvc.pages.assets import Assets
from chatsvc.pages.templates import load_templates
from chatsvc.security.passwords import Passwords
from chatsvc.security.rate_limits import DEFAULT_RATES, Limits, LoginLimits, Rates, address_key
from chatsvc.security.tokens import demo_secret, purpose_key
from chatsvc.services.account import AccountService
from chatsvc.services.chats import ChatService
from chatsvc.services.identity import IdentityService
from chatsvc.services.notices import NoticeService
from chatsvc.services.search import SearchService
from chatsvc.services.staff_pages import StaffPages
from chatsvc.streams.registry import DEFAULT_RHYTHM, Rhythm, Streams
from chatsvc.streams.resync import Resynchronizer
from chatsvc.streams.subscriber import Sources, Subscriber
from chatsvc.tasks import cancel
from chatsvc.text.translations import Translations
from chatsvc.web.client_address import LOOPBACK, is_within, parse_networks
from chatsvc.web.exchange import Exchange
from chatsvc.web.limits import ServerLimits
from chatsvc.web.server import WebServer
from chatsvc.web.sockets import listen

log = logging.getLogger(__name__)

REQUESTS_LIMIT_S = 10.0  # at stop: for running requests to end
CLIENTS_LIMIT_S = 1.0  # at stop: for clients to send a request to its end and take its response
REQUESTS_POLL_S = 0.02
DESCRIPTORS_RESERVED = 200  # for listening sockets, database, log, and requests without a stream
DESCRIPTORS_PER_SOURCE = 4  # one address may use at most a quarter of them for requests

ROUTES: list[Any] = [
    *user.ROUTES,
    *admin.ROUTES,
    *stream.ROUTES,
    *dashboard.ROUTES,
    *search.ROUTES,
    *account.ROUTES,
    *demo.ROUTES,
    *assets.ROUTES,
    *ops.ROUTES,
    *unsubscribe.ROUTES,
]


class WebApplication(Application):
    """Runs Endpoints; refuses a too large Content-Length before the body is read."""

    def get_handler_delegate(
        self,
        request: HTTPServerRequest,
        target_class: type[RequestHandler],
        target_kwargs: dict[str, Any] | None = None,
        path_args: list[bytes] | None = None,
        path_kwargs: dict[str, bytes] | None = None,
    ) -> Any:
        max_bytes: int = getattr(target_class, "body_max_bytes", BODY_MAX_BYTES)
        if int(request.headers.get("Content-Length", "0")) > max_bytes:
            too_large = TooLargeHandler(self, request, allowed_bytes=max_bytes)
            return EndpointDelegate(too_large, [])
        if max_bytes > BODY_MAX_BYTES:
            assert isinstance(request.connection, Exchange)
            request.connection.set_max_body_size(max_bytes)
        if issubclass(target_class, Endpoint):
            return EndpointDelegate(target_class(self, request), path_args or [])
        return super().get_handler_delegate(
            request, target_class, target_kwargs, path_args, path_kwargs
        )


class App:
    """A running chatsvc on a migrated database. `stop` undoes `start` in reverse order."""

    def __init__(
        self,
        config: Config,
        database_url: str,
        secret_key: bytes,
        *,
        rates: Rates = DEFAULT_RATES,
        passwords: Passwords | None = None,
        rhythm: Rhythm = DEFAULT_RHYTHM,
        server_limits: ServerLimits | None = None,
        assets: Assets | None = None,
    ) -> None:
        self.config = config
        self._trusted_proxies = parse_networks(config.trusted_proxies)
        self.metrics = Metrics()
        self.languages = Translations()
        self.bus: Bus = make_bus(config, secret_key)
        self.db = Database(
            database_url,
            publish=self._publish,
            on_commit=self.metrics.committed,
            on_doubt=self.bus.publish_events_lost,
        )
        self.chats = ChatService(
            self.db,
            email_delay_s=config.email_delay_s,
            email_min_interval_s=config.email_min_interval_s,
        )
        self.identity = IdentityService(
            self.db,
            secret_key=secret_key,
            identity_secrets=config.identity_secrets
            or ((demo_secret(secret_key),) if config.demo else ()),
            visitors=config.visitors,
            passwords=passwords,
            login_limits=LoginLimits.from_rates(rates),
        )
        descriptors = _raise_descriptor_limit()
        self.limits = Limits.from_config(config, rates)
        self.streams = Streams(
            Sources(
                self.chats.stream_start,
                self.chats.messages_after,
                self.chats.staff_state,
                self.chats.is_at,
                self.limits.reads.charge,
            ),
            per_user=config.streams_per_user,
            per_staff=config.streams_per_staff,
            per_address=config.streams_per_address,
            total=descriptors - DESCRIPTORS_RESERVED,
            valid_access_ids=self.identity.valid_access_ids,
            rhythm=rhythm,
            on_close=self._stream_closed,
            subscribe=self.bus.subscribe,
            unsubscribe=self.bus.unsubscribe,
        )
        self.resynchronizer = Resynchronizer(
            self.streams,
            chat_states=self.chats.states,
            staff_state=self.chats.staff_state,
            is_disconnected=lambda: self.bus.unavailable_reason is not None,
            rhythm=rhythm,
        )
        self._assets = assets or Assets()
        self._templates = load_templates(self._assets)
        self.notices = NoticeService(
            self.db,
            make_mailer(config),
            Composer(config, secret_key, self._templates, self.languages),
            email_delay_s=config.email_delay_s,
            email_min_interval_s=config.email_min_interval_s,
        )
        self.readiness = Readiness(
            self.db,
            lambda: self.bus.unavailable_reason,
            lambda: self.notices.unavailable_headline,
        )
        self._running: set[RequestHandler] = set()
        self._cookies = cookie_names(config.public_url)

        self._add_gauges()
        self.web = WebApplication(
            ROUTES,
            default_handler_class=PageNotFoundHandler,
            services=self._services(),
            pages=re.compile(
                "|".join(one for one, page, *_ in ROUTES if issubclass(page, PageHandler))
            ),
            xsrf_cookies=True,
            xsrf_cookie_name=self._cookies.xsrf,
            xsrf_cookie_kwargs={"samesite": "Lax", "httponly": True, "secure": self._is_secure},
            cross_origin_protection=True,
            log_function=AccessLog(self.metrics, config.log_requests),
        )
        self.server = WebServer(
            self.web,
            server_limits or ServerLimits(),
            connections_per_source=descriptors // DESCRIPTORS_PER_SOURCE,
            source_key=self._source_key,
        )
        self._stack = AsyncExitStack()

    async def start(self, sockets: list[socket.socket] | None = None) -> list[socket.socket]:
        """Start all parts and listen. Return the listening sockets, which know the actual port."""
        async with AsyncExitStack() as stack:
            stack.callback(self.identity.close)
            self.bus.subscribe(ACCESS_TOPIC)
            await self.bus.start(self._deliver, self.resynchronizer.request)
            # closes after the database has stopped, so that the last events are published
            stack.push_async_callback(self.bus.close)
            await self.db.start()
            stack.push_async_callback(self.db.stop)
            stack.push_async_callback(self.notices.stop)
            await self.streams.start()
            stack.push_async_callback(self.streams.stop)
            for rhythm in (
                self.metrics.watch_loop(),
                self.resynchronizer.run(),
                Summary(self.metrics).run(),
            ):
                stack.push_async_callback(cancel, asyncio.create_task(rhythm))
            sockets = sockets or listen(self.config.host, self.config.port)
            await self.notices.start()  # after listening has succeeded
            self.server.add_sockets(sockets)
            stack.push_async_callback(self._end_requests)
            stack.callback(self.server.stop)
            stack.push_async_callback(self.streams.drain)
            stack.callback(self.server.end_keep_alive)
            stack.callback(setattr, self.readiness, "draining", True)
            self._stack = stack.pop_all()
        return sockets

    async def stop(self) -> None:
        """Refuse new requests, end streams as `shutdown`, finish running requests and writes."""
        await self._stack.aclose()

    async def _end_requests(self) -> None:
        """Close idle connections, and respond to requests that have arrived at least in part.

        The client of a request without a response would not know whether its message was stored.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        while left := max(
            self.server.close_idle(patient=loop.time() < began + CLIENTS_LIMIT_S),
            len(self._running),
        ):
            if loop.time() >= began + REQUESTS_LIMIT_S:
                break
            await asyncio.sleep(REQUESTS_POLL_S)
        if left:
            log.warning("%d requests did not end within %.0f s", left, REQUESTS_LIMIT_S)
        self.server.close_all()

    def _add_gauges(self) -> None:
        gauge = self.metrics.gauge
        gauge("chatsvc_open_streams", "Open streams", lambda: len(self.streams))
        gauge("chatsvc_database_queue", "Reads and writes in progress", lambda: self.db.in_flight)
        gauge(
            "chatsvc_database_writable",
            "0 if the last write failed because of the database, else 1",
            lambda: not self.db.refuses_writes,
        )
        gauge(
            "chatsvc_email_paused",
            "1 if e-mail is paused because the mail server cannot be used, else 0",
            lambda: self.notices.unavailable_reason is not None,
        )
        gauge(
            "chatsvc_bus_up",
            "1 if events of other processes arrive, else 0",
            lambda: self.bus.unavailable_reason is None,
        )
        gauge(
            "chatsvc_catch_ups",
            "Times that streams were compared with the database",
            lambda: self.resynchronizer.rounds,
        )

    def _services(self) -> Services:
        config = self.config
        return Services(
            config=config,
            chats=self.chats,
            staff_pages=StaffPages(self.db),
            search=SearchService(self.db),
            identity=self.identity,
            notices=self.notices,
            account=AccountService(self.db, self.identity, self.languages.names),
            streams=self.streams,
            assets=self._assets,
            templates=self._templates,
            languages=self.languages,
            limits=self.limits,
            metrics=self.metrics,
            readiness=self.readiness,
            trusted_proxies=self._trusted_proxies,
            allowed_origins=frozenset(config.allowed_origins),
            public_origin="{0.scheme}://{0.netloc}".format(urlsplit(config.public_url)),
            cookies=self._cookies,
            openapi=describe(ROUTES),
            running=self._running,
        )

    def _source_key(self, address: str) -> str | None:
        """Count connections by client, but not those of a proxy: all clients come through it."""
        if is_within(address, LOOPBACK) or is_within(address, self._trusted_proxies):
            return None
        return address_key(address)

    @property
    def _is_secure(self) -> bool:
        return self.config.public_url.startswith("https:")

    def _deliver(self, event: Event) -> None:
        """Take an event from the bus: for streams, or about a session or token that has ended."""
        if event.topic == ACCESS_TOPIC:
            access_id = event.frame.decode() or None
            self.identity.forget_access(access_id)
            self.streams.end_access(access_id)
        else:
            self.streams.deliver(event)

    def _publish(self, emitted: Emission | Signal) -> None:
        """Take what a transaction emitted, after its COMMIT."""
        match emitted:
            case Emission():
                self.bus.publish(Event.encode(*emitted))
            case MessagePosted():
                self.metrics.message_posted(emitted.sender_type)
            case NoticeDue():
                self.notices.arm(emitted.in_s)
            case NoticeEnded():
                self.metrics.notices.labels(emitted.outcome).inc()
            case AccessEnded():
                self.bus.publish(Event(ACCESS_TOPIC, (emitted.access_id or "").encode()))
            case UserChanged():
                self.identity.forget_user(emitted.user_id)

    def _stream_closed(self, subscriber: Subscriber, age_s: float) -> None:
        self.metrics.streams_closed.labels(subscriber.reason or "gone").inc()
        log.info(
            "stream closed: %s after %.0f s %s",
            subscriber.reason,
            age_s,
            subscriber.subscription.request_id,
        )


def make_bus(config: Config, secret_key: bytes) -> Bus:
    """Return the configured bus. The secret key separates installations that share a Redis."""
    if config.bus_url is None:
        return LocalBus()
    from chatsvc.bus.redis import RedisBus  # imported here: the Redis client takes 7 MiB

    namespace = purpose_key(secret_key, "bus-channels").hex()[:16]
    return RedisBus(config.bus_url, namespace, purpose_key(secret_key, "bus-events"))


def _raise_descriptor_limit() -> int:
    """Raise the limit on file descriptors to the hard limit, and return it: streams need many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft if soft != resource.RLIM_INFINITY else 1_000_000
