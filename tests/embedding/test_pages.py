"""The guide's markup, scripts and tables against the element and the server as they are."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chatsvc import errors
from chatsvc.config.options import OPTIONS
from tests.embedding import guide
from tests.embedding.guide import Block
from tests.embedding.languages import FOUND, LANGUAGES, LIMIT_S, NODE
from tests.support.service import Service

STATIC = guide.ROOT / "chatsvc" / "static"
DECLARATIONS = (STATIC / "support-chat.d.ts").read_text()
GLOBAL = {"id"}  # attributes that every element has, as far as the guide uses them
OBSERVED = """
const page = { querySelector: () => null, currentScript: null };
class Document { get adoptedStyleSheets() { return []; } }
class CSSStyleSheet { replaceSync() {} }
class HTMLElement {}
Object.assign(globalThis, { Document, CSSStyleSheet, HTMLElement, document: page, window: globalThis, addEventListener() {} });
globalThis.customElements = {
  get: () => undefined,
  define: (name, element) => console.log(JSON.stringify({ name, attributes: element.observedAttributes })),
};
await import(process.argv[2]);
"""
DIRECTIVES = re.compile(r"<%.*?%>|@auth|@endauth|\{%.*?%\}|\{\{--.*?--\}\}|\{#.*?#\}", re.DOTALL)
VUE_PREFIX = re.compile(r"^[:@]|\.prop$")


class Elements(HTMLParser):
    """The start tags of a page, and what is left open."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(code)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The attributes that the element watches, asked of the element itself."""
    program = tmp_path_factory.mktemp("observed") / "observed.mjs"
    program.write_text(OBSERVED)
    done = subprocess.run(
        [NODE, str(program), (STATIC / "dist" / "widget.js").as_uri()],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["name"] == "support-chat"
    return set(answer["attributes"])


def elements(block: Block) -> Iterator[tuple[str, dict[str, str | None]]]:
    parsed = Elements(DIRECTIVES.sub("", block.code))
    assert parsed.open == [], f"left open in {block.name}"
    yield from parsed.found


@pytest.mark.parametrize("block", guide.of(*guide.MARKUP), ids=lambda block: block.name)
def test_the_markup_uses_attributes_that_the_element_knows(
    block: Block, observed: set[str]
) -> None:
    known = observed | GLOBAL | {"key", "gettoken", *event_names()}  # the last are Vue's
    for tag, attributes in elements(block):
        if tag == "support-chat":
            names = {VUE_PREFIX.sub("", VUE_PREFIX.sub("", name)) for name in attributes}
            assert {name for name in names if not name.startswith("data-")} <= known
        elif tag == "script" and (source := attributes.get("src")):
            assert attributes["type"] == "module"
            assert source.startswith(("/", "{%")) or (
                source == f"{guide.CHAT}/widget.js" and "async" in attributes
            )


def test_every_page_has_the_loader_and_the_element() -> None:
    """In the pages of server-side frameworks; React, Vue and Next.js put it together from several blocks."""
    for block in guide.of("html", "erb", "blade", "django"):
        found = list(elements(block))
        assert (
            "script",
            {"type": "module", "src": f"{guide.CHAT}/widget.js", "async": None},
        ) in found
        assert [tag for tag, _ in found].count("support-chat") == (
            0 if block.name == "index.html" else 1
        )


def event_names() -> set[str]:
    return set(re.findall(r'"(support-chat:\w+)":', DECLARATIONS))


def test_the_tables_name_everything_that_the_element_has(observed: set[str]) -> None:
    (interface,) = re.findall(
        r"interface SupportChatElement [^{]*\{(.*?)^\}", DECLARATIONS, re.DOTALL | re.MULTILINE
    )
    members = re.findall(r"^  (?:readonly )?(\w+)(?:\(\))?: ", interface, re.MULTILINE)
    attributes = {
        name for row in guide.table("attribute and property") for name in guide.code_in(row[0])
    }
    others = {name for row in guide.table("property or method") for name in guide.code_in(row[0])}
    assert attributes == observed
    assert {name.removesuffix("()") for name in attributes | others} == {*members, "lang"}
    events = {name for row in guide.table("event (they bubble)") for name in guide.code_in(row[0])}
    assert events == event_names()


def test_every_option_and_error_that_is_named_exists() -> None:
    options = {f"CHATSVC_{option.name}" for option in OPTIONS}
    assert set(re.findall(r"CHATSVC_[A-Z_]+", guide.TEXT)) <= options
    codes = {kind.code for kind in (errors.TokenExpired, errors.Unauthorized)}
    assert set(re.findall(r"urn:chatsvc:problem:([a-z-]+)", guide.TEXT)) == codes


async def test_the_declarations_are_where_the_guide_fetches_them(service: Service) -> None:
    (path,) = re.findall(rf"curl -o \S+ {re.escape(guide.CHAT)}(/\S+)", guide.TEXT)
    answer = await service.get(path)
    assert (answer.status, answer.text) == (200, DECLARATIONS)
    assert "immutable" not in answer.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["support-chat.js", "server.mjs", "vite.config.js"])
def test_the_scripts_are_scripts(name: str, tmp_path: Path) -> None:
    path = guide.write(tmp_path, name, "script.mjs")
    done = subprocess.run(
        [NODE, "--check", str(path)], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stderr


def test_the_express_route_answers_the_users_token_and_401_for_strangers(tmp_path: Path) -> None:
    guide.write(tmp_path, "support-chat-token.mjs")
    guide.write(tmp_path, "server.mjs")
    express = tmp_path / "node_modules" / "express" / "index.mjs"
    express.parent.mkdir(parents=True)
    (express.parent / "package.json").write_text('{"name": "express", "exports": "./index.mjs"}')
    express.write_text(
        """
        const answers = [];
        const response = {
          sendStatus(status) { answers.push(status); },
          set(name, value) { answers.push(`${name}: ${value}`); return this; },
          json(body) { answers.push(body.token.split(".").length); },
        };
        export default () => ({
          get(path, handle) {
            for (const user of [null, { id: 7 }]) handle({ user }, response);
            console.log(JSON.stringify([path, ...answers]));
          },
        });
        """
    )
    environment = {guide.SECRET_VARIABLE: "a secret of at least thirty-two bytes"}
    done = subprocess.run(
        [NODE, "server.mjs"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["/support-chat-token", 401, "Cache-Control: no-store", 3]


CHECKS = {"python": ["-m", "py_compile"], "ruby": ["-c"], "php": ["-l"]}
SOURCES = [block for block in guide.of(*CHECKS) if block.language in FOUND]


@pytest.mark.parametrize("block", SOURCES, ids=lambda block: block.name)
def test_the_other_files_are_well_formed(block: Block, tmp_path: Path) -> None:
    path = guide.write(tmp_path, block.name)
    interpreter = LANGUAGES[block.language].interpreter or sys.executable
    done = subprocess.run(
        [interpreter, *CHECKS[block.language], str(path)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr


def test_every_page_and_route_speaks_of_the_same_address() -> None:
    addresses = set(re.findall(r"[\"'/]support-chat-token(?![.\w])", guide.TEXT))
    assert addresses and len(guide.of("js", "tsx", "vue", "ruby", "php", "python")) >= 12
    for block in (
        guide.block("src/SupportChat.tsx"),
        guide.block("support-chat.js"),
        guide.block("src/SupportChat.vue"),
    ):
        assert (
            'fetch("/support-chat-token", { headers: { Accept: "application/json" } })'
            in block.code
        )
