"""The entry point of `chatsvc` (installed), `server.py` (in a checkout) and `python -m chatsvc`."""

import sys

INTERRUPTED = 130  # the exit status that shells use: 128 plus the number of SIGINT


def run() -> int:
    """Run the command line. It is imported here, so that Ctrl-C during that shows no trace."""
    try:
        from chatsvc.cli import main

        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(run())
