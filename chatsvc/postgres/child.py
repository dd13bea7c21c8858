"""Drop root, ask the kernel to end this process with the server, and exec initdb or postgres.

The server runs this file by path with `python -I -S`, so it imports the standard library only.
Its one argument is a JSON object: argv, env, parent (pid of the server), account ([uid, gid] or
null), files ({name: text}, written to the current directory).
"""

import ctypes
import json
import os
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
OWNER_ONLY = 0o600


def drop_root(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def end_with_parent(parent: int) -> None:
    """Ask the kernel for SIGINT (a fast shutdown of PostgreSQL) when the parent's thread ends.

    Call this after `drop_root`: a change of credentials clears the setting.
    """
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(
        PR_SET_PDEATHSIG, signal.SIGINT
    ):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        raise OSError("the server ended while PostgreSQL was being started")


def write(name: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(name, flags, OWNER_ONLY), "w", encoding="utf-8") as file:
        file.write(text)


def main(order: dict[str, Any]) -> None:
    try:
        if order["account"] is not None:
            drop_root(*order["account"])
        end_with_parent(order["parent"])
        for name, text in order["files"].items():
            write(name, text)
        os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - needs no shell
    except OSError as error:
        sys.exit(f"FATAL:  {order['argv'][0]} cannot be started: {error}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
