"""What `make` does about programs that some tests run against (tools/programs.sh), with a package manager that does as it is told."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.process import ROOT

Done = subprocess.CompletedProcess[str]
Prepare = Callable[..., Done]
LEFT_OUT = "chatsvc: skipping the tests of these programs, which are not installed:"


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Runs it where nothing of /usr/bin is in PATH: by whom, with a package manager that has curl or not, and can install it or not."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(name: str, *lines: str) -> None:
        (folder / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
        (folder / name).chmod(0o755)

    def run(
        *, uid: int = 0, apt: bool = True, knows: bool = True, works: bool = True, ci: str = "true"
    ) -> Done:
        write("id", f"echo {uid}")
        if apt:
            write("apt-cache", f'[ "$2" = curl ] && {str(knows).lower()}')
            installed = f"printf '#!/bin/sh\\n' >{folder}/curl && /bin/chmod +x {folder}/curl"
            write("apt-get", '[ "$1" = install ] || exit 0', installed if works else "exit 100")
        return subprocess.run(
            ["/bin/sh", ROOT / "tools/programs.sh", tmp_path / "programs"],
            env={"PATH": str(folder), "CI": ci},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return run


@pytest.mark.parametrize("where", [{"uid": 1000}, {"apt": False}, {"knows": False}], ids=str)
def test_what_cannot_be_had_is_left_out_in_ci_too(
    prepare: Prepare, tmp_path: Path, where: dict[str, bool]
) -> None:
    """It failed there: a clean clone did not pass without somebody who installs nginx first."""
    done = prepare(**where)
    assert done.returncode == 0 and LEFT_OUT in done.stdout and " curl " in done.stdout
    assert "curl" not in (tmp_path / "programs").read_text()


@pytest.mark.parametrize("ci", ["true", "", "0", "false"])
def test_what_could_be_had_and_cannot_be_installed_is_an_error_in_ci(
    prepare: Prepare, ci: str
) -> None:
    done = prepare(works=False, ci=ci)
    assert done.returncode == (1 if ci == "true" else 0)
    assert "curl could not be installed" in done.stderr
    assert (LEFT_OUT in done.stdout) is (ci != "true")


def test_what_is_missing_is_installed_and_noted(prepare: Prepare, tmp_path: Path) -> None:
    done = prepare()
    assert done.returncode == 0 and "installing curl with apt-get" in done.stdout
    assert str(tmp_path / "bin" / "curl") in (tmp_path / "programs").read_text().splitlines()
    assert " curl " not in done.stdout.partition(LEFT_OUT)[2]
