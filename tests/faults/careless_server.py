"""server.py without the rule that a stream writes `cursor + 1` and goes back to the log for anything else: the negative control of the storms."""

import sys

from chatsvc.cli import main
from chatsvc.events import Event
from chatsvc.streams.subscriber import Subscriber


def offer_what_is_newer(self: Subscriber, event: Event) -> None:
    if event.seq is None:
        self.write(event.frame)
    elif event.seq > self._cursor:
        self._cursor = event.seq
        self.write(event.frame)


def pass_over(self: Subscriber, newest: int) -> None:
    pass


if __name__ == "__main__":
    Subscriber.offer = offer_what_is_newer  # type: ignore[method-assign]
    Subscriber.advance_to = pass_over  # type: ignore[method-assign]
    sys.exit(main())
