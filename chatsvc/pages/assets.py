"""The package's static files: read once at start, kept plain and compressed, addressed by their hash.

Modules that belong together are sent as one file (bundle.py): the widget's loader, its panel, the dashboard, its other pages.
"""

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path, PurePosixPath

from msgspec import Struct

from chatsvc.pages.bundle import bundle

STATIC_DIR = Path(__file__).parents[1] / "static"
LOADER = "widget.js"
PANEL = "widget/element.js"  # what the loader fetches when somebody opens the panel
ENTRIES = (PANEL, "dashboard/dashboard.js", "dashboard/page.js")
DEV_PREFIX = "static/v/dev/"  # what the loader's source says; works too, but nothing caches it
VERSION_CHARS = 12  # 48 bits: two versions of one installation never meet
GZIP_LEVEL = 9  # compressed once per start, sent for ever
SMALLEST_GZIP_BYTES = 256  # below this the headers cost more than is saved
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}

_DOC_COMMENT = re.compile(r"/\*\*.*?\*/ ?", re.DOTALL)
_LINE_COMMENT = re.compile(r"(^|[ \t]+)// .*$", re.MULTILINE)
_MARGIN = re.compile(r"^\s+", re.MULTILINE)


class Asset(Struct, frozen=True):
    """One file as it is sent. `compressed` is None for what does not get smaller. `etag` holds its quotes."""

    content_type: str
    body: bytes
    compressed: bytes | None
    etag: str


class Assets:
    """Blocking while it is built (it reads files): build it before the loop runs."""

    def __init__(self, directory: Path = STATIC_DIR) -> None:
        sources = _read_tree(directory)
        joined = {entry: bundle(sources, entry) for entry in ENTRIES if entry in sources}
        bodies = {name: _lightened(name, body) for name, body in (sources | joined).items()}
        self.version = _hash_tree(bodies)
        self.loader = _asset(LOADER, self._versioned(_lightened(LOADER, bundle(sources, LOADER))))
        self._assets = {name: _asset(name, body) for name, body in bodies.items()}

    def url(self, name: str) -> str:
        """The address of a file, to be cached for ever. KeyError where there is none: a template's mistake."""
        if name not in self._assets:
            raise KeyError(name)
        return f"/static/v/{self.version}/{name}"

    def find(self, name: str) -> Asset | None:
        return self._assets.get(name)

    def names(self) -> list[str]:
        return list(self._assets)

    def _versioned(self, loader: bytes) -> bytes:
        return loader.replace(DEV_PREFIX.encode(), f"static/v/{self.version}/".encode())


def slim(script: str) -> str:
    """A script without comments and indentation, which are a third of its weight. Code stays line by line.

    Knows the manner of static/: comments are `/** … */`, or `//` and a space; text never holds either.
    """
    for pattern in (_DOC_COMMENT, _LINE_COMMENT, _MARGIN):
        script = pattern.sub("", script)
    return script


def _read_tree(directory: Path) -> dict[str, bytes]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def _lightened(name: str, body: bytes) -> bytes:
    return slim(body.decode()).encode() if name.endswith(".js") else body


def _hash_tree(bodies: dict[str, bytes]) -> str:
    """Over names and contents, each with its length, so that no two trees are the same text."""
    digest = hashlib.sha256()
    for name, body in bodies.items():
        digest.update(f"{len(name)}:{name}:{len(body)}:".encode() + body)
    return digest.hexdigest()[:VERSION_CHARS]


def _asset(name: str, body: bytes) -> Asset:
    suffix = PurePosixPath(name).suffix
    content_type = TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    compressed = (
        gzip.compress(body, GZIP_LEVEL, mtime=0) if len(body) >= SMALLEST_GZIP_BYTES else body
    )
    return Asset(
        content_type=content_type,
        body=body,
        compressed=compressed if len(compressed) < len(body) else None,
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
    )
