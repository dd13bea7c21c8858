"""Prepare text that people wrote for titles, e-mails and previews. Pure functions."""

import unicodedata

import regex

ELLIPSIS = "…"
_LINE_ENDS = regex.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Bidi controls that affect the text around them, control characters and lone surrogates.
_HARMFUL = regex.compile(
    r"[[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]--[\n]]", flags=regex.VERSION1
)
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
_GAPS = regex.compile(r"[ \t]*\n(?:[ \t]*\n){2,}")
_EMPTY_LINES = regex.compile(r"\A\s*\n")
_CHARACTER = regex.compile(r"\X")  # a grapheme cluster: an emoji family, a letter with its accents


def sanitize(text: str) -> str:
    """Remove characters that change how the surrounding text is displayed.

    Lines end with a line feed, and at most one empty line follows another line.
    """
    if text.isascii() and text.isprintable():  # nothing below applies, as to most names
        return text.rstrip()
    text = _HARMFUL.sub("", _LINE_ENDS.sub("\n", text).replace("\t", " "))
    return strip_lines(_GAPS.sub("\n\n", text))


def strip_lines(text: str) -> str:
    """Remove empty lines at the start and white space at the end; the first line stays indented."""
    return _EMPTY_LINES.sub("", text.replace("\r\n", "\n")).rstrip()


def is_blank(text: str) -> bool:
    """Return whether the text is invisible: spaces, control and format characters only."""
    return all(unicodedata.category(character) in _UNSEEN for character in text)


def one_line(text: str) -> str:
    """Return the sanitized text as one line with single spaces."""
    return " ".join(sanitize(text).split())


def truncate(text: str, limit: int) -> str:
    """Return at most `limit` code points, with an ellipsis at the end if the text was longer."""
    if len(text) <= limit:
        return text
    end = 0
    for character in _CHARACTER.finditer(text, endpos=limit + 1):
        if character.end() > limit - 1:
            break
        end = character.end()
    kept = text[: end or limit - 1]  # a single cluster may be longer than the limit
    return kept.rstrip() + ELLIPSIS
