"""Search terms: split a query into words, and excerpt a text around them. Pure functions."""

import re
from collections.abc import Sequence
from itertools import takewhile

from msgspec import Struct

QUERY_MAX_CHARS = 200
WORDS_MAX = 10  # of a query; more words cost time and hardly narrow the result
EXCERPT_CHARS = 200
BEFORE_HIT_CHARS = 60  # of the excerpt, so that the first match is in its first line

# In addition to white space. The database function search_words (migrations/0003_search.py)
# has the same separators; a test compares them.
SEPARATORS = (
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»–—\u2018’\u201a“”„…·•、。「」"
    "\u00a0\u2009\u202f\u3000\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
)
_WORD = re.compile(rf"[^\s\0{re.escape(SEPARATORS)}]+")


class Highlight(Struct, frozen=True):
    """A part of an excerpt; `hit` is whether it matches a word of the query."""

    text: str
    hit: bool


def parse_query(query: str) -> list[str]:
    """Return the words of a query."""
    words: list[str] = _WORD.findall(query[:QUERY_MAX_CHARS])
    return words[:WORDS_MAX]


def tsquery(words: Sequence[str]) -> str:
    """Return the argument of to_tsquery that matches all words, the last one as a prefix.

    A word contains no character that needs quoting.
    """
    return " & ".join(f"'{word}'" for word in words) + ":*"


def excerpt(text: str, words: Sequence[str]) -> list[Highlight]:
    """Return the part of a text around its first match, with every match marked."""
    # The lower case of the database may differ (Turkish İ).
    wanted = [word.lower() for word in words]
    hits = (match.span() for match in _WORD.finditer(text) if _is_hit(match[0].lower(), wanted))
    first = next(hits, None)
    start = max(0, first[0] - BEFORE_HIT_CHARS) if first else 0
    start = start if start == 0 else text.find(" ", start, start + BEFORE_HIT_CHARS) + 1 or start
    end = min(len(text), start + EXCERPT_CHARS)
    pieces, at = [Highlight("…", False)] if start else [], start
    shown = takewhile(lambda hit: hit[0] < end, hits)  # do not split the text behind the excerpt
    for begin, stop in (first, *shown) if first else ():
        pieces += [Highlight(text[at:begin], False), Highlight(text[begin:stop], True)]
        at = stop
    rest = text[at:end] + ("…" if end < len(text) else "")
    return [piece for piece in (*pieces, Highlight(rest, False)) if piece.text]


def _is_hit(word: str, words: Sequence[str]) -> bool:
    return bool(words) and (word in words or word.startswith(words[-1]))
