"""docs/embedding.md, and the blocks of code in it. A block's first line is a comment that names its file."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "embedding.md").read_text()
CHAT = "https://chat.example.com"  # where the guide says that chatsvc is
HOST = "https://www.example.com"  # where the guide's pages are
SECRET_VARIABLE = "SUPPORT_CHAT_SECRET"
MARKUP = ("html", "erb", "blade", "django", "vue")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(
    r"\s*(?:<\?php )?(?://|#|<!--|<%#|\{\{--|\{#)\s*(.*?)\s*(?:-->|%>|--\}\}|#\})?"
)


class Block(NamedTuple):
    language: str
    name: str
    code: str


def _block(match: re.Match[str]) -> Block:
    language, code = match.groups()
    comment = _COMMENT.fullmatch(code.partition("\n")[0])
    return Block(language, comment[1].partition(", ")[0] if comment else "", code)


BLOCKS = tuple(_block(match) for match in _BLOCK.finditer(TEXT))


def block(name: str) -> Block:
    """The one block that is the file of this name."""
    (found,) = (one for one in BLOCKS if one.name == name)
    return found


def of(*languages: str) -> list[Block]:
    return [one for one in BLOCKS if one.language in languages]


def write(folder: Path, name: str, target: str = "") -> Path:
    """The block as a file, where the guide says or at `target`."""
    path = folder / (target or name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block(name).code)
    return path


def table(first_heading: str) -> list[list[str]]:
    """The rows below a table's head, cell by cell."""
    lines = TEXT.splitlines()
    start = (
        next(number for number, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
        + 2
    )
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
