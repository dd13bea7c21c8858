"""What handlers see of the application."""

from typing import NamedTuple

import jinja2
import msgspec
from tornado.web import RequestHandler

from chatsvc.config.config import Config
from chatsvc.ops.metrics import Metrics
from chatsvc.ops.readiness import Readiness
from chatsvc.pages.assets import Assets
from chatsvc.security.rate_limits import RateLimiter
from chatsvc.services.account import AccountService
from chatsvc.services.chats import ChatService
from chatsvc.services.identity import IdentityService
from chatsvc.services.notices import NoticeService
from chatsvc.services.search import SearchService
from chatsvc.streams.registry import Streams
from chatsvc.text.translations import Languages
from chatsvc.web.client_address import Networks

BURST_USER = 10  # messages (docs/api.md section 8)
BURST_STAFF = 50  # a morning's answers pasted one after the other
BURST_ADDRESS = 100  # a school or an office behind one address
BURST_VISITORS = 30


class Limits(NamedTuple):
    """What is counted, and for whom."""

    message_user: RateLimiter
    message_staff: RateLimiter
    message_address: RateLimiter
    visitor_address: RateLimiter

    @classmethod
    def of(cls, config: Config) -> "Limits":
        return cls(
            RateLimiter(config.message_rate_user, BURST_USER),
            RateLimiter(config.message_rate_staff, BURST_STAFF),
            RateLimiter(config.message_rate_address, BURST_ADDRESS),
            RateLimiter(config.visitor_rate_address, BURST_VISITORS),
        )


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Built once by app.py; every handler reaches it as `self.services`."""

    config: Config
    chats: ChatService
    search: SearchService
    identity: IdentityService
    notices: NoticeService
    account: AccountService
    streams: Streams
    assets: Assets
    templates: jinja2.Environment
    languages: Languages
    limits: Limits
    metrics: Metrics
    readiness: Readiness
    trusted_proxies: Networks
    allowed_origins: frozenset[str]
    public_origin: str
    cookie_name: str
    openapi: bytes
    running: set[RequestHandler]  # requests that are being answered
