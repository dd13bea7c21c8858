"""Text of people in places that are not theirs: made harmless, and cut where a reader sees a character end. Pure functions."""

import unicodedata

import regex

ELLIPSIS = "…"
_LINE_ENDS = regex.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# What could turn the text around it (embeddings, overrides, isolates), and what is no text: control characters, half characters.
_HARMFUL = regex.compile(
    r"[[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]--[\n]]", flags=regex.VERSION1
)
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
_GAPS = regex.compile(r"[ \t]*\n(?:[ \t]*\n){2,}")
_CHARACTER = regex.compile(
    r"\X"
)  # what a reader takes for one: a family of emoji, a letter with its accents


def harmless(text: str) -> str:
    """The text without what could change how the text around it is read. Lines end with a line feed, and no gap is longer than one empty line."""
    text = _HARMFUL.sub("", _LINE_ENDS.sub("\n", text).replace("\t", " "))
    return _GAPS.sub("\n\n", text).strip()


def is_blank(text: str) -> bool:
    """Whether nobody would see anything of it: spaces, control characters, and format characters such as U+200B."""
    return all(unicodedata.category(character) in _UNSEEN for character in text)


def one_line(text: str) -> str:
    """The same in one line, with single spaces."""
    return " ".join(harmless(text).split())


def cut(text: str, limit: int) -> str:
    """At most `limit` code points, the last one an ellipsis if something is missing."""
    if len(text) <= limit:
        return text
    end = 0
    for character in _CHARACTER.finditer(text, endpos=limit + 1):
        if character.end() > limit - 1:
            break
        end = character.end()
    kept = text[: end or limit - 1]  # a letter under 200 accents is no letter any more
    return kept.rstrip() + ELLIPSIS
