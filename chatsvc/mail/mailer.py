"""The interface of a mailer, and its errors."""

from email.message import EmailMessage
from typing import Protocol


class DeliveryError(Exception):
    """The e-mail was not accepted.

    `str()` is the reason in one line, without the recipient's address. `advice` names the option
    to change, if that would help.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


class TemporaryFailure(DeliveryError):
    """A temporary failure: the same e-mail may be accepted later.

    `outcome_unknown`: the content was sent but no reply came, so it may have been accepted.
    `unreachable`: there was no connection to a mail server.
    """

    def __init__(
        self,
        reason: str,
        advice: str = "",
        *,
        outcome_unknown: bool = False,
        unreachable: bool = False,
    ) -> None:
        super().__init__(reason, advice)
        self.outcome_unknown, self.unreachable = outcome_unknown, unreachable


class Rejected(DeliveryError):
    """The mail server will never accept this e-mail. `bad_address`: because of the recipient."""

    def __init__(self, reason: str, *, bad_address: bool = False) -> None:
        super().__init__(reason)
        self.bad_address = bad_address


class MailDisabled(DeliveryError):
    """No e-mail can be sent until somebody changes the configuration or the mail server.

    Examples: a refused login, no TLS, a sender that is not allowed. `headline` says which, without
    the server's own words, so that everybody may see it.
    """

    def __init__(self, headline: str, reason: str, advice: str = "") -> None:
        super().__init__(reason, advice)
        self.headline = headline


class Mailer(Protocol):
    """Hands e-mails over, one at a time."""

    @property
    def destination(self) -> str:
        """Where the e-mails go, as a sentence for the log."""

    async def send(self, message: EmailMessage) -> str:
        """Hand an e-mail over and return the mail server's reply.

        Raises TemporaryFailure, Rejected or MailDisabled.
        """

    async def check(self) -> None:
        """Check that e-mails can be handed over. Raises TemporaryFailure or MailDisabled."""

    async def idle(self) -> None:
        """Close the connection that was kept for more e-mails: there are none for now."""

    def abort(self) -> None:
        """Cut off the e-mail in progress, if any. Its `send` raises TemporaryFailure soon."""

    async def close(self) -> None:
        """Close the mailer for good, without waiting for an e-mail in progress."""
