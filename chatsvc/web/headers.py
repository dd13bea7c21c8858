"""Headers: those of a request, for Tornado's handlers."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from tornado.httputil import HTTPHeaders


class Headers(HTTPHeaders):
    """HTTPHeaders of fields that llhttp has checked, without checking and joining them again.

    Names are spelled as Tornado spells them: Content-Type.
    """

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            text = value.decode("latin-1").strip(" \t")
            self._values.setdefault(_spelled(name), []).append(text)

    def get(self, name: str, default: Any = None) -> Any:
        values = self._values.get(name) or self._values.get(_normal(name))
        if values is None:
            return default
        return values[0] if len(values) == 1 else ",".join(values)

    def get_list(self, name: str) -> list[str]:
        return self._values.get(_normal(name), [])

    def get_all(self) -> Iterable[tuple[str, str]]:
        return ((name, value) for name, values in self._values.items() for value in values)

    def add(self, name: str, value: str, **_: Any) -> None:
        self._values.setdefault(_normal(name), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ",".join(self._values[_normal(name)])

    def __setitem__(self, name: str, value: str) -> None:
        self._values[_normal(name)] = [value]

    def __delitem__(self, name: str) -> None:
        del self._values[_normal(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _normal(name) in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@lru_cache(maxsize=256)
def _normal(name: str) -> str:
    return "-".join(word.capitalize() for word in name.split("-"))


@lru_cache(maxsize=256)
def _spelled(name: bytes) -> str:
    return _normal(name.decode("latin-1"))
