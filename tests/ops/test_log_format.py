"""Log lines: whatever is in it, a line is one line, and nothing from outside begins another."""

import json
import logging
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsvc.ops.log_format import (
    JournalFormatter,
    JsonFormatter,
    TextFormatter,
    configure,
    goes_to_journal,
)

EVIL = [
    "a\n<3>fake",
    "a\r\n2026-01-01 00:00:00,000 ERROR chatsvc: fake",
    "a\rfake",
    "a\x1b[2Jfake",
    "a\0fake",
    "a\x85fake",
    "a\u2028fake",
    "a\u2029fake",
    "a\x0bfake",
    "a\x0cfake",
    "a\x1cfake",
    "a\x9bfake",
    "\nTraceback (most recent call last):\nfake",
    "a\n    File fake",
]


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("chatsvc.test", logging.ERROR, __file__, 1, message, args, exc_info)


def raised(text: str) -> Exception:
    try:
        try:
            raise KeyError(text)
        except KeyError as cause:
            raise ValueError(text) from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize("text", EVIL)
def test_a_message_is_one_line(text: str) -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        for made in (record("say %s", text), record(text)):
            line = formatter.format(made)
            assert len(line.splitlines()) == 1 and line.isprintable(), line


@pytest.mark.parametrize("text", EVIL)
def test_the_text_of_an_exception_is_one_line_too(text: str) -> None:
    """The trace has several lines, each indented; what the exception says has one of them."""
    lines = TextFormatter().format(record("failed", error=raised(text))).splitlines()
    assert all(line.startswith("    ") and line.isprintable() for line in lines[1:])
    assert [line for line in lines if "fake" in line and "raise" not in line] == [
        line for line in lines if line.strip().startswith(("ValueError: ", "KeyError: "))
    ]
    assert len([line for line in lines if line.startswith("    Traceback")]) == 2
    entry = json.loads(JsonFormatter().format(record("failed", error=raised(text))))
    assert entry["message"] == "failed" and "ValueError" in entry["trace"]


@given(st.text())
def test_any_text_is_one_line(text: str) -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(record("%s", text))
        assert len(line.splitlines()) == 1
    assert json.loads(line)["message"] == text


def test_what_a_line_holds() -> None:
    assert TextFormatter().format(record("hello %d", 7)).endswith(" ERROR chatsvc.test: hello 7")
    entry = json.loads(JsonFormatter().format(record("hello %d", 7)))
    assert (entry["level"], entry["logger"], entry["message"]) == (
        "ERROR",
        "chatsvc.test",
        "hello 7",
    )
    assert "trace" not in entry and entry["time"]


def test_a_useful_trace_stays_useful() -> None:
    lines = TextFormatter().format(record("failed", error=raised("why"))).splitlines()
    assert any(line.strip().startswith("File ") and "test_log_format.py" in line for line in lines)
    assert any("raise ValueError(text) from cause" in line for line in lines)
    assert lines[-1] == "    ValueError: why"


@pytest.mark.parametrize(("log_format", "kind"), [("text", TextFormatter), ("json", JsonFormatter)])
def test_lines_of_tornado_that_hold_what_clients_sent_are_off(
    log_format: str, kind: type[logging.Formatter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """tornado.access has queries; tornado.general quotes a malformed header, which may be the Authorization one."""
    root = logging.getLogger()
    names = ("tornado.access", "tornado.general", "peewee")
    before = [(log, log.level, log.disabled) for log in map(logging.getLogger, names)]
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    try:
        configure(log_format)
        (handler,) = root.handlers
        assert isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
        assert isinstance(handler.formatter, kind)
        assert logging.getLogger("tornado.access").disabled
        assert not logging.getLogger("tornado.general").isEnabledFor(logging.INFO)
    finally:
        for log, level, disabled in before:
            log.setLevel(level)
            log.disabled = disabled


# ---- the journal ----


def test_the_journal_gets_a_priority_on_every_line() -> None:
    """It takes each line for an entry of its own: without one, a trace below an error would be `info`."""
    lines = (
        JournalFormatter(TextFormatter())
        .format(record("failed", error=raised("why\n<6>fake")))
        .splitlines()
    )
    assert len(lines) > 5 and all(line.startswith("<3>") for line in lines)
    one = logging.LogRecord("chatsvc.test", logging.WARNING, __file__, 1, "hello", (), None)
    assert JournalFormatter(JsonFormatter()).format(one).startswith('<4>{"time": ')
    one.levelno = logging.INFO
    assert JournalFormatter(TextFormatter()).format(one).startswith("<6>")


def test_priorities_are_for_the_journal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`$JOURNAL_STREAM` stays in the environment when somebody sends standard error into a file."""
    with (tmp_path / "journal").open("w") as journal, (tmp_path / "file").open("w") as file:
        there = os.fstat(journal.fileno())
        environ = {"JOURNAL_STREAM": f"{there.st_dev}:{there.st_ino}"}
        monkeypatch.setattr(sys, "stderr", journal)
        assert goes_to_journal(environ) and not goes_to_journal({})
        monkeypatch.setattr(sys, "stderr", file)
        assert not goes_to_journal(environ)
