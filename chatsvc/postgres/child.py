"""Turns itself into initdb or postgres: gives up root, asks to end with the server, then execs.

Run by path with `python -I -S`, so it uses the standard library alone. Its one argument is a JSON object:
argv, env, parent (pid of the server), account ([uid, gid] or null), files ({name: text}, for its folder).
"""

import ctypes
import json
import os
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
OWNER_ONLY = 0o600


def give_up_root(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def end_with(parent: int) -> None:
    """Have the kernel send SIGINT (PostgreSQL: fast shutdown) when the thread that started us ends.

    After give_up_root only: a change of credentials clears it.
    """
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(
        PR_SET_PDEATHSIG, signal.SIGINT
    ):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != parent:
        raise OSError("the server ended while PostgreSQL was being started")


def write(name: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(name, flags, OWNER_ONLY), "w", encoding="utf-8") as file:
        file.write(text)


def main(order: dict[str, Any]) -> None:
    try:
        if order["account"] is not None:
            give_up_root(*order["account"])
        end_with(order["parent"])
        for name, text in order["files"].items():
            write(name, text)
        os.execve(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"FATAL:  {order['argv'][0]} cannot be started: {error}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
