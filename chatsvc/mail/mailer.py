"""What a mailer does, and the three ways in which a mail server says no."""

from collections.abc import Callable
from email.message import EmailMessage
from typing import Protocol


class DeliveryError(Exception):
    """An e-mail was not taken. `str()` says why in one line, without the recipient's address; `advice`, if anything, which setting to change."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


class NotNow(DeliveryError):
    """Another time perhaps. `may_be_out`: the server had all of the e-mail and its answer did not come. `nobody_there`: there was no connection."""

    def __init__(
        self, reason: str, advice: str = "", *, may_be_out: bool = False, nobody_there: bool = False
    ) -> None:
        super().__init__(reason, advice)
        self.may_be_out, self.nobody_there = may_be_out, nobody_there


class Refused(DeliveryError):
    """This e-mail never. `address`: it is the recipient's address that the server does not want."""

    def __init__(self, reason: str, *, address: bool = False) -> None:
        super().__init__(reason)
        self.address = address


class Unusable(DeliveryError):
    """No e-mail at all, until somebody changes the configuration or the server: a bad login, no TLS, a sender that is not allowed.

    `headline` says which, without what the server said: for everybody to see.
    """

    def __init__(self, headline: str, reason: str, advice: str = "") -> None:
        super().__init__(reason, advice)
        self.headline = headline


class Mailer(Protocol):
    """Hands e-mails over, one at a time."""

    @property
    def where(self) -> str:
        """Where they go, for the log."""

    async def send(self, compose: Callable[[], EmailMessage]) -> str:
        """Hands over what `compose` makes, which is called on another thread; what it raises is raised here.

        Returns what the server answered. Raises NotNow, Refused, Unusable.
        """

    async def check(self) -> None:
        """Whether e-mails can be handed over at all. Raises NotNow, Unusable."""

    async def rest(self) -> None:
        """There is nothing more to send for now: what was kept open is closed."""

    def cut(self) -> None:
        """Ends what is under way: `send` raises NotNow soon."""

    async def close(self) -> None:
        """For ever. Does not wait for what is under way."""
