"""The page behind the link in e-mails, as people, their mail providers and programs that look into links use it."""

import logging
from typing import Any

import pytest

from chatsvc.security import tokens
from tests.conftest import ServiceFactory
from tests.security.test_csrf import FOREIGN
from tests.security.test_markup import Markup
from tests.support.service import SECRET_KEY, Service

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
UNDO = {"undo": "1"}
NOBODY = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"


async def user_id(service: Service, token: str) -> str:
    caller = await service.app.identity.authenticate_bearer(token)
    return caller.user_id


async def link(service: Service, token: str) -> str:
    return f"/notices/unsubscribe?token={tokens.sign_unsubscribe(SECRET_KEY, await user_id(service, token))}"


async def row(service: Service, token: str) -> Any:
    """email_opted_out_at and language."""
    user = await user_id(service, token)
    rows = await service.app.db.read(
        lambda session: session.execute_sql(
            "SELECT email_opted_out_at, language FROM users WHERE id = %s", (user,)
        )
    )
    return rows[0]


async def is_opted_out(service: Service, token: str) -> bool:
    return (await row(service, token))[0] is not None


def title(page: str) -> str:
    return page.partition("<h1>")[2].partition("</h1>")[0]


async def test_looking_changes_nothing_posting_acts_and_can_be_undone(service: Service) -> None:
    alice, bob = service.user_token(), service.user_token("bob")
    await service.chat_id(bob)
    path = await link(service, alice)
    for _ in range(2):
        page = await service.get(path)
        assert page.status == 200 and title(page.text) == "E-mails about new replies"
        assert not await is_opted_out(service, alice)
    stopped = await service.request("POST", path, form=ONE_CLICK)
    assert stopped.status == 200 and title(stopped.text) == "You are unsubscribed"
    assert await is_opted_out(service, alice) and not await is_opted_out(service, bob)
    first = await row(service, alice)
    await service.request("POST", path, form=ONE_CLICK)
    assert await row(service, alice) == first, "it is since the first time"
    assert title((await service.get(path)).text) == "You are unsubscribed"
    resumed = await service.request("POST", path, form=UNDO)
    assert resumed.status == 200 and "You get these e-mails again." in resumed.text
    assert not await is_opted_out(service, alice)


async def test_head_and_other_methods_change_nothing(service: Service) -> None:
    alice = service.user_token()
    path = await link(service, alice)
    assert (await service.request("HEAD", path)).status == 200
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await service.request(method, path)).status in (403, 405), method
    assert not await is_opted_out(service, alice)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
        ),
    ],
)
async def test_a_mail_provider_needs_one_request(
    service: Service, content_type: str, body: bytes
) -> None:
    """RFC 8058, both forms of the body: no cookie, no other token, no redirect; and no cookie is set."""
    alice = service.user_token()
    answer = await service.request(
        "POST", await link(service, alice), raw=body, headers={"Content-Type": content_type}
    )
    assert answer.status == 200 and "Set-Cookie" not in answer.headers
    assert await is_opted_out(service, alice)


async def test_a_post_may_come_from_any_page(service: Service) -> None:
    """A webmail's own page sends its own Origin. What counts is the token, which no other site knows."""
    alice = service.user_token()
    path = await link(service, alice)
    for headers in (headers for headers in FOREIGN if headers.get("Origin")):
        assert (
            await service.request("POST", path, form=ONE_CLICK, headers=headers)
        ).status == 200, headers
        assert await is_opted_out(service, alice)
        await service.request("POST", path, form=UNDO)


async def test_what_is_signed_for_something_else_is_not_found(service: Service) -> None:
    alice = service.user_token()
    user = await user_id(service, alice)
    visitor = await service.visitor_token()
    good = tokens.sign_unsubscribe(SECRET_KEY, user)
    other = tokens.sign_unsubscribe(b"another secret key, of more than 32 bytes", user)
    nobody = tokens.sign_unsubscribe(SECRET_KEY, NOBODY)
    for wrong in (
        "",
        alice,
        visitor,
        other,
        nobody,
        good[:-1],
        good.upper(),
        f"{good}x",
        user,
        "%FF",
        "x" * 4000,
    ):
        for method, form in (("GET", None), ("POST", ONE_CLICK), ("POST", UNDO)):
            answer = await service.request(method, f"/notices/unsubscribe?token={wrong}", form=form)
            assert answer.status == (400 if wrong == "%FF" else 404), wrong
            assert wrong == "%FF" or title(answer.text) == "This link does not work"
    assert not await is_opted_out(service, alice)
    assert (
        await service.request("POST", "/notices/unsubscribe", form={"token": good})
    ).status == 404
    for path in ("/support_chat", "/admin/chats"):
        assert (await service.get(path, good)).status == 401, "and it is good for nothing else"


async def test_it_speaks_the_users_language_else_the_browsers(service: Service) -> None:
    alice, bob = service.user_token(), service.user_token("bob")
    await service.get("/support_chat", alice, headers={"Accept-Language": "de-AT"})
    french = {"Accept-Language": "fr"}
    assert (
        title((await service.get(await link(service, alice), headers=french)).text)
        == "E-Mails über neue Antworten"
    )
    assert 'lang="de"' in (await service.get(await link(service, alice))).text
    path = await link(service, bob)
    assert title((await service.get(path, headers=french)).text) == "E-mails about new replies"
    german = {"Accept-Language": "de"}
    assert title((await service.get(path, headers=german)).text) == "E-Mails über neue Antworten"
    broken = await service.get("/notices/unsubscribe?token=x", headers=german)
    assert title(broken.text) == "Dieser Link funktioniert nicht"


async def test_the_page_is_plain_and_tells_nothing_of_the_user(service: Service) -> None:
    """It needs no JavaScript, holds no name and no address, and is kept by no cache."""
    token = service.user_token(name="Alice Secret")
    page = await service.get(await link(service, token))
    assert {"script", "img"}.isdisjoint(tag for tag, _ in Markup(page.text).tags)
    assert "Secret" not in page.text and "alice" not in page.text
    assert (
        page.headers["Cache-Control"] == "no-store"
        and page.headers["Referrer-Policy"] == "same-origin"
    )


@pytest.fixture
def logging_service(make_service: ServiceFactory) -> Service:
    return make_service(log_requests="all")


async def test_the_token_is_in_no_log(
    logging_service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service = logging_service
    caplog.set_level(logging.DEBUG)
    path = await link(service, service.user_token())
    await service.get(path)
    await service.request("POST", path, form=ONE_CLICK)
    assert "GET /notices/unsubscribe" in caplog.text and path.partition("=")[2] not in caplog.text


# ---- the language that e-mails are written in ----


def writes(service: Service) -> float:
    """How many there were so far."""
    found = service.app.metrics.registry.get_sample_value("chatsvc_commit_batch_size_sum")
    assert found is not None
    return found


async def test_the_language_is_noted_with_the_chat_and_when_a_message_shows_another(
    service: Service,
) -> None:
    alice, german, english = (
        service.user_token(),
        {"Accept-Language": "de"},
        {"Accept-Language": "en-GB, de"},
    )
    await service.get("/support_chat", alice, headers=german)
    assert (await row(service, alice))[1] == "de"
    await service.get("/support_chat", alice, headers=english)
    assert (await row(service, alice))[1] == "de", "looking changes nothing"
    await service.post("/support_chat/messages", alice, {"content": "x"}, headers=english)
    assert (await row(service, alice))[1] == "en"
    for other in ({"Accept-Language": "fr"}, {}, {"Accept-Language": "\xff;;q=,"}):
        await service.post("/support_chat/messages", alice, {"content": "x"}, headers=other)
        assert (await row(service, alice))[1] == "en", other


async def test_a_visitor_has_a_language_from_the_start(service: Service) -> None:
    answer = await service.post("/visitors", None, {}, headers={"Accept-Language": "de"})
    assert (await row(service, answer.json["token"]))[1] == "de"
    plain = await service.post("/visitors", None, {})
    assert (await row(service, plain.json["token"]))[1] is None


async def test_a_known_language_costs_no_write(service: Service) -> None:
    alice, german = service.user_token(), {"Accept-Language": "de"}
    await service.post("/support_chat/messages", alice, {"content": "x"}, headers=german)
    service.app.identity.forget_user(await user_id(service, alice))
    before = writes(service)
    for _ in range(3):
        await service.get("/support_chat", alice, headers=german)
    assert writes(service) == before
    for _ in range(3):
        await service.post("/support_chat/messages", alice, {"content": "x"}, headers=german)
    assert writes(service) == before + 3, "the messages themselves"


async def test_a_new_address_opens_no_closed_ear(service: Service) -> None:
    """Who wants no e-mails wants none to another address either."""
    visitor = await service.visitor_token(email="one@example.com")
    await service.request("POST", await link(service, visitor), form=ONE_CLICK)
    assert (
        await service.request(
            "PATCH", "/visitors/me", token=visitor, body={"email": "two@example.com"}
        )
    ).status == 200
    assert await is_opted_out(service, visitor)


async def test_what_went_wrong_does_not_lead_users_to_the_staffs_login(service: Service) -> None:
    refused = await service.request("PUT", await link(service, service.user_token()))
    assert refused.status == 405 and 'href="/dashboard"' not in refused.text
    assert 'href="/dashboard"' in (await service.request("PUT", "/login")).text
