"""What the documents say must be so."""

import argparse
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from msgspec import Struct

from chatsvc import __version__, errors, wire
from chatsvc.cli import build_parser
from chatsvc.config.options import OPTIONS, table
from chatsvc.config.parsers import smtp_url
from chatsvc.security.tokens import decode_identity
from chatsvc.streams.subscriber import RECONNECT

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PACKAGE = ROOT / "chatsvc"
PATH = re.compile(
    r"[\w@.-]+(?:/[\w@.-]+)*(?:/|\.(?:py|js|mjs|ts|html|css|json|toml|md|txt|example))"
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SECRET = "a secret of at least thirty-two bytes"


def read(name: str) -> str:
    return (ROOT / name).read_text()


def anchors(text: str) -> set[str]:
    """The #fragments of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def catalogue(
    kind: type[errors.DomainError] = errors.DomainError,
) -> Iterator[type[errors.DomainError]]:
    for error in kind.__subclasses__():
        yield error
        yield from catalogue(error)


def test_the_readme_holds_the_table_of_options() -> None:
    assert f"\n{table()}\n" in read("README.md"), "paste what `python -m chatsvc.config` prints"


def test_the_readme_names_every_command_with_its_arguments() -> None:
    rows = [row for row in read("README.md").splitlines() if row.startswith("| `server.py")]
    for name, parser in commands():
        row = next(row for row in rows if f"server.py {name}" in row)
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction):
                assert (action.option_strings or [str(action.metavar)])[-1] in row
    named = {word for row in rows for word in re.findall(r"`server\.py ([a-z-]+)", row)}
    assert named == {name for name, _ in commands()}


def test_the_readmes_token_is_one_that_is_accepted() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)  # noqa: S102 - the README is ours
    user = SimpleNamespace(id=7, email="eva@example.com", name="Eva")
    token = names["support_chat_token"](user, SECRET)  # type: ignore[operator]
    claims = decode_identity(token, (SECRET.encode(),))
    assert (claims.sub, claims.email, claims.name) == ("7", "eva@example.com", "Eva")


def test_the_architecture_holds_the_error_catalogue() -> None:
    rows = {(error.status, error.code, error.title) for error in catalogue()}
    found = re.findall(
        r"^\| (\d{3}) \| `([a-z-]+)` \| (.*) \|$", read("ARCHITECTURE.md"), re.MULTILINE
    )
    assert {(int(status), code, title) for status, code, title in found} == rows


def test_the_architecture_names_every_event_with_its_fields() -> None:
    rows = [
        row
        for row in read("ARCHITECTURE.md").splitlines()
        if re.match(r"\| (chat|staff|all) \|", row)
    ]
    structs = [
        kind for kind in vars(wire).values() if isinstance(kind, type) and issubclass(kind, Struct)
    ]
    events = [struct for struct in structs if struct.__name__.endswith("Event")]
    assert len(rows) == len(events) > 0
    for event in events:
        name = event.__struct_config__.tag or event.__name__.removesuffix("Event").lower()
        fields = event.__struct_fields__
        assert any(
            f"`{name}`" in row and all(f"`{field}`" in row for field in fields) for row in rows
        ), name


def section(heading: str) -> str:
    """The text of ARCHITECTURE.md from one heading to the next of any level."""
    (found,) = re.findall(
        rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)",
        read("ARCHITECTURE.md"),
        re.MULTILINE | re.DOTALL,
    )
    assert isinstance(found, str)
    return found


def first_cells(heading: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", section(heading), re.MULTILINE)


def test_the_architecture_names_every_package_and_in_the_order_of_the_contract() -> None:
    contract = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]
    layers = [name for layer in contract["layers"] for name in re.split(r"\W+", layer)]
    folders = {"languages", "static", "templates"}
    here = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    here |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(layers) == here
    assert first_cells("Packages") == [*layers, *sorted(folders)]


def test_the_architecture_names_every_end_of_a_stream() -> None:
    """With what the client is told about coming back."""
    rows = re.findall(r"^\| `(\w+)` \| (yes|no|–) \|", section("Who ends a stream"), re.MULTILINE)
    ends = {reason: "yes" if reconnect else "no" for reason, reconnect in RECONNECT.items()}
    assert dict(rows) == ends | {"gone": "–"}
    assert set(ends) == set(get_args(wire.CloseEvent.__annotations__["reason"]))


def test_the_paths_that_the_architecture_names_exist() -> None:
    """Relative to the package, or to the repository. A name of a single folder ends with a slash."""
    text = re.sub(r"^```.*?^```", "", read("ARCHITECTURE.md"), flags=re.MULTILINE | re.DOTALL)
    named = {name for name in re.findall(r"`([^`\n]+)`", text) if PATH.fullmatch(name)}
    assert len(named) > 100
    missing = [name for name in named if not ((PACKAGE / name).exists() or (ROOT / name).exists())]
    assert missing == []


def test_the_names_that_the_architecture_gives_with_a_file_are_in_it() -> None:
    """`name` in `file.py`: the file holds that name."""
    text = " ".join(read("ARCHITECTURE.md").split())
    pairs = re.findall(r"((?:`[\w.]+`(?:, | and ))*`[\w.]+`) (?:in|of) `([\w/.-]+\.py)`", text)
    assert len(pairs) > 15
    for names, file in pairs:
        path = PACKAGE / file if (PACKAGE / file).exists() else ROOT / file
        for name in re.findall(r"`([\w.]+)`", names):
            assert name.rpartition(".")[2] in path.read_text(), f"{name} in {file}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not fragment or fragment in anchors(target.read_text()), link


def test_the_guide_to_proxies_shows_the_configurations_that_are_tested() -> None:
    for path in (ROOT / "proxies").iterdir():
        assert f"\n{path.read_text()}```\n" in read("docs/proxies.md"), path.name


def test_the_settings_for_email_are_ones_that_are_taken() -> None:
    """Each provider's address fits with a real key in it, and each variable that is named exists."""
    text = read("docs/email.md")
    urls = re.findall(r"\bsmtps?://[^\s`]*[a-z0-9]", text)
    assert len(urls) == 7
    for url in urls:
        smtp_url(url)
    assert {name.removesuffix("_FILE") for name in re.findall(r"CHATSVC_[A-Z_]+", text)} <= {
        o.variable for o in OPTIONS
    }


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__
