"""Chooses the mailer that the configuration asks for."""

from chatsvc.config.config import Config
from chatsvc.mail.folder import FolderMailer
from chatsvc.mail.mailer import Mailer
from chatsvc.mail.server import MailServer
from chatsvc.mail.smtp import SmtpMailer


def make_mailer(config: Config, *, greeting_limit_s: float | None = None) -> Mailer:
    """Return a mailer for SMTP_URL, or one that writes files if it is not set."""
    if config.smtp_url is None:
        return FolderMailer(config.data_dir / "mail")
    return SmtpMailer(MailServer.from_url(config.smtp_url), greeting_limit_s=greeting_limit_s)
