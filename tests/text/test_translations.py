"""The languages: complete, with the same placeholders, and chosen as the browser asks."""

import json
import re
import shutil
import string
from pathlib import Path

import pytest
from babel import Locale

from chatsvc.errors import DomainError, Unauthorized
from chatsvc.store.notices import REASONS
from chatsvc.text.translations import DEFAULT, FOLDER, Translations, Translator
from tests.support.process import ROOT

LANGUAGES = Translations()
KEY = re.compile(r"""\b(?:t|texts)\(\s*["']([a-z_]+\.[a-z_]+)["']""")
# found by an error's code or a field's reason; read by programs in the browser
BY_CODE = ("errors.", "error_hints.", "problems.", "email_reasons.")
STATIC = ROOT / "chatsvc" / "static"
# the parts that scripts ask for with text("key"), and their scripts
SCRIPTS = {
    "dashboard_js": [*(STATIC / "dashboard").glob("*.js")],
    "launcher": [STATIC / "widget" / "launcher.js"],
    "widget": [path for path in (STATIC / "widget").glob("*.js") if path.stem != "launcher"],
}
SCRIPT_KEY = re.compile(r"""\btext\((?:"([^"]+)"|`([^`]+)`)""")


def forms(text: str | dict[str, str]) -> dict[str, str]:
    return text if isinstance(text, dict) else {"": text}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def plural_forms(language: str, text: str | dict[str, str]) -> set[str]:
    """The forms that a language has to give for a text."""
    return {""} if isinstance(text, str) else {*Locale.parse(language).plural_form.tags, "other"}


@pytest.mark.parametrize("language", [name for name in LANGUAGES.names if name != DEFAULT])
def test_a_language_has_every_text_with_the_same_placeholders(language: str) -> None:
    reference, translated = (
        json.loads((FOLDER / f"{name}.json").read_text()) for name in (DEFAULT, language)
    )
    for part, texts in reference.items():
        assert set(translated[part]) == set(texts), part
        for key, text in texts.items():
            expected = placeholders(forms(text).get("other", text))
            for form, words in forms(translated[part][key]).items():
                optional = set() if form in ("", "other") else {"n"}  # "one": "a message"
                assert expected - optional <= placeholders(words) <= expected, f"{part}.{key}"
            assert set(forms(translated[part][key])) >= plural_forms(language, text), (
                f"{part}.{key}"
            )
    assert set(translated) == set(reference)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr, en-GB;q=0.7, de;q=0.3", "en"),
        ("en;q=0.2,de;q=0.9", "de"),
        ("DE", "de"),
        ("de;q=0", None),
        ("fr", None),
        ("*", None),
        ("", None),
        (";;q=x,de;q=much", None),
    ],
)
def test_the_browser_gets_what_it_prefers(header: str, language: str | None) -> None:
    assert LANGUAGES.preferred(header) == language


def test_every_error_of_the_catalogue_has_its_words() -> None:
    kinds: list[type[DomainError]] = [
        DomainError,
        *DomainError.__subclasses__(),
        *Unauthorized.__subclasses__(),
    ]
    table = json.loads((FOLDER / f"{DEFAULT}.json").read_text())
    assert {kind.code: kind.title for kind in kinds} == table["errors"]
    assert set(table["error_hints"]) == set(table["errors"])
    assert set(table["email_reasons"]) == set(REASONS)


def test_what_is_asked_for_is_there_and_what_is_there_is_asked_for() -> None:
    """Keys as they stand in templates and programs; keys put together from a code are those of the catalogue."""
    sources = [*(ROOT / "chatsvc" / "templates").rglob("*"), *(ROOT / "chatsvc").rglob("*.py")]
    used = {key for path in sources if path.is_file() for key in KEY.findall(path.read_text())}
    keys = LANGUAGES.translator(None).keys
    elsewhere = {key for key in keys if key.startswith(BY_CODE) or key.partition(".")[0] in SCRIPTS}
    assert used | elsewhere == keys


def test_an_unknown_language_is_the_default() -> None:
    assert LANGUAGES.translator("xx").language == LANGUAGES.translator(None).language == DEFAULT
    assert LANGUAGES.translator("de").language == "de"


def test_numbers_choose_the_form_and_values_fill_the_placeholders() -> None:
    texts = Translator(
        "en",
        {"list": {"messages": {"one": "{n} message", "other": "{n} messages"}, "by": "by {who}"}},
    )
    assert [texts("list.messages", n=n) for n in (0, 1, 2)] == [
        "0 messages",
        "1 message",
        "2 messages",
    ]
    assert texts("list.by", who="<b>") == "by <b>"
    with pytest.raises(KeyError):
        texts("list.none")


def test_another_language_is_one_file_with_its_own_plural_forms(tmp_path: Path) -> None:
    """Polish has three forms for whole numbers; "one" and "other" gave "5 wiadomości" for 2 too."""
    for path in FOLDER.glob("*.json"):
        shutil.copy(path, tmp_path)
    table = json.loads((FOLDER / f"{DEFAULT}.json").read_text())
    table["list"]["messages"] = {
        "one": "{n} wiadomość",
        "few": "{n} wiadomości",
        "many": "{n} wiadomości wszystkich",
        "other": "{n} wiadomości",
    }
    (tmp_path / "pl.json").write_text(json.dumps(table))
    translations = Translations(tmp_path)
    assert translations.names == ["de", "en", "pl"]
    assert translations.labels["pl"] == "Polski"
    assert translations.preferred("pl-PL, en;q=0.5") == "pl"
    polish = translations.translator("pl")
    shown = {n: polish("list.messages", n=n).split(" ", 1)[1] for n in (0, 1, 2, 4, 5, 12, 22, 25)}
    few, many = "wiadomości", "wiadomości wszystkich"
    assert shown == {1: "wiadomość"} | dict.fromkeys((2, 4, 22), few) | dict.fromkeys(
        (0, 5, 12, 25), many
    )


@pytest.mark.parametrize("part", SCRIPTS)
def test_scripts_ask_for_the_texts_of_their_part_and_for_all_of_them(part: str) -> None:
    """A text that nobody shows is still translated, and a misspelled key shows "undefined"."""
    source = "\n".join(path.read_text() for path in SCRIPTS[part])
    calls = SCRIPT_KEY.findall(source)
    asked = {key for key, _ in calls if key}
    patterns = [re.sub(r"\$\{[^}]*\}.*?", "(.+)", pattern) for _, pattern in calls if pattern]
    keys = set(LANGUAGES.translator(None).part(part))
    assert asked <= keys
    for key in keys - asked:  # put together from a word that is in the source too
        words = [match[1] for pattern in patterns if (match := re.fullmatch(pattern, key))]
        assert any(f'"{word}"' in source for word in words), f"{part}.{key}"


def test_every_part_belongs_to_pages_or_to_scripts() -> None:
    bundled = set(re.findall(r'declare module "texts:(\w+)"', (STATIC / "texts.d.ts").read_text()))
    assert bundled | {"dashboard_js"} == set(SCRIPTS)


def test_the_bundles_have_the_texts_of_every_language() -> None:
    for part, bundle in (("launcher", "widget.js"), ("widget", "panel.js")):
        code = (STATIC / "dist" / bundle).read_text()
        for language in LANGUAGES.names:
            for text in LANGUAGES.translator(language).part(part).values():
                for words in forms(text).values():
                    assert words in code, f"{bundle} lacks {words!r}: run `make dist`"
