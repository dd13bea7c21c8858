"""The package: a wheel is built, installed into an environment of its own, and runs there without the checkout."""

import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import ROOT, ServerProcess

BUILD_LIMIT_S = 60
PAGES = {
    "/widget.js": b"support-chat",
    "/demo": b"<support-chat",
    "/login": b"<form",
    "/openapi.json": b'"openapi"',
}

pytestmark = pytest.mark.slow


def pip(*arguments: object) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--no-cache-dir",
        *map(str, arguments),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves a folder in what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    copied = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "chatsvc", folder / "source" / "chatsvc", ignore=copied)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    pip(
        "wheel",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        folder / "source",
    )
    (built,) = folder.glob("chatsvc-*.whl")
    return built


@pytest.fixture(scope="module")
def chatsvc(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed. What the package depends on is borrowed from this environment, which saves a minute of CI."""
    environment = tmp_path_factory.mktemp("installed") / "env"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", environment],
        check=True,
        timeout=BUILD_LIMIT_S,
    )
    python = environment / "bin" / "python"
    pip("--python", python, "install", "--no-deps", "--no-index", wheel)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "chatsvc"


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "chatsvc").rglob("*")
        if path.is_file()
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("chatsvc/")}
    assert packed == {name for name in here if "__pycache__" not in name}


@pytest.fixture
def installed(chatsvc: Path, tmp_path: Path, database_url: str) -> Iterator[ServerProcess]:
    """`chatsvc serve` in an empty folder."""
    server = ServerProcess(tmp_path, database_url, demo="on")
    server.command_line, server.cwd = [str(chatsvc), "serve"], tmp_path
    yield server
    server.close()


def test_what_is_installed_serves_its_pages(installed: ServerProcess) -> None:
    installed.start()
    for path, words in PAGES.items():
        with urllib.request.urlopen(installed.url + path, timeout=10) as answer:
            assert words in answer.read(), path
    assert installed.stop() == 0


def test_the_command_has_the_same_commands_as_server_py(chatsvc: Path, tmp_path: Path) -> None:
    shown = [
        subprocess.run(
            [*command, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout
        for command in (
            [chatsvc],
            [chatsvc.with_name("python"), "-m", "chatsvc"],
            [sys.executable, ROOT / "server.py"],
        )
    ]
    assert shown[0] == shown[1] == shown[2].replace("server.py", "chatsvc")
    assert "doctor" in shown[0]
