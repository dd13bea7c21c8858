"""The page behind the link at the end of e-mails. Its token proves that somebody has the e-mail; there is nothing else to prove."""

from typing import ClassVar

from chatsvc.errors import DomainError, NotFound
from chatsvc.handlers.page import PageHandler
from chatsvc.mail.messages import UNSUBSCRIBE_PATH
from chatsvc.text.translations import Texts


class UnsubscribeHandler(PageHandler):
    """GET asks, POST acts: programs that look into links before a person does change nothing. RFC 8058 describes the POST."""

    audience = "public"
    leads_back = False
    form_token: ClassVar[str] = ""  # no cookie proves anything here, so none is set
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
    def texts(self) -> Texts:
        """In the user's language, as the e-mail was."""
        return self.services.languages.texts(self._language) if self._language else super().texts

    def _show(self, opted_out: bool, language: str | None, *, resumed: bool = False) -> None:
        self._language = language
        self.page("unsubscribe.html", opted_out=opted_out, resumed=resumed, known=True)

    def render_error(self, error: DomainError) -> None:
        if isinstance(error, NotFound):
            self.page("unsubscribe.html", opted_out=False, resumed=False, known=False)
        else:
            super().render_error(error)

    def check_xsrf_cookie(self) -> None:
        """Mail providers send no cookie, and no cookie makes this request more than it is."""

    def check_trusted_origin(self, origin: str) -> bool:
        """Nor does its origin: a mail program in a browser may post from its own."""
        return True


ROUTES = [(UNSUBSCRIBE_PATH, UnsubscribeHandler)]
