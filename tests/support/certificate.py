"""A certificate of this machine's own, made with openssl."""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.support.programs import path_of


class Certificate(NamedTuple):
    """For localhost and 127.0.0.1; nobody vouches for it, unless SSL_CERT_FILE names `file`."""

    file: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> "Certificate":
        """In the files `certificate` and `key` of the folder."""
        made = cls(folder / "certificate", folder / "key")
        subprocess.run(
            [
                path_of("openssl"),
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "1",
                "-keyout",
                made.key,
                "-out",
                made.file,
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
            ],
            check=True,
            capture_output=True,
        )
        return made

    def context(self) -> ssl.SSLContext:
        """A server's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context
