"""Static files: versioned by what is in them, compressed once, the loader pointing at the current version."""

import gzip
from pathlib import Path

import pytest

from chatsvc.pages.assets import ENTRIES, PANEL, Assets, slim

LOADER_SOURCE = b'const MODULES = new URL("static/v/dev/widget/", BASE);'


def _tree(root: Path, **files: bytes) -> Path:
    for name, body in {"widget.js": LOADER_SOURCE, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


def test_the_version_changes_with_any_byte_of_any_file(tmp_path: Path) -> None:
    first = Assets(_tree(tmp_path / "a", **{"x.js": b"1"}))
    same = Assets(_tree(tmp_path / "b", **{"x.js": b"1"}))
    other_content = Assets(_tree(tmp_path / "c", **{"x.js": b"2"}))
    other_name = Assets(_tree(tmp_path / "d", **{"y.js": b"1"}))
    assert first.version == same.version
    assert len({first.version, other_content.version, other_name.version}) == 3


def test_the_loader_names_the_current_version(tmp_path: Path) -> None:
    assets = Assets(_tree(tmp_path))
    assert LOADER_SOURCE.replace(b"/dev/", f"/{assets.version}/".encode()) in assets.loader.body


def test_the_loader_is_one_file_with_what_it_imports_inside(tmp_path: Path) -> None:
    source = b'import { a } from "./widget/a.js";\n' + LOADER_SOURCE
    assets = Assets(_tree(tmp_path, **{"widget.js": source, "widget/a.js": b"export const a = 1;"}))
    assert assets.loader.body.startswith(b"const a = 1;\n")
    assert b"import {" not in Assets().loader.body


def test_the_panel_is_one_file_too_and_a_change_of_any_module_changes_its_address(
    tmp_path: Path,
) -> None:
    element = b'import { a } from "./a.js";\nexport const b = a;\n'
    modules = {"widget/element.js": element, "widget/a.js": b"export const a = 1;"}
    assets = Assets(_tree(tmp_path / "a", **modules))
    panel = assets.find(PANEL)
    assert panel is not None
    assert b"const a = 1;" in panel.body
    changed = Assets(_tree(tmp_path / "b", **{**modules, "widget/a.js": b"export const a = 2;"}))
    assert changed.version != assets.version


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_a_page_names_is_all_that_it_fetches(entry: str) -> None:
    asset = Assets().find(entry)
    assert asset is not None
    assert b"import {" not in asset.body


def test_a_script_loses_its_comments_and_nothing_else() -> None:
    script = '/** @type {string} */\nconst a = "https://x"; // why\n\n  // a line\n  f(/** @type {T} */ (a)); /* kept */\n'
    assert slim(script) == 'const a = "https://x";\nf((a)); /* kept */\n'


def test_a_url_for_a_file_that_does_not_exist_is_a_mistake_seen_at_once(tmp_path: Path) -> None:
    assets = Assets(_tree(tmp_path, **{"a/b.css": b"x"}))
    assert assets.url("a/b.css") == f"/static/v/{assets.version}/a/b.css"
    with pytest.raises(KeyError):
        assets.url("a/c.css")


def test_text_is_compressed_where_that_helps(tmp_path: Path) -> None:
    assets = Assets(_tree(tmp_path, **{"long.js": b"word " * 400, "short.js": b"x"}))
    long, short = assets.find("long.js"), assets.find("short.js")
    assert long is not None
    assert short is not None
    assert long.compressed is not None
    assert gzip.decompress(long.compressed) == long.body
    assert short.compressed is None


def test_nothing_outside_the_tree_is_found(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    assets = Assets(_tree(tmp_path / "static"))
    assert assets.find("../secret") is None


# Bytes over the wire as gzip, as the product's weight is stated: before the panel is opened, and in all.
LOADER_MAX_BYTES = 6 * 1024
WIDGET_MAX_BYTES = 22 * 1024


def test_the_widget_keeps_its_weight() -> None:
    assets = Assets()
    panel = assets.find(PANEL)
    assert panel is not None
    loader = len(assets.loader.compressed or assets.loader.body)
    assert loader <= LOADER_MAX_BYTES
    assert loader + len(panel.compressed or panel.body) <= WIDGET_MAX_BYTES
    assert b"import {" not in panel.body  # else there is more to fetch than is counted here
