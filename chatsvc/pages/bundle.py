"""Joins JavaScript modules into one, so that a browser asks once and compression sees all of it.

They are put one after the other, without what they import and export: in one file each sees the others' names. Knows the
manner of static/: one import or export a line, nothing renamed, no default exports, no cycles, and no name twice among the
modules that come together.
"""

import posixpath
import re

_IMPORT = re.compile(r'^import \{ \w+(?:, \w+)* \} from "(\.[^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|class|function) (\w+))", re.MULTILINE)
_NAME = re.compile(r"^(?:async )?(?:const|let|class|function) (\w+)", re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export)\b(?! *\().*$", re.MULTILINE)


class BundleError(Exception):
    """A module is written in a way that cannot be joined; a mistake in static/, seen at start and by the tests."""


def bundle(modules: dict[str, bytes], entry: str) -> bytes:
    """`entry` with all that it imports, as one module with the exports of `entry`. Takes them indented, as they are written. Raises BundleError."""
    joined: dict[str, str] = {}
    _join(modules, entry, joined, path=())
    _check_names(joined)
    exports = _EXPORT.findall(modules[entry].decode())
    end = [f"export {{ {', '.join(exports)} }};"] if exports else []
    return "\n".join([*joined.values(), *end, ""]).encode()


def _join(
    modules: dict[str, bytes], name: str, joined: dict[str, str], path: tuple[str, ...]
) -> None:
    """Adds what `name` imports, then `name` itself."""
    if name in path:
        raise BundleError(f"a cycle of imports: {' -> '.join([*path, name])}")
    if name not in modules:
        raise BundleError(f"{path[-1] if path else 'nothing'} imports {name}, which is not there")
    text = modules[name].decode()
    for source in _IMPORT.findall(text):
        imported = posixpath.normpath(posixpath.join(posixpath.dirname(name), source))
        if imported not in joined:
            _join(modules, imported, joined, (*path, name))
    body = _EXPORT.sub("", _IMPORT.sub("", text)).strip()
    if left := _LEFT_OVER.search(body):
        raise BundleError(f"{name}: {left[0]}")
    joined[name] = body


def _check_names(joined: dict[str, str]) -> None:
    owners: dict[str, str] = {}
    for module, body in joined.items():
        for name in _NAME.findall(body):
            if owners.setdefault(name, module) != module:
                raise BundleError(f"{owners[name]} and {module} both have a {name}")
