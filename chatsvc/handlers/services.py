"""The objects that handlers use."""

import jinja2
import msgspec
from tornado.web import RequestHandler

from chatsvc.config.config import Config
from chatsvc.handlers.cookies import CookieNames
from chatsvc.ops.metrics import Metrics
from chatsvc.ops.readiness import Readiness
from chatsvc.pages.assets import Assets
from chatsvc.security.rate_limits import Limits
from chatsvc.services.account import AccountService
from chatsvc.services.chats import ChatService
from chatsvc.services.identity import IdentityService
from chatsvc.services.notices import NoticeService
from chatsvc.services.search import SearchService
from chatsvc.services.staff_pages import StaffPages
from chatsvc.streams.registry import Streams
from chatsvc.text.translations import Translations
from chatsvc.web.client_address import Networks


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What handlers get as `self.services`. app.py builds it once."""

    config: Config
    chats: ChatService
    staff_pages: StaffPages
    search: SearchService
    identity: IdentityService
    notices: NoticeService
    account: AccountService
    streams: Streams
    assets: Assets
    templates: jinja2.Environment
    languages: Translations
    limits: Limits
    metrics: Metrics
    readiness: Readiness
    trusted_proxies: Networks
    allowed_origins: frozenset[str]
    public_origin: str
    cookies: CookieNames
    openapi: bytes
    running: set[RequestHandler]  # without a complete response
