"""Programs that some tests run against; `make` installs them where it may."""

import os
import shutil

import pytest

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"  # not in everybody's PATH


def path_of(program: str) -> str:
    """Where it is not installed the test that asks is left out; in CI it fails."""
    found = shutil.which(program) or shutil.which(program, path=SYSTEM_PATH)
    assert found or not IN_CI, f"{program} is not installed"
    return found or pytest.skip(f"needs {program}")
