"""server.py doctor: what is wrong, and what to do about it."""

from chatsvc.config import Config


def examine(config: Config) -> int:
    """Prints a line per finding; returns 1 if something is wrong."""
    raise NotImplementedError
