"""The account page as a browser without JavaScript uses it: what it shows, what it changes, whose it is."""

import re
from typing import Any

import pytest

from chatsvc.pages.presentation import device
from chatsvc.security import tokens
from chatsvc.text.translations import Translations
from tests.handlers.test_dashboard import get, submit
from tests.support.postgres import execute
from tests.support.service import PASSWORD, Response, Service, read_cookies

A_WHILE_S = 3600.0  # after which all tries to log in are earned again
NEW_PASSWORD = "another horse battery"
NOTIFICATIONS = "/admin/notifications/stream"
ACCOUNT = "/dashboard/account"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def cookies(service: Service, io_loop: Any) -> dict[str, str]:
    io_loop.run_sync(service.create_staff)
    found: dict[str, str] = io_loop.run_sync(service.login)
    return found


def ids(page: Response, kind: str) -> list[str]:
    return re.findall(rf'action="/dashboard/account/{kind}/([0-9a-f-]+)/', page.text)


async def is_in(service: Service, cookies: dict[str, str]) -> bool:
    return (await service.get("/dashboard", cookies=cookies)).status == 200


async def test_the_name_is_changed_and_kept_when_it_cannot_be(
    service: Service, cookies: dict[str, str]
) -> None:
    answer = await submit(service, f"{ACCOUNT}/name", cookies, name="  Ada <b>  ")
    assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}?done=saved")
    page = await get(service, f"{ACCOUNT}?done=saved", cookies)
    assert 'value="Ada &lt;b&gt;"' in page.text and "Saved." in page.text
    for name, reason in (("x" * 256, "255 characters"), ("a\x85b", "control character")):
        refused = await submit(service, f"{ACCOUNT}/name", cookies, name=name)
        assert (
            refused.status == 422 and reason in refused.text and f'value="{name}"' in refused.text
        )
        assert 'aria-describedby="name-problem"' in refused.text
    assert execute(service.database_url, "SELECT name FROM users") == [("Ada <b>",)]


async def test_the_language_is_the_accounts_from_the_next_page_on(
    service: Service, cookies: dict[str, str]
) -> None:
    assert (await submit(service, f"{ACCOUNT}/language", cookies, language="de")).status == 303
    english = {"Accept-Language": "en"}
    page = await service.get(ACCOUNT, cookies=cookies, headers=english)
    assert '<html lang="de">' in page.text and re.search(
        r'value="de" lang="de" selected>Deutsch<', page.text
    )
    assert (
        "Ungültige Anfrage"
        in (await service.get("/dashboard?cursor=x", cookies=cookies, headers=english)).text
    )
    refused = await submit(service, f"{ACCOUNT}/language", cookies, language="tlh")
    assert refused.status == 422 and "Diese Sprache gibt es hier nicht." in refused.text
    assert (await submit(service, f"{ACCOUNT}/language", cookies, language="")).status == 303
    assert '<html lang="en">' in (await service.get(ACCOUNT, cookies=cookies, headers=english)).text


async def test_a_new_password_ends_all_sessions_but_this_one_which_is_new(
    service: Service, cookies: dict[str, str]
) -> None:
    """The streams of the ended ones end at once, and this browser's old cookie is worth nothing any more."""
    elsewhere = await service.login()
    await service.create_staff("other@example.com")
    other = await service.login("other@example.com")
    stream = await service.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={elsewhere['chatsvc']}")
    await stream.next("state")
    form = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    answer = await submit(service, f"{ACCOUNT}/password", cookies, **form)
    assert (answer.status, answer.headers["Location"]) == (303, f"{ACCOUNT}?done=password")
    header = next(
        header for header in answer.headers.get_list("Set-Cookie") if header.startswith("chatsvc=")
    )
    assert "; HttpOnly" in header and "; SameSite=Lax" in header
    assert (await stream.next("close")).data == {"reason": "revoked", "reconnect": False}
    renewed = {**cookies, **read_cookies(answer)}
    assert renewed["chatsvc"] != cookies["chatsvc"]
    assert [await is_in(service, one) for one in (renewed, other, cookies, elsewhere)] == [
        True,
        True,
        False,
        False,
    ]
    assert len(ids(await get(service, ACCOUNT, renewed), "sessions")) == 1
    service.rates_clock.advance(A_WHILE_S)
    assert "chatsvc" in await service.login(password=NEW_PASSWORD)


async def test_a_password_that_cannot_be_changed_stays(
    service: Service, cookies: dict[str, str]
) -> None:
    for old, new, reason in (
        ("wrong wrong wrong", NEW_PASSWORD, "This is not your password."),
        (PASSWORD, "short", "at least 10 characters"),
        (PASSWORD, "x" * 1025, "1024 characters"),
        ("", "", "at least 10 characters"),
    ):
        refused = await submit(
            service, f"{ACCOUNT}/password", cookies, old_password=old, new_password=new
        )
        assert refused.status == 422 and reason in refused.text, reason
        assert "wrong wrong" not in refused.text and PASSWORD not in refused.text, (
            "no password is shown again"
        )
    assert await is_in(service, cookies) and await is_in(service, await service.login())


async def test_the_old_password_cannot_be_guessed_here_either(
    service: Service, cookies: dict[str, str]
) -> None:
    """Who finds an open browser has five tries in 20 s, as at the login, and they count there too."""
    service.rates_clock.advance(A_WHILE_S)
    form = {"old_password": "wrong wrong wrong", "new_password": NEW_PASSWORD}
    answers = [await submit(service, f"{ACCOUNT}/password", cookies, **form) for _ in range(6)]
    assert [answer.status for answer in answers] == [422] * 5 + [429]
    assert int(answers[5].headers["Retry-After"]) >= 1 and "wait a little" in answers[5].text
    right = await submit(
        service, f"{ACCOUNT}/password", cookies, old_password=PASSWORD, new_password=NEW_PASSWORD
    )
    assert right.status == 429
    login = {"email": "staff@example.com", "password": PASSWORD}
    assert (await submit(service, "/login", cookies, **login)).status == 429


async def test_sessions_are_listed_with_this_one_marked_and_ended_one_by_one(
    service: Service, cookies: dict[str, str]
) -> None:
    form = {"email": "staff@example.com", "password": PASSWORD, "_xsrf": cookies["_xsrf"]}
    agent = {"User-Agent": FIREFOX}
    answer = await service.request(
        "POST", "/login", form=form, cookies={"_xsrf": cookies["_xsrf"]}, headers=agent
    )
    elsewhere = {**cookies, **read_cookies(answer)}
    page = await get(service, ACCOUNT, cookies)
    mine, *_ = re.findall(
        r"This browser</strong>.*?/sessions/([0-9a-f-]+)/end", page.text, re.DOTALL
    )
    (theirs,) = [one for one in ids(page, "sessions") if one != mine]
    assert "Firefox, Linux" in page.text and "Unknown browser" in page.text
    stream = await service.stream(None, NOTIFICATIONS, Cookie=f"chatsvc={elsewhere['chatsvc']}")
    await stream.next("state")
    for _ in range(2):  # repeating changes nothing
        assert (await submit(service, f"{ACCOUNT}/sessions/{theirs}/end", cookies)).status == 303
    assert (await stream.next("close")).data["reason"] == "revoked"
    assert await is_in(service, cookies) and not await is_in(service, elsewhere)
    await submit(service, f"{ACCOUNT}/sessions/{mine}/end", cookies)
    assert not await is_in(service, cookies)


async def test_a_token_is_shown_once_works_and_is_revoked(
    service: Service, cookies: dict[str, str]
) -> None:
    made = await submit(
        service,
        f"{ACCOUNT}/tokens",
        cookies,
        token_name="  nightly <report> ",
        token_password=PASSWORD,
    )
    found = re.search(r'<code class="token">([^<]+)</code>', made.text)
    assert made.status == 201 and found is not None
    token = found[1]
    page = await get(service, ACCOUNT, cookies)
    assert (
        token not in page.text
        and "nightly &lt;report&gt;" in page.text
        and "Never used" in page.text
    )
    assert execute(service.database_url, "SELECT token_hash FROM staff_tokens") == [
        (tokens.hash_token(token),)
    ]
    assert (await service.get("/admin/chats", token)).status == 200
    page = await get(service, ACCOUNT, cookies)
    assert "Never used" not in page.text
    (token_id,) = ids(page, "tokens")
    stream = await service.stream(token, NOTIFICATIONS)
    await stream.next("state")
    assert (await submit(service, f"{ACCOUNT}/tokens/{token_id}/revoke", cookies)).status == 303
    assert (await stream.next("close")).data["reason"] == "revoked"
    assert (await service.get("/admin/chats", token)).status == 401
    assert ids(await get(service, ACCOUNT, cookies), "tokens") == []
    refused = await submit(service, f"{ACCOUNT}/tokens", cookies, token_name="x" * 256)
    assert refused.status == 422 and "255 characters" in refused.text and "x" * 256 in refused.text


async def test_a_token_takes_the_password_and_ends_with_it(
    service: Service, cookies: dict[str, str]
) -> None:
    """Who had a session for a minute made a token, which outlived a new password."""
    form = {"token_name": "mine", "token_password": "wrong wrong wrong"}
    for password in ("", "wrong wrong wrong"):
        refused = await submit(
            service, f"{ACCOUNT}/tokens", cookies, token_name="mine", token_password=password
        )
        assert refused.status == 422 and "This is not your password." in refused.text
        assert 'value="mine"' in refused.text and "wrong wrong" not in refused.text
    answers = [await submit(service, f"{ACCOUNT}/tokens", cookies, **form) for _ in range(4)]
    assert [answer.status for answer in answers][-1] == 429 and "wait a little" in answers[-1].text
    service.rates_clock.advance(A_WHILE_S)
    form["token_password"] = PASSWORD
    made = await submit(service, f"{ACCOUNT}/tokens", cookies, **form)
    found = re.search(r'<code class="token">([^<]+)</code>', made.text)
    assert made.status == 201 and found is not None
    stream = await service.stream(found[1], NOTIFICATIONS)
    await stream.next("state")
    form = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    changed = await submit(service, f"{ACCOUNT}/password", cookies, **form)
    assert changed.status == 303
    assert (await stream.next("close")).data["reason"] == "revoked"
    assert (await service.get("/admin/chats", found[1])).status == 401
    renewed = {**cookies, **read_cookies(changed)}
    page = await service.get(changed.headers["Location"], cookies=renewed)
    assert "all tokens have ended" in page.text and ids(page, "tokens") == []


async def test_nobody_ends_or_sees_what_is_another_ones(
    service: Service, cookies: dict[str, str]
) -> None:
    """Two members of staff: ids are no secrets among them, and give nothing."""
    await submit(
        service, f"{ACCOUNT}/tokens", cookies, token_name="mine alone", token_password=PASSWORD
    )
    mine = await get(service, ACCOUNT, cookies)
    (session_id,), (token_id,) = ids(mine, "sessions"), ids(mine, "tokens")
    await service.create_staff("other@example.com")
    other = await service.login("other@example.com")
    page = await get(service, ACCOUNT, other)
    assert (
        "mine alone" not in page.text
        and session_id not in page.text
        and "staff@example.com" not in page.text
    )
    await submit(service, f"{ACCOUNT}/sessions/{session_id}/end", other)
    await submit(service, f"{ACCOUNT}/tokens/{token_id}/revoke", other)
    assert await is_in(service, cookies)
    assert ids(await get(service, ACCOUNT, cookies), "tokens") == [token_id]


async def test_sessions_that_have_expired_are_not_listed(
    service: Service, cookies: dict[str, str]
) -> None:
    await service.login()
    execute(
        service.database_url,
        "UPDATE staff_sessions SET last_seen_at = clock_timestamp() - interval '13 hours' WHERE token_hash <> %s",
        tokens.hash_token(cookies["chatsvc"]),
    )
    assert len(ids(await get(service, ACCOUNT, cookies), "sessions")) == 1


@pytest.mark.parametrize(
    ("user_agent", "shown"),
    [
        (FIREFOX, "Firefox, Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
            "Chrome, Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge, Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1 Version/18.5 Mobile Safari/604.1",
            "Safari, iPhone",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1 Version/18.5 Safari/605.1.15",
            "Safari, macOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36",
            "Chrome, Android",
        ),
        ("curl/8.5", "Unknown browser"),
        ("<script>", "Unknown browser"),
        (None, "Unknown browser"),
    ],
)
def test_browsers_are_named_by_what_they_say(user_agent: str | None, shown: str) -> None:
    assert device(user_agent, Translations().translator("en")) == shown
