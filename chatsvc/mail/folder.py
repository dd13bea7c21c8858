"""FolderMailer: writes e-mails to a folder where no mail server is configured."""

import asyncio
import os
import re
from email.message import EmailMessage
from pathlib import Path

from chatsvc.mail.mailer import TemporaryFailure


class FolderMailer:
    """Writes each e-mail to an .eml file named after its Message-ID.

    The same e-mail sent twice is one file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def destination(self) -> str:
        return f"e-mails are written to {self._folder} and reach nobody: SMTP_URL is not set"

    async def send(self, message: EmailMessage) -> str:
        return await asyncio.to_thread(self._write, message)

    async def check(self) -> None: ...

    async def idle(self) -> None: ...

    def abort(self) -> None: ...

    async def close(self) -> None: ...

    def _write(self, message: EmailMessage) -> str:
        name = re.sub(r"[^\w.-]", "_", str(message["Message-ID"]).strip("<>").partition("@")[0])
        file, unfinished = self._folder / f"{name}.eml", self._folder / f".{name}.{os.getpid()}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished.write_bytes(message.as_bytes())
            unfinished.replace(file)
        except OSError as error:
            raise TemporaryFailure(f"{self._folder}: {error.strerror or error}") from error
        return f"written to {file}"
