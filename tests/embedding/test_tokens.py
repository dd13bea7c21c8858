"""The guide's functions that sign identity tokens: each one is run where its language is, and chatsvc takes what it signs."""

import base64
import json
import re
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from chatsvc.security.tokens import ALGORITHM, MAX_LIFETIME, decode_identity
from tests.conftest import ServiceFactory
from tests.embedding import guide
from tests.embedding.languages import FOUND, LANGUAGES, User, run, token_of
from tests.support.service import IDENTITY_SECRET, Service

SECRET = IDENTITY_SECRET.decode()
EVA = User(7, "eva@example.com", 'Eva Zoë O\'Neil 🎒 <b>"x"</b> مريم')
MUTE = User("0197f3b0-5d2c-7e54-9d0f-7f1f3a6f8a11", None, None)
HOUR = timedelta(hours=1)
every_language = pytest.mark.parametrize("language", FOUND)


def test_two_languages_are_on_every_machine() -> None:
    """Ruby and PHP may be missing; then there are fewer tests, and none that is skipped."""
    assert {"node", "python"} <= set(FOUND)


def test_every_function_is_at_most_twenty_lines() -> None:
    for language in LANGUAGES.values():
        code = guide.block(language.block).code
        lines = [line for line in code.splitlines() if re.search(r"[^\s{}]", line)]
        assert (
            len(
                [line for line in lines if not re.match(r"(import|from|require|<\?php|#|//)", line)]
            )
            <= 20
        )


@every_language
@pytest.mark.parametrize("user", [EVA, MUTE], ids=["with name and e-mail", "without"])
def test_the_token_says_who_it_is(language: str, user: User, tmp_path: Path) -> None:
    token = token_of(language, tmp_path, user, SECRET)
    claims = decode_identity(token, (IDENTITY_SECRET,))
    assert (claims.sub, claims.email, claims.name) == (str(user.id), user.email, user.name)
    assert claims.expires_at - claims.issued_at == HOUR <= MAX_LIFETIME
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token, re.ASCII), (
        "base64url without padding (RFC 7515)"
    )
    head, body, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": ALGORITHM, "typ": "JWT"}
    named = {cell for row in guide.table("claim") for cell in guide.code_in(row[0])}
    assert set(json.loads(base64.urlsafe_b64decode(body + "=="))) <= named


@every_language
def test_nothing_is_signed_without_a_secret(language: str, tmp_path: Path) -> None:
    """An application that forgets its secret must notice, and must not sign with an empty one."""
    done = run(language, tmp_path, EVA, secret=None)
    assert done.returncode != 0
    assert "eyJ" not in done.stdout


@every_language
async def test_a_running_service_takes_the_token_and_stores_who_it_is(
    language: str, service: Service, tmp_path: Path
) -> None:
    token = token_of(language, tmp_path, EVA, SECRET)
    assert (await service.get("/support_chat", token)).status == 200
    await service.send(token, "Hello")
    (chat,) = (await service.get("/admin/chats", await service.staff_token())).json
    assert (chat["user_email"], chat["user_name"]) == (EVA.email, EVA.name)


def test_a_change_of_the_secret_locks_nobody_out(
    make_service: ServiceFactory, io_loop: IOLoop, tmp_path: Path
) -> None:
    """The three steps of the guide: both are taken while both are listed, the old one no longer when it is not."""
    new = b"a new secret, as long as the one before it"
    issued = [token_of("python", tmp_path, EVA, secret) for secret in (SECRET, new.decode())]

    def statuses(*identity_secrets: bytes) -> list[int]:
        service = make_service(identity_secrets=identity_secrets)
        return [
            io_loop.run_sync(partial(service.get, "/support_chat", token)).status
            for token in issued
        ]

    assert statuses(IDENTITY_SECRET) == [200, 401]
    assert statuses(new, IDENTITY_SECRET) == [200, 200]
    assert statuses(new) == [401, 200]
