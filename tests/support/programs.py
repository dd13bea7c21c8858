"""Programs that some tests run against; `make` installs them where it may (tools/programs.sh)."""

import shutil

import pytest

SYSTEM_PATH = "/usr/sbin:/usr/local/sbin"  # not in everybody's PATH


def path_of(program: str) -> str:
    """Skip the test if the program is not installed; pytest lists skipped tests at the end."""
    return (
        shutil.which(program)
        or shutil.which(program, path=SYSTEM_PATH)
        or pytest.skip(f"needs {program}")
    )
