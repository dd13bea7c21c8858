"""Log lines: one per event, as text or JSON, with a priority for the journal. What comes from outside cannot begin a new line."""

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
    """time level logger: message. Control characters are escaped; only a traceback has several lines, each indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message, record.asctime = record.getMessage(), self.formatTime(record)
        trace = _trace_lines(record.exc_info[1]) if record.exc_info else []
        return "\n".join(
            [_escape(self.formatMessage(record)), *("    " + _escape(line) for line in trace)]
        )


class JsonFormatter(logging.Formatter):
    """One JSON object per line; the time in UTC."""

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
    """Each line of another formatter behind its priority, as man sd-daemon has it: `journalctl -p warning` finds it then."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        prefix = next(prefix for level, prefix in PRIORITIES if record.levelno >= level)
        return "\n".join(prefix + line for line in self._inner.format(record).split("\n"))


def set_up(log_format: str, level: int = logging.INFO) -> None:
    """Sends all log lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter() if log_format == "json" else TextFormatter()
    handler.setFormatter(JournalFormatter(formatter) if goes_to_journal(os.environ) else formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger(
        "tornado.access"
    ).disabled = True  # chatsvc.access has its own lines, without queries
    logging.getLogger("tornado.general").setLevel(
        logging.WARNING
    )  # below it holds addresses and what clients sent
    logging.getLogger("peewee").setLevel(logging.WARNING)


def goes_to_journal(environ: Mapping[str, str]) -> bool:
    """Whether systemd has connected standard error, and nobody has sent it elsewhere since: man systemd.exec on `$JOURNAL_STREAM`."""
    try:
        there = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


def _trace_lines(error: BaseException | None) -> list[str]:
    """As Python prints it, but the text of an exception, which may come from outside, stays in one line."""
    lines: list[str] = []
    for part in traceback.format_exception(error):
        frame = part.startswith('  File "')
        lines += part.splitlines() if frame else [part.strip("\n")]
    return lines


def _escape(text: str) -> str:
    return _CONTROL.sub(
        lambda match: f"\\x{ord(match[0]):02x}" if match[0] != "\n" else "\\n", text
    )
