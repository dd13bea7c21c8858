"""The page of a staff member's own account, and its forms."""

from collections.abc import Awaitable

from chatsvc.errors import TooManyRequests, Unprocessable
from chatsvc.handlers.dashboard import UUID, DashboardHandler
from chatsvc.security.passwords import MIN_CHARS
from chatsvc.security.rate_limits import address_key

KEPT = (
    "name",
    "token_name",
    "language",
)  # what was typed is shown again beside what was wrong with it; never a password


class AccountPage(DashboardHandler):
    """What the page and its forms have in common: it may be shown in answer to each."""

    async def show(self, *, problems: dict[str, str] | None = None, token: str = "") -> None:
        """`problems` by the field they are about; `token`: a new one, shown this once."""
        self.dashboard_page(
            "dashboard/account.html",
            await self.counts(),
            account=await self.services.account.account(self.caller),
            this_session=self.caller.access_id,
            languages=self.services.languages.labels,
            problems=problems or {},
            token=token,
            password_min=MIN_CHARS,
            typed={field: self.get_body_argument(field, None) for field in KEPT},
            done=self.get_query_argument("done", ""),
        )

    async def attempt(self, change: Awaitable[None], done: str) -> None:
        """Makes a change and leads back to the page; or shows the page again, with what was wrong."""
        try:
            await change
        except Unprocessable as error:
            self.set_error(error)
            await self.show(problems={error.errors[0].field: self.explain(error)})
        else:
            self.redirect(f"/dashboard/account?done={done}", status=303)


class AccountHandler(AccountPage):
    async def get(self) -> None:
        await self.show()


class NameHandler(AccountPage):
    async def post(self) -> None:
        await self.attempt(
            self.services.account.set_name(self.caller, self.get_body_argument("name", "")), "saved"
        )


class LanguageHandler(AccountPage):
    async def post(self) -> None:
        language = self.get_body_argument("language", "")
        await self.attempt(self.services.account.set_language(self.caller, language), "saved")


class PasswordHandler(AccountPage):
    async def post(self) -> None:
        try:
            await self.attempt(self.change(), "password")
        except TooManyRequests as error:
            self.set_error(error)
            await self.show(problems={"old_password": self.explain(error)})

    async def change(self) -> None:
        old, new = (
            self.get_body_argument(name, "", strip=False)
            for name in ("old_password", "new_password")
        )
        change = self.services.account.set_password(
            self.caller, old, new, address_key(self.address), self.user_agent
        )
        self.start_session(await change)


class SessionHandler(AccountPage):
    """Ends a session; the one that the browser has itself is a log-out."""

    async def post(self, session_id: str) -> None:
        await self.services.account.end_session(self.caller, session_id)
        self.redirect("/dashboard/account?done=saved", status=303)


class TokensHandler(AccountPage):
    """A new token: shown in the answer itself, because nothing keeps it until another request."""

    async def post(self) -> None:
        try:
            token = await self.services.account.create_token(
                self.caller, self.get_body_argument("token_name", "")
            )
        except Unprocessable as error:
            self.set_error(error)
            await self.show(problems={"token_name": self.explain(error)})
        else:
            self.set_status(201)
            await self.show(token=token)


class TokenHandler(AccountPage):
    async def post(self, token_id: str) -> None:
        await self.services.account.revoke_token(self.caller, token_id)
        self.redirect("/dashboard/account?done=saved", status=303)


ROUTES = [
    (r"/dashboard/account", AccountHandler),
    (r"/dashboard/account/name", NameHandler),
    (r"/dashboard/account/language", LanguageHandler),
    (r"/dashboard/account/password", PasswordHandler),
    (rf"/dashboard/account/sessions/({UUID})/end", SessionHandler),
    (r"/dashboard/account/tokens", TokensHandler),
    (rf"/dashboard/account/tokens/({UUID})/revoke", TokenHandler),
]
