"""Joins JavaScript modules into one, so that a browser asks once and compression sees all of it.

Each module becomes a function that is called once: its names stay its own. What it imports it takes from what the
others returned. Knows the manner of static/: one import or export a line, no default exports, no cycles, and nothing
that is exported changes later.
"""

import posixpath
import re

_IMPORT = re.compile(r'^import \{ ([^}]+) \} from "(\.[^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|class|function) (\w+))", re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export)\b(?! *\().*$", re.MULTILINE)


class BundleError(Exception):
    """A module is written in a way that cannot be joined; a mistake in static/, seen at start and by the tests."""


def bundle(modules: dict[str, bytes], entry: str) -> bytes:
    """`entry` with all that it imports, as one module with the exports of `entry`. Raises BundleError."""
    numbers: dict[str, int] = {}
    parts: list[str] = []
    exports = _join(modules, entry, numbers, parts, path=())
    if exports:
        parts.append(f"export const {{ {', '.join(exports)} }} = $m{numbers[entry]};")
    return "\n".join([*parts, ""]).encode()


def _join(
    modules: dict[str, bytes], name: str, numbers: dict[str, int], parts: list[str], path: tuple[str, ...]
) -> list[str]:
    """Appends what `name` imports, then `name` itself. Returns what it exports."""
    if name in path:
        raise BundleError(f"a cycle of imports: {' -> '.join([*path, name])}")
    if name not in modules:
        raise BundleError(f"{path[-1] if path else 'nothing'} imports {name}, which is not there")

    def taken(found: re.Match[str]) -> str:
        source = posixpath.normpath(posixpath.join(posixpath.dirname(name), found[2]))
        if source not in numbers:
            _join(modules, source, numbers, parts, (*path, name))
        return f"const {{ {found[1].replace(' as ', ': ')} }} = $m{numbers[source]};"

    body = _IMPORT.sub(taken, modules[name].decode())
    exports = [found[1] for found in _EXPORT.finditer(body)]
    body = _EXPORT.sub("", body).strip()
    if left := _LEFT_OVER.search(body):
        raise BundleError(f"{name}: {left[0]}")
    numbers[name] = len(numbers)
    parts.append(f"const $m{numbers[name]} = (() => {{\n{body}\nreturn {{ {', '.join(exports)} }};\n}})();")
    return exports
