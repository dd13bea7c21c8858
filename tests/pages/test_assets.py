"""Static files: versioned by their content, compressed once, the loader pointing at the current version."""

import gzip
import json
import re
from pathlib import Path

import pytest

from chatsvc.pages.assets import BUNDLES, LOADER, PANEL, VERSION_PLACEHOLDER, Assets

LOADER_SOURCE = b'const MODULES = new URL("static/v/000000000000/dist/", BASE);'
# `import{a}from"./b.js"`, `import"./b.js"`, `export*from"./b.js"`: what a browser would fetch as well
STATIC_IMPORT = re.compile(rb"""(?:\bfrom|\bimport)\s*["']""")


def _tree(root: Path, **files: bytes) -> Path:
    for name, body in {LOADER: LOADER_SOURCE, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


def test_the_version_changes_with_any_byte_of_any_file(tmp_path: Path) -> None:
    first = Assets(_tree(tmp_path / "a", **{"x.css": b"1"}))
    same = Assets(_tree(tmp_path / "b", **{"x.css": b"1"}))
    other_content = Assets(_tree(tmp_path / "c", **{"x.css": b"2"}))
    other_name = Assets(_tree(tmp_path / "d", **{"y.css": b"1"}))
    assert first.version == same.version
    assert len({first.version, other_content.version, other_name.version}) == 3


def test_the_loader_names_the_current_version(tmp_path: Path) -> None:
    assets = Assets(_tree(tmp_path))
    expected = LOADER_SOURCE.replace(VERSION_PLACEHOLDER.encode(), assets.version.encode())
    assert assets.loader.body == expected
    assert VERSION_PLACEHOLDER.encode() not in Assets().loader.body


def test_the_sources_of_the_bundles_are_not_served(tmp_path: Path) -> None:
    sources = {"widget/element.js": b"1", "widget.js": b"2", "shared/dom.js": b"3"}
    served = {"demo/demo.js": b"4", "dist/panel.js": b"5", "style.css": b"6", "a.d.ts": b"7"}
    assets = Assets(_tree(tmp_path, **sources, **served))
    assert set(assets.names()) == {LOADER, *served}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_all_that_a_page_fetches(name: str) -> None:
    asset = Assets().find(name)
    assert asset is not None
    assert not STATIC_IMPORT.search(asset.body)


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_has_a_source_map_that_holds_its_sources(name: str) -> None:
    assets = Assets()
    body = assets.loader.body if name == LOADER else (assets.find(name) or assets.loader).body
    (comment,) = re.findall(rb"//# sourceMappingURL=(\S+)\n$", body)
    base = "/" if name == LOADER else assets.url(name)  # the loader's address is /widget.js
    address = (Path(base).parent / comment.decode()).as_posix()
    assert address == assets.url(f"{name}.map")
    source_map = assets.find(f"{name}.map")
    assert source_map is not None
    assert source_map.content_type == "application/json"
    sources = json.loads(source_map.body)
    assert len(sources["sources"]) == len(sources["sourcesContent"]) > 1


def test_a_url_for_a_file_that_does_not_exist_is_a_mistake_seen_at_once(tmp_path: Path) -> None:
    assets = Assets(_tree(tmp_path, **{"a/b.css": b"x"}))
    assert assets.url("a/b.css") == f"/static/v/{assets.version}/a/b.css"
    with pytest.raises(KeyError):
        assets.url("a/c.css")


def test_text_is_compressed_where_that_helps(tmp_path: Path) -> None:
    assets = Assets(_tree(tmp_path, **{"long.css": b"word " * 400, "short.css": b"x"}))
    long, short = assets.find("long.css"), assets.find("short.css")
    assert long is not None
    assert short is not None
    assert long.compressed is not None
    assert gzip.decompress(long.compressed) == long.body
    assert short.compressed is None


def test_nothing_outside_the_tree_is_found(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    assets = Assets(_tree(tmp_path / "static"))
    assert assets.find("../secret") is None


# Bytes over the wire as gzip: before the panel is opened, and in all.
LOADER_MAX_BYTES = 3_420
WIDGET_MAX_BYTES = 18_500


def test_the_widget_keeps_its_weight() -> None:
    assets = Assets()
    panel = assets.find(PANEL)
    assert panel is not None
    loader = len(assets.loader.compressed or assets.loader.body)
    assert loader <= LOADER_MAX_BYTES
    assert loader + len(panel.compressed or panel.body) <= WIDGET_MAX_BYTES
