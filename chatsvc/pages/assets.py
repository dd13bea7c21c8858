"""The static files: read once at start, kept plain and compressed, with their hash in the URL.

Scripts are served as the bundles of static/dist/, which `make dist` builds from their sources.
"""

import gzip
import hashlib
import mimetypes
from pathlib import Path, PurePosixPath

from msgspec import Struct

STATIC_DIR = Path(__file__).parents[1] / "static"
LOADER = "dist/widget.js"
PANEL = "dist/panel.js"  # the loader fetches it when somebody opens the panel
BUNDLES = (LOADER, PANEL, "dist/dashboard.js", "dist/account-page.js")
SERVED_SCRIPTS = ("dist/", "demo/")  # other scripts are sources of the bundles
VERSION_CHARS = 12  # 48 bits: two versions of one installation differ
# The version in the committed loader. Its length is that of a version: the source map stays valid.
VERSION_PLACEHOLDER = "0" * VERSION_CHARS
GZIP_LEVEL = 9  # files are compressed once per start
SMALLEST_GZIP_BYTES = 256  # for smaller files the header costs more than compression saves
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".map": "application/json",
    ".css": "text/css; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(Struct, frozen=True):
    """One file as it is sent. `compressed` is None if it would not be smaller. `etag` is quoted."""

    content_type: str
    body: bytes
    compressed: bytes | None
    etag: str


class Assets:
    """The files of a folder. Building it reads them, which blocks: do it before the loop runs."""

    def __init__(self, directory: Path = STATIC_DIR) -> None:
        files = _read_tree(directory)
        self.version = _hash_tree(files)
        self._assets = {name: _asset(name, body) for name, body in files.items()}
        self.loader = _asset(LOADER, self._versioned(files[LOADER]))

    def url(self, name: str) -> str:
        """Return the URL of a file, which may be cached forever.

        Raise KeyError if it is missing.
        """
        if name not in self._assets:
            raise KeyError(name)
        return f"/static/v/{self.version}/{name}"

    def find(self, name: str) -> Asset | None:
        return self._assets.get(name)

    def names(self) -> list[str]:
        return list(self._assets)

    def _versioned(self, loader: bytes) -> bytes:
        return loader.replace(
            f"static/v/{VERSION_PLACEHOLDER}/".encode(), f"static/v/{self.version}/".encode()
        )


def _read_tree(directory: Path) -> dict[str, bytes]:
    """Return the served files by their names relative to `directory`."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    files = {path.relative_to(directory).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in files.items() if _is_served(name)}


def _is_served(name: str) -> bool:
    return not name.endswith(".js") or name.startswith(SERVED_SCRIPTS)


def _hash_tree(bodies: dict[str, bytes]) -> str:
    """Hash names and contents, each with its length, so that no two trees give the same text."""
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
