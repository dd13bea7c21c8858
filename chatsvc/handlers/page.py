"""PageHandler: server-rendered pages, their security headers and the session cookie."""

import re
from typing import Any, ClassVar
from urllib.parse import urlencode

from chatsvc import errors
from chatsvc.errors import BadRequest, DomainError, NotFound, Unauthorized
from chatsvc.handlers.base import BaseHandler
from chatsvc.services.cursors import parse_seq
from chatsvc.services.identity import Caller
from chatsvc.text.translations import Translator

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",  # no string becomes markup
    )
)
HSTS = "max-age=31536000"
DEVICE_MAX_AGE_S = 400 * 86_400  # the maximum of browsers
USER_AGENT_MAX_CHARS = 300  # contains browser and system


class PageHandler(BaseHandler):
    """Render templates. Redirect to the login page without a session, and back after it."""

    leads_back: ClassVar[bool] = True  # whether an error page links to the chats

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Security-Policy", CSP)
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        if self.services.public_origin.startswith("https:"):
            self.set_header("Strict-Transport-Security", HSTS)

    def check_xsrf_cookie(self) -> None:
        """Check every form, the login included: login CSRF is an attack too."""
        super(BaseHandler, self).check_xsrf_cookie()

    async def identify(self) -> Caller:
        """Authenticate by the session cookie only: pages are for browsers."""
        if not self.session_cookie:
            raise Unauthorized
        return await self.services.identity.authenticate_cookie(self.session_cookie)

    @property
    def texts(self) -> Translator:
        """The texts in the language of the account, or else of the browser."""
        # There is no caller if the form was refused before authentication.
        caller: Caller | None = getattr(self, "caller", None)
        chosen = caller and caller.language
        return self.services.languages.translator(chosen or self.language)

    @property
    def user_agent(self) -> str:
        return self.request.headers.get("User-Agent", "")[:USER_AGENT_MAX_CHARS]

    def explain(self, error: DomainError) -> str:
        """Return an error of a form as a sentence in the language of the page."""
        if not error.errors:
            return self.texts(f"problems.{error.code}")
        return self.texts(f"problems.{error.errors[0].reason}", n=error.errors[0].limit)

    @property
    def form_token(self) -> str:
        """The token that forms send back. Reading it sets its cookie."""
        return self.xsrf_token.decode()

    def page(self, template: str, **context: Any) -> None:
        """End the request with a page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        rendered = self.services.templates.get_template(template).render(
            t=self.texts, name=self.services.config.name, xsrf_token=self.form_token, **context
        )
        self.finish(rendered)

    def render_error(self, error: DomainError) -> None:
        if (
            isinstance(error, Unauthorized)
            and self.request.method in ("GET", "HEAD")
            and self.audience == "staff"
        ):
            self.clear_header("WWW-Authenticate")
            self.redirect(f"/login?{urlencode({'next': self.request.uri or '/'})}")
            return
        title, hint = self.texts(f"errors.{error.code}"), self.texts(f"error_hints.{error.code}")
        self.page(
            "error.html",
            title=title,
            status=error.status,
            hint=hint,
            request_id=self.request_id,
            leads_back=self.leads_back,
        )

    @property
    def device_cookie(self) -> str | None:
        return self.get_cookie(self.services.cookies.device)

    def remember_device(self, cookie: str) -> None:
        """Mark the browser as one that has logged in. The mark grants nothing but a try."""
        self.set_cookie(
            self.services.cookies.device,
            cookie,
            max_age=DEVICE_MAX_AGE_S,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self.services.public_origin.startswith("https:"),
        )

    def start_session(self, token: str) -> None:
        """Set the session cookie. It ends with the browser, or on the server after 7 days."""
        secure = self.services.public_origin.startswith("https:")
        self.set_cookie(
            self.services.cookies.session,
            token,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=secure,
        )

    def end_session(self) -> None:
        # Browsers clear a __Host- cookie only with `secure` too.
        secure = self.services.public_origin.startswith("https:")
        self.clear_cookie(
            self.services.cookies.session, path="/", httponly=True, samesite="Lax", secure=secure
        )

    def seq_argument(self, name: str) -> int | None:
        """Return a seq from the query. Raise BadRequest."""
        text = self.get_query_argument(name, None)
        if text is None:
            return None
        seq = parse_seq(text)
        if seq is None:
            raise BadRequest(f"{name} must be the seq of a message, not {text[:64]!r}.")
        return seq


class PageNotFoundHandler(PageHandler):
    """Unknown paths: a page for browsers, problem details for other clients.

    A page's path with a slash at its end leads to the page.
    """

    audience = "public"

    async def prepare(self) -> None:
        path, query = self.request.path[:-1], self.request.query
        pages: re.Pattern[str] = self.settings["pages"]
        is_page = self.request.path.endswith("/") and pages.fullmatch(path)
        if is_page and self.request.method in ("GET", "HEAD"):
            self.redirect(f"{path}?{query}" if query else path, status=308)
        else:
            await super().prepare()

    def check_method(self) -> None:
        raise NotFound

    def check_xsrf_cookie(self) -> None:
        pass

    def render_error(self, error: errors.DomainError) -> None:
        if "text/html" in self.request.headers.get("Accept", ""):
            super().render_error(error)
        else:
            BaseHandler.render_error(self, error)
