"""Programs that some tests run against; `make` installs them where it may (tools/programs.sh)."""

import shutil

import pytest

SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"  # not in everybody's PATH


def path_of(program: str) -> str:
    """Where it is not installed the test that asks is left out, and pytest says so at the end."""
    return (
        shutil.which(program)
        or shutil.which(program, path=SYSTEM_PATH)
        or pytest.skip(f"needs {program}")
    )
