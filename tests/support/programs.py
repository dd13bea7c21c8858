"""Programs that some tests run against; `make` installs them where it may. Without one its tests are left out, and fail in CI."""

import os
import shutil

import pytest

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"  # not in everybody's PATH


def find(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=SYSTEM_PATH)


def path_of(program: str) -> str:
    """Raises AssertionError where it is not installed."""
    found = find(program)
    assert found, f"{program} is not installed"
    return found


def needs(program: str) -> pytest.MarkDecorator:
    """Marks a test that is left out where the program is not installed; in CI it runs all the same, and fails."""
    return pytest.mark.skipif(not IN_CI and find(program) is None, reason=f"needs {program}")
