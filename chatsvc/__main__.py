"""The command line: `chatsvc` where the package is installed, `server.py` in a checkout, `python -m chatsvc` in both."""

import sys

INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT


def run() -> int:
    """Imports late, so that Ctrl-C during the import shows no trace."""
    try:
        from chatsvc.cli import main

        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(run())
