"""The account page of a staff member and its forms."""

from collections.abc import Awaitable

from chatsvc.errors import TooManyRequests, Unprocessable
from chatsvc.handlers.dashboard import UUID, DashboardHandler
from chatsvc.security.passwords import MIN_CHARS
from chatsvc.security.rate_limits import address_key
from chatsvc.services.account import Browser

# Fields whose input is shown again beside an error; never a password
KEPT = ("name", "token_name", "language")


class AccountPage(DashboardHandler):
    """The base of the page and its forms. Each may respond with the page."""

    async def show(self, *, problems: dict[str, str] | None = None, token: str = "") -> None:
        """Show the page with `problems` by field, or with a new `token`, which is shown once."""
        page = await self.services.account.page(self.caller)
        self.dashboard_page(
            "dashboard/account.html",
            page.counts,
            account=page.account,
            this_session=self.caller.access_id,
            languages=self.services.languages.labels,
            problems=problems or {},
            token=token,
            password_min=MIN_CHARS,
            typed={field: self.get_body_argument(field, None) for field in KEPT},
            done=self.get_query_argument("done", ""),
        )

    async def attempt(self, change: Awaitable[None], done: str) -> None:
        """Make a change and redirect to the page, or show the page with the error."""
        try:
            await change
        except Unprocessable as error:
            self.set_error(error)
            await self.show(problems={error.errors[0].field: self.explain(error)})
        else:
            self.redirect(f"/dashboard/account?done={done}", status=303)

    @property
    def browser(self) -> Browser:
        return Browser(address_key(self.address), self.user_agent, self.device_cookie)


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
        change = self.services.account.set_password(self.caller, old, new, self.browser)
        self.start_session(await change)


class SessionHandler(AccountPage):
    """End a session. Ending the browser's own session logs out."""

    async def post(self, session_id: str) -> None:
        await self.services.account.end_session(self.caller, session_id)
        self.redirect("/dashboard/account?done=saved", status=303)


class TokensHandler(AccountPage):
    """Create a token and show it in this response, because it is not stored in plain text."""

    async def post(self) -> None:
        name = self.get_body_argument("token_name", "")
        password = self.get_body_argument("token_password", "", strip=False)
        try:
            token = await self.services.account.create_token(
                self.caller, name, password, self.browser
            )
        except (Unprocessable, TooManyRequests) as error:
            self.set_error(error)
            field = error.errors[0].field if error.errors else "token_password"
            await self.show(problems={field: self.explain(error)})
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
