"""What a check of the doctor says."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One line: how it is, what was looked at, what was found, what to do about it."""

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
    """It works, but not as most would want it."""
    return Finding("warn", about, found, advice)


def fail(about: str, found: str, advice: str) -> Finding:
    """It does not work, or is not safe."""
    return Finding("FAIL", about, found, advice)
