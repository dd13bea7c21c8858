"""Words: how a search takes text apart, and what it shows of the text it found."""

import importlib

import pytest

from chatsvc.text.search_terms import (
    EXCERPT_CHARS,
    QUERY_MAX_CHARS,
    SEPARATORS,
    WORDS_MAX,
    excerpt,
    parse_query,
    tsquery,
)


def marked(text: str, query: str) -> str:
    """An excerpt with its hits in brackets."""
    return "".join(
        f"[{piece.text}]" if piece.hit else piece.text
        for piece in excerpt(text, parse_query(query))
    )


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("ada@example.com", ["ada", "example", "com"]),
        ("  Größe\tXL\u00a0rot ", ["Größe", "XL", "rot"]),
        ("it's \u201equoted\u201c\u2014and…", ["it", "s", "quoted", "and"]),
        ("a'b \\ c:* & !d | (e) <-> f", ["a", "b", "c", "d", "e", "f"]),
        ("привет 你好世界 हिन्दी 😀", ["привет", "你好世界", "हिन्दी", "😀"]),
        ("\0 .,;", []),
        ("", []),
    ],
)
def test_words_are_what_stands_between_separators(query: str, words: list[str]) -> None:
    assert parse_query(query) == words


def test_a_query_is_bounded() -> None:
    assert len(parse_query("x" * 5000)[0]) == QUERY_MAX_CHARS
    assert len(parse_query("a " * 100)) == WORDS_MAX


def test_the_last_word_may_go_on() -> None:
    assert tsquery(["new", "tent"]) == "'new' & 'tent':*"


def test_the_database_has_the_same_separators() -> None:
    assert (
        importlib.import_module("chatsvc.database.migrations.0003_search").SEPARATORS == SEPARATORS
    )


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("The tent is torn.", "TENT", "The [tent] is torn."),
        ("tents and a tent", "tent", "[tents] and a [tent]"),
        ("tents and a tent", "tent a", "tents [and] [a] [tent]"),
        ("write to ada@example.com", "example.com", "write to ada@[example].[com]"),
        ("<mark>x</mark>", "mark", "<[mark]>x</[mark]>"),
        ("nothing", "else", "nothing"),
    ],
)
def test_hits_are_marked(text: str, query: str, shown: str) -> None:
    assert marked(text, query) == shown


def test_an_excerpt_is_cut_around_its_first_hit() -> None:
    text = "word " * 500 + "needle " + "word " * 500
    shown = marked(text, "needle")
    assert shown.startswith("…word ") and shown.endswith("…")
    assert 0 < shown.index("[needle]") < EXCERPT_CHARS / 2
    assert len(shown) <= EXCERPT_CHARS + 4
    assert marked("x" * 10_000, "x").startswith("[xxx")
