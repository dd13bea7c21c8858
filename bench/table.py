"""The rows of the result and the table they make."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.process import Used

HEADINGS = (
    "figure",
    "target",
    "chatsvc",
    "reference",
    "ratio",
    "Node.js",
    "ratio",
    "limited by",
    "",
)
NONE = "–"


@dataclass(frozen=True)
class Row:
    """One figure beside those of the references. `passed` is None for figures without a target.

    `limit` is what chatsvc waited for.
    """

    figure: str
    value: str
    target: str = NONE
    reference: str = NONE
    ratio: str = NONE
    passed: bool | None = None
    node: str = NONE
    node_ratio: str = NONE
    limit: str = ""

    def cells(self) -> tuple[str, ...]:
        mark = {True: "ok", False: "MISSED", None: ""}[self.passed]
        plain, node = (self.reference, self.ratio), (self.node, self.node_ratio)
        return (self.figure, self.target, self.value, *plain, *node, self.limit, mark)


def render(rows: Sequence[Row]) -> str:
    """A Markdown table, aligned."""
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in table
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def median_used(values: Sequence[Used]) -> Used:
    return Used(*map(median, zip(*values, strict=True)))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def microseconds(seconds: float) -> str:
    return f"{seconds * 1_000_000:.1f} µs"


def cpu(spent: Used) -> str:
    """What a piece of work costs the server and PostgreSQL."""
    return f"{spent.server * 1_000_000:.0f} + {spent.postgres * 1_000_000:.0f} µs"


def kibibytes(size: float) -> str:
    return f"{size / 1024:.1f} KiB"


def mebibytes(size: float) -> str:
    return f"{size / 1_048_576:.0f} MiB"


def times(ratio: float) -> str:
    return f"{ratio:.2f} ×"
