"""Words: how a search takes text apart, and the piece of a text in which they were found. Pure functions."""

import re
from collections.abc import Sequence
from itertools import takewhile

from msgspec import Struct

QUERY_MAX_CHARS = 200
WORDS_MAX = 10  # of a query; more narrow nothing down and cost
EXCERPT_CHARS = 200
BEFORE_HIT_CHARS = 60  # of the excerpt, so that the first hit is in the first line

# Beside white space. The database's function search_words (migrations/0003_search.py) has the same, which a test compares.
SEPARATORS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»–—\u2018’\u201a“”„…·•、。「」\u00a0\u2009\u202f\u3000\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
_WORD = re.compile(rf"[^\s\0{re.escape(SEPARATORS)}]+")


class Piece(Struct, frozen=True):
    """A stretch of an excerpt; `hit`: it is one of the words that were searched for."""

    text: str
    hit: bool


def words_of(query: str) -> list[str]:
    """The words of what somebody searches for."""
    words: list[str] = _WORD.findall(query[:QUERY_MAX_CHARS])
    return words[:WORDS_MAX]


def tsquery(words: Sequence[str]) -> str:
    """For to_tsquery: all of the words, and the last may go on. A word holds no character that would need quoting."""
    return " & ".join(f"'{word}'" for word in words) + ":*"


def excerpt(text: str, words: Sequence[str]) -> list[Piece]:
    """The part of a text around its first hit, with every hit in it marked."""
    wanted = [
        word.lower() for word in words
    ]  # the database has its own lower case, which may differ (Turkish İ)
    hits = (match.span() for match in _WORD.finditer(text) if _is_hit(match[0].lower(), wanted))
    first = next(hits, None)
    start = max(0, first[0] - BEFORE_HIT_CHARS) if first else 0
    start = start if start == 0 else text.find(" ", start, start + BEFORE_HIT_CHARS) + 1 or start
    end = min(len(text), start + EXCERPT_CHARS)
    pieces, at = [Piece("…", False)] if start else [], start
    shown = takewhile(lambda hit: hit[0] < end, hits)  # the text behind them is not taken apart
    for begin, stop in (first, *shown) if first else ():
        pieces += [Piece(text[at:begin], False), Piece(text[begin:stop], True)]
        at = stop
    rest = text[at:end] + ("…" if end < len(text) else "")
    return [piece for piece in (*pieces, Piece(rest, False)) if piece.text]


def _is_hit(word: str, words: Sequence[str]) -> bool:
    return bool(words) and (word in words or word.startswith(words[-1]))
