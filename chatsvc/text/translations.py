"""The texts that people see. Each language is a file in languages/."""

from pathlib import Path

import msgspec
from babel import Locale, localedata

FOLDER = Path(__file__).parents[1] / "languages"
DEFAULT = "en"  # for people whose language is missing; its file has all keys

# By key. A text that depends on a number has the form "other" and one for each further plural
# category that the language has in CLDR ("one", "few", "many", …).
Part = dict[str, str | dict[str, str]]


class Translator:
    """The texts of one language: `translator("login.log_in")` returns one."""

    def __init__(self, language: str, table: dict[str, Part]) -> None:
        self.language = language
        self._plural_form = Locale.parse(language).plural_form
        self._parts = table
        self._table = {
            f"{part}.{key}": text for part, texts in table.items() for key, text in texts.items()
        }

    def __call__(self, key: str, *, n: int | None = None, **values: object) -> str:
        """Return a text. `n` chooses its plural form; `n` and `values` fill its {placeholders}.

        Values are not escaped: templates do that. Raise KeyError for an unknown key or placeholder.
        """
        text = self._table[key]
        if isinstance(text, dict):
            form = "other" if n is None else self._plural_form(n)
            text = text.get(form) or text["other"]
        return text.format(n=n, **values)

    def part(self, name: str) -> Part:
        """Return one part as it is in the file, for scripts in the browser."""
        return self._parts[name]

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self._table)


class Translations:
    """All languages. Building it reads their files, which blocks: do it before the loop runs."""

    def __init__(self, folder: Path = FOLDER) -> None:
        found = {
            path.stem: msgspec.json.decode(path.read_bytes())
            for path in sorted(folder.glob("*.json"))
        }
        for language in found:
            # babel caches it; otherwise formatting the first date would read a file on the loop
            localedata.load(language)
        self._translators = {
            language: Translator(language, table) for language, table in found.items()
        }

    @property
    def names(self) -> list[str]:
        """Language tags, sorted: ["de", "en"]."""
        return list(self._translators)

    @property
    def labels(self) -> dict[str, str]:
        """Each language's name in itself, by its tag: {"de": "Deutsch", …}."""
        return {
            tag: (Locale.parse(tag).display_name or tag).capitalize() for tag in self._translators
        }

    def translator(self, language: str | None) -> Translator:
        """Return the texts of `language`, or of DEFAULT if it is missing."""
        return self._translators.get(language or DEFAULT, self._translators[DEFAULT])

    def preferred(self, accept_language: str) -> str | None:
        """Return the best match for an Accept-Language header, or None. `de-AT` matches `de`."""
        wanted = sorted(
            (_weighed(part) for part in accept_language[:1000].split(",")),
            key=lambda pair: -pair[1],
        )
        offered = (tag.split("-")[0] for tag, weight in wanted if weight > 0)
        return next((language for language in offered if language in self._translators), None)


def _weighed(part: str) -> tuple[str, float]:
    tag, _, parameter = part.partition(";")
    weight = parameter.strip().removeprefix("q=") if parameter else "1"
    try:
        return tag.strip().lower(), float(weight)
    except ValueError:
        return tag.strip().lower(), 0.0
