"""Format log lines as text or JSON, one per event, with a priority for the journal.

Control characters are escaped, so text from outside cannot begin a new line.
"""

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

PRIORITIES = (
    (logging.ERROR, "<3>"),
    (logging.WARNING, "<4>"),
    (logging.INFO, "<6>"),
    (logging.NOTSET, "<7>"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class TextFormatter(logging.Formatter):
    """`time level logger: message`, in one line; a traceback follows in indented lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message, record.asctime = record.getMessage(), self.formatTime(record)
        trace = _trace_lines(record.exc_info[1]) if record.exc_info else []
        return "\n".join(
            [_escape(self.formatMessage(record)), *("    " + _escape(line) for line in trace)]
        )


class JsonFormatter(logging.Formatter):
    """One JSON object per line. The time is in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class JournalFormatter(logging.Formatter):
    """Prefix each line with its priority, for `journalctl -p` (man sd-daemon)."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        prefix = next(prefix for level, prefix in PRIORITIES if record.levelno >= level)
        return "\n".join(prefix + line for line in self._inner.format(record).split("\n"))


def configure(log_format: str, level: int = logging.INFO) -> None:
    """Send all log lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter() if log_format == "json" else TextFormatter()
    handler.setFormatter(JournalFormatter(formatter) if goes_to_journal(os.environ) else formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # chatsvc.access logs requests without their queries instead.
    logging.getLogger("tornado.access").disabled = True
    # Its lines below WARNING contain addresses and what clients sent.
    logging.getLogger("tornado.general").setLevel(logging.WARNING)
    logging.getLogger("peewee").setLevel(logging.WARNING)


def goes_to_journal(environ: Mapping[str, str]) -> bool:
    """Return whether standard error is still the one that systemd connected to the journal.

    man systemd.exec describes `$JOURNAL_STREAM`.
    """
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _trace_lines(error: BaseException | None) -> list[str]:
    """Return the traceback in lines. An exception's text, maybe hostile, stays in one."""
    lines: list[str] = []
    for part in traceback.format_exception(error):
        frame = part.startswith('  File "')
        lines += part.splitlines() if frame else [part.strip("\n")]
    return lines


def _escape(text: str) -> str:
    return _CONTROL.sub(
        lambda match: f"\\x{ord(match[0]):02x}" if match[0] != "\n" else "\\n", text
    )
