"""The result of a check."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One line: the level, what was checked, what was found, how to fix it."""

    level: Literal["ok", "warn", "FAIL"]
    about: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.level:4}  {self.about}: {self.found}" + (
            f"; {self.advice}" if self.advice else ""
        )


def ok(about: str, found: str) -> Finding:
    return Finding("ok", about, found)


def warn(about: str, found: str, advice: str) -> Finding:
    """Return a finding about something that works, but that most would want to change."""
    return Finding("warn", about, found, advice)


def fail(about: str, found: str, advice: str) -> Finding:
    """Return a finding about something that does not work or is not safe."""
    return Finding("FAIL", about, found, advice)
