"""systemd's side of a server that it starts: the listening socket and the notification socket."""

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tests.support.process import ServerProcess

TOLD_LIMIT_S = 20.0
MESSAGE_MAX_BYTES = 4096
BACKLOG = 4096
# As systemd does it: the socket is descriptor 3, and the environment says for which process.
HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.environ["LISTEN_FDNAMES"] = "chatsvc.socket"
os.execv(sys.argv[2], sys.argv[2:])
"""


class SupervisedServer(ServerProcess):
    """`server.py` with an inherited socket, which stays open while it restarts, and a `$NOTIFY_SOCKET`."""

    def __init__(self, data_dir: Path, database_url: str | None = None, **options: object) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        super().__init__(data_dir, database_url, port=self.listener.getsockname()[1], **options)
        self.environment["CHATSVC_PORT"] = "1"  # it must use the socket that it inherits
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.door.bind(str(data_dir / "notify"))
        self.door.settimeout(TOLD_LIMIT_S)
        self.environment["NOTIFY_SOCKET"] = str(data_dir / "notify")

    def spawn(
        self, command: list[str], log: IO[bytes], pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        held = self.listener.fileno()
        first = [sys.executable, "-I", "-S", "-c", HAND_OVER, str(held)]
        return super().spawn([*first, *command], log, [held, *pass_fds])

    def told(self) -> str:
        """Return the next notification."""
        return self.door.recv(MESSAGE_MAX_BYTES).decode()

    def close(self) -> None:
        super().close()
        self.listener.close()
        self.door.close()
