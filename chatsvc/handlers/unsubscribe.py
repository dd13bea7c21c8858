"""The page behind the unsubscribe link of e-mails. The token in the link is the credential."""

from typing import ClassVar

from chatsvc.errors import DomainError, NotFound
from chatsvc.handlers.page import PageHandler
from chatsvc.mail.messages import UNSUBSCRIBE_PATH
from chatsvc.text.translations import Translator


class UnsubscribeHandler(PageHandler):
    """GET asks and POST acts, so that link scanners change nothing. RFC 8058 defines the POST."""

    audience = "public"
    leads_back = False
    form_token: ClassVar[str] = ""  # cookies are no credential here, so none is set
    _language: str | None = None  # the user's

    async def get(self) -> None:
        self._show(*await self.services.identity.email_choice(self._token))

    async def post(self) -> None:
        undo = self.get_body_argument("undo", None) is not None
        self._show(
            *await self.services.identity.choose_email(self._token, opted_out=not undo),
            resumed=undo,
        )

    @property
    def _token(self) -> str:
        return self.get_query_argument("token", "")

    @property
    def texts(self) -> Translator:
        """The texts in the language of the user, as in the e-mail."""
        return (
            self.services.languages.translator(self._language) if self._language else super().texts
        )

    def _show(self, opted_out: bool, language: str | None, *, resumed: bool = False) -> None:
        self._language = language
        self.page("unsubscribe.html", opted_out=opted_out, resumed=resumed, known=True)

    def render_error(self, error: DomainError) -> None:
        if isinstance(error, NotFound):
            self.page("unsubscribe.html", opted_out=False, resumed=False, known=False)
        else:
            super().render_error(error)

    def check_xsrf_cookie(self) -> None:
        """Check nothing: mail providers send no cookie, and cookies grant nothing here."""

    def check_trusted_origin(self, origin: str) -> bool:
        """Trust all origins: a mail program in a browser posts from its own."""
        return True


ROUTES = [(UNSUBSCRIBE_PATH, UnsubscribeHandler)]
