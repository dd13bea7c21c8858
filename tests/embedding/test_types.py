"""The guide's TypeScript, JSX and Vue against the declarations, by the TypeScript that checks the rest."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.embedding import guide
from tests.embedding.languages import LIMIT_S, NODE
from tools.event_types import public_declaration

TSC = guide.ROOT / "node_modules" / "typescript" / "bin" / "tsc"
TSCONFIG = {
    "compilerOptions": {
        "strict": True,
        "noEmit": True,
        "jsx": "react-jsx",
        "allowJs": True,
        "isolatedModules": True,
        "target": "ES2022",
        "module": "ESNext",
        "moduleResolution": "bundler",
        "types": [],
        "lib": ["ES2023", "DOM", "DOM.Iterable"],
        "paths": {"@/*": ["./src/*"]},
    },
    "include": ["src"],
}
# what the host application brings, and the macros of Vue's compiler
AUTH = "export async function currentUser() { return { id: 7, email: 'eva@example.com', name: 'Eva' }; }\n"
MACROS = """
declare function defineProps<T>(): T;
declare function defineEmits<T extends { unread: unknown[] }>(): (name: keyof T, ...values: T["unread"]) => void;
"""
PLAIN = """
import type { SupportChatElement } from "./support-chat";
const chat = document.querySelector("support-chat");
if (chat) {
  chat.token = "x";
  chat.getToken = async () => "x";
  chat.getToken = null;
  chat.theme = "dark";
  chat.open = !chat.open;
  const made: SupportChatElement = document.createElement("support-chat");
  made.show(); made.hide(); made.toggle();
  const unread: number = made.unread;
  chat.addEventListener("support-chat:message", (event) => event.detail.message.content.trim().repeat(unread));
  document.body.addEventListener("support-chat:unread", ({ detail }) => detail.count.toFixed());
}
"""
MISTAKES = {
    "plain.ts": [
        "document.createElement('support-chat').unread = 1;",
        "document.createElement('support-chat').theme = 'blue';",
        "document.createElement('support-chat').getToken = () => 1;",
        "document.createElement('support-chat').addEventListener('support-chat:unread', (event) => event.detail.message);",
    ],
    "element.tsx": [
        "export const chat = <support-chat heading={1} />;",
        "export const chat = <support-chat titel='Support' />;",
        "export const chat = <support-chart />;",
    ],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as the guide builds it, with what it takes for granted."""
    assert TSC.exists(), "`make lint` installs TypeScript"
    (tmp_path / "node_modules").symlink_to(guide.ROOT / "node_modules")
    (tmp_path / "tsconfig.json").write_text(json.dumps(TSCONFIG))
    source = tmp_path / "src"
    source.mkdir()
    shutil.copy(guide.ROOT / "chatsvc" / "static" / "support-chat.d.ts", source)
    for block in guide.of("ts", "tsx"):
        guide.write(tmp_path, block.name)
    guide.write(source, "support-chat-token.mjs")
    (source / "auth.ts").write_text(AUTH)
    return tmp_path


def complaints(project: Path) -> str:
    done = subprocess.run(
        [NODE, str(TSC), "-p", str(project)],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


def test_the_react_next_vue_and_plain_samples_compile(project: Path) -> None:
    (script,) = re.findall(
        r'<script setup lang="ts">\n(.*?)</script>',
        guide.block("src/SupportChat.vue").code,
        re.DOTALL,
    )
    (project / "src" / "vue.ts").write_text(script + "export { getToken, report };\n")
    (project / "src" / "macros.d.ts").write_text(MACROS)
    (project / "src" / "plain.ts").write_text(PLAIN)
    assert complaints(project) == ""


def test_mistakes_do_not_compile(project: Path) -> None:
    """Else the declarations would be of no use, and the test above could not fail."""
    for name, lines in MISTAKES.items():
        for number, line in enumerate(lines):
            (project / "src" / f"{number}-{name}").write_text(f"{line}\nexport {{}};\n")
    found = complaints(project)
    assert set(re.findall(r"^src/(\d+-\w+\.tsx?)\(1,", found, re.MULTILINE)) == {
        f"{number}-{name}" for name, lines in MISTAKES.items() for number in range(len(lines))
    }, found
    assert not re.findall(r"^src/(?!\d)", found, re.MULTILINE), found


def test_the_message_of_the_types_is_that_of_the_server() -> None:
    """Host pages download support-chat.d.ts alone; a new field of a message was in events.d.ts only."""
    declared = (guide.ROOT / "chatsvc" / "static" / "support-chat.d.ts").read_text()
    assert public_declaration() in declared
