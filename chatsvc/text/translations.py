"""The text that people see in pages and e-mails: one file per language under languages/. Another language is one more file there."""

from pathlib import Path

import msgspec
from babel import Locale, localedata

FOLDER = Path(__file__).parents[1] / "languages"
DEFAULT = "en"  # for whoever asks for none of ours; its file is the list of all keys

Part = dict[
    str, str | dict[str, str]
]  # by key; a text that depends on a number has its forms, "one" and "other"


class Texts:
    """One language. `texts("login.log_in")` is a text; `n` chooses between a key's `one` and `other`, keywords fill its {placeholders}."""

    def __init__(self, language: str, table: dict[str, Part]) -> None:
        self.language = language
        self._parts = table
        self._table = {
            f"{part}.{key}": text for part, texts in table.items() for key, text in texts.items()
        }

    def __call__(self, key: str, *, n: int | None = None, **values: object) -> str:
        """Raises KeyError for a key or a placeholder that there is not. What is filled in is not escaped: templates do that."""
        text = self._table[key]
        if isinstance(text, dict):
            text = text["one" if n == 1 else "other"]
        return text.format(n=n, **values)

    def part(self, name: str) -> Part:
        """The texts of one part as they stand in the file, for programs in the browser."""
        return self._parts[name]

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self._table)


class Languages:
    """All languages there are; reads their files once, at start (blocking)."""

    def __init__(self, folder: Path = FOLDER) -> None:
        found = {
            path.stem: msgspec.json.decode(path.read_bytes())
            for path in sorted(folder.glob("*.json"))
        }
        for language in found:
            localedata.load(
                language
            )  # kept by babel: the first date must not read a file on the loop
        self._texts = {language: Texts(language, table) for language, table in found.items()}

    @property
    def names(self) -> list[str]:
        """Language tags, sorted: ["de", "en"]."""
        return list(self._texts)

    @property
    def labels(self) -> dict[str, str]:
        """Each language's name in itself, by its tag: {"de": "Deutsch", …}."""
        return {tag: (Locale.parse(tag).display_name or tag).capitalize() for tag in self._texts}

    def texts(self, language: str | None) -> Texts:
        """The language asked for, or DEFAULT."""
        return self._texts.get(language or DEFAULT, self._texts[DEFAULT])

    def preferred(self, accept_language: str) -> str | None:
        """The best of ours for an Accept-Language header, None if it names none of ours. `de-AT` is served with `de`."""
        wanted = sorted(
            (_weighed(part) for part in accept_language[:1000].split(",")),
            key=lambda pair: -pair[1],
        )
        offered = (tag.split("-")[0] for tag, weight in wanted if weight > 0)
        return next((language for language in offered if language in self._texts), None)


def _weighed(part: str) -> tuple[str, float]:
    tag, _, parameter = part.partition(";")
    weight = parameter.strip().removeprefix("q=") if parameter else "1"
    try:
        return tag.strip().lower(), float(weight)
    except ValueError:
        return tag.strip().lower(), 0.0
