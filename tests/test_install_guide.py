"""docs/install.md, as far as it can be proved without a machine of its own; `make try-install` runs its commands."""

import re
import shlex
import subprocess
from pathlib import Path

from chatsvc.cli import build_parser
from chatsvc.config.config import load
from chatsvc.config.options import PREFIX
from tests.support.process import ROOT
from tests.support.service import Service

GUIDE = (ROOT / "docs" / "install.md").read_text()
COMMANDS = "\n".join(re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
SOURCE = "/opt/chatsvc/source/"


def test_its_commands_are_ones_that_a_shell_can_read() -> None:
    assert COMMANDS.count("\n") > 50
    done = subprocess.run(
        ["bash", "-n"], input=COMMANDS, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_files_that_it_takes_exist() -> None:
    taken = set(
        re.findall(
            rf"{SOURCE}([\w./-]+\w)", GUIDE + (ROOT / "systemd" / "chatsvc.service").read_text()
        )
    )
    assert len(taken) >= 8
    for name in taken:
        assert (ROOT / name).exists(), name


def test_the_commands_that_it_names_exist() -> None:
    parser = build_parser()
    for line in re.findall(r"(?:^|`)chatsvc ([a-z-]+[^`\n]*)", GUIDE, re.MULTILINE):
        arguments = parser.parse_args(shlex.split(line))
        assert arguments.run is not None, line


def test_the_example_of_a_configuration_is_accepted(tmp_path: Path) -> None:
    """As systemd and as the shell read it, with the credentials that the unit loads."""
    example = ROOT / "systemd" / "chatsvc.env.example"
    program = f"set -a; . {example}; env -0"
    shell = subprocess.run(
        ["sh", "-c", program], capture_output=True, text=True, check=True, env={}
    ).stdout
    environ = dict(line.split("=", 1) for line in shell.split("\0") if line.startswith(PREFIX))
    plain = [
        line.split("=", 1)
        for line in example.read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert {name: value.strip("'") for name, value in plain} == environ
    for name in re.findall(
        r"^LoadCredential=(\w+):", (ROOT / "systemd" / "chatsvc.service").read_text(), re.MULTILINE
    ):
        (tmp_path / name).write_text("0123456789abcdef" * 4 + "\n")
    config = load(environ | {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (
        config.public_url == "https://chat.example.com"
        and config.secret_key
        and config.identity_secrets
    )
    assert config.mail_from == "Support <support@example.com>"


async def test_the_metrics_that_it_names_exist(service: Service) -> None:
    shown = (await service.get("/metrics")).text
    named = set(re.findall(r"`(chatsvc_[a-z_]+)`", GUIDE))
    assert len(named) >= 8
    for name in named:
        assert f"# TYPE {name}" in shown, name
