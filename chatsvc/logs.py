"""Log lines: one per event, as text or JSON. What comes from outside cannot begin a new line."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class TextFormatter(logging.Formatter):
    """time level logger: message. Control characters are escaped; only a traceback has several lines, each indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message, record.asctime = record.getMessage(), self.formatTime(record)
        trace = _trace_lines(record.exc_info[1]) if record.exc_info else []
        return "\n".join([_escape(self.formatMessage(record)), *("    " + _escape(line) for line in trace)])


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


def set_up(log_format: str, level: int = logging.INFO) -> None:
    """Sends all log lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("tornado.access").disabled = True  # chatsvc.access has its own lines, without queries
    logging.getLogger("tornado.general").setLevel(logging.WARNING)  # below it holds addresses and what clients sent
    logging.getLogger("peewee").setLevel(logging.WARNING)


def _trace_lines(error: BaseException | None) -> list[str]:
    """As Python prints it, but the text of an exception, which may come from outside, stays in one line."""
    lines: list[str] = []
    for part in traceback.format_exception(error):
        frame = part.startswith('  File "')
        lines += part.splitlines() if frame else [part.strip("\n")]
    return lines


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}" if match[0] != "\n" else "\\n", text)
