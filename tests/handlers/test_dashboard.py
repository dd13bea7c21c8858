"""The staff's pages as a browser without JavaScript sees them, and what they refuse."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest

from chatsvc.mail.mailer import MailDisabled
from chatsvc.pages.presentation import capped, card, person, safe_next, unread_title
from chatsvc.text.translations import Translations
from chatsvc.wire import SupportChatListItem
from tests.support.service import PASSWORD, Response, Service, read_cookies

INSIDE = [
    "/",
    "/dashboard",
    "/dashboard?archived=true",
    "/dashboard/chats/x?before=3",
    "/a//b",
    "/a?next=//evil",
]
OUTSIDE = [
    "",
    "//evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    "evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/ok\r\nSet-Cookie: a=b",
    "\x00/x",
    " /dashboard",
    "/\x7f",
]
TEXTS = Translations().translator("en")
GERMAN = {"Accept-Language": "de-AT, en;q=0.5"}


async def get(service: Service, path: str, cookies: dict[str, str]) -> Response:
    answer = await service.get(path, cookies=cookies)
    assert answer.status == 200, answer.text
    return answer


async def submit(service: Service, path: str, cookies: dict[str, str], **fields: str) -> Response:
    return await service.request(
        "POST", path, form={"_xsrf": cookies["_xsrf"], **fields}, cookies=cookies
    )


def seqs(answer: Response) -> list[int]:
    return [int(seq) for seq in re.findall(r'id="message-(\d+)"', answer.text)]


def chats(answer: Response) -> list[str]:
    return re.findall(r'id="chat-([0-9a-f-]+)"', answer.text)


@pytest.mark.parametrize("target", INSIDE)
def test_next_may_lead_to_a_path_of_this_server(target: str) -> None:
    assert safe_next(target) == target


@pytest.mark.parametrize("target", OUTSIDE)
def test_next_leads_nowhere_else(target: str) -> None:
    assert safe_next(target) == "/dashboard"


async def test_login_leads_where_next_says_and_starts_a_new_session(service: Service) -> None:
    email = await service.create_staff()
    page = await service.get("/login?" + urlencode({"next": "/dashboard?archived=true"}))
    cookies = read_cookies(page)
    assert 'name="next" value="/dashboard?archived=true"' in page.text
    form = {"email": email, "password": PASSWORD, "next": "//evil.example"}
    answer = await submit(
        service, "/login", {**cookies, "chatsvc": "chosen-by-somebody-else"}, **form
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/dashboard")
    session = [
        header
        for header in answer.headers.get_list("Set-Cookie")
        if "HttpOnly" in header and "Lax" in header
    ]
    assert session
    assert "chosen-by-somebody-else" not in str(answer.headers)


async def test_a_refused_login_keeps_the_email_and_not_the_password(service: Service) -> None:
    email = await service.create_staff()
    cookies = read_cookies(await service.get("/login"))
    answer = await submit(service, "/login", cookies, email=email, password="not the password")
    assert answer.status == 401
    assert f'value="{email}"' in answer.text
    assert "not the password" not in answer.text


async def test_the_sixth_try_to_log_in_is_told_to_wait(service: Service) -> None:
    cookies = read_cookies(await service.get("/login"))
    for _ in range(5):
        assert (
            await submit(service, "/login", cookies, email="a@example.com", password="guess")
        ).status == 401
    answer = await submit(service, "/login", cookies, email="a@example.com", password="guess")
    assert answer.status == 429
    assert "wait a little" in answer.text
    assert int(answer.headers["Retry-After"]) >= 1


async def test_pages_speak_the_language_of_the_browser(service: Service) -> None:
    """Translator, plural forms, dates, and what was wrong with a form; for JavaScript its texts are in the page."""
    await service.create_staff()
    user, cookies = service.user_token(), await service.login()
    await service.send(user, "hello")
    path = f"/dashboard/chats/{await service.chat_id(user)}"
    shown = {
        "/login": "Melden Sie sich an",
        "/dashboard": "1 Nachricht ·",
        path: "Antwort schreiben …",
        f"{path}?before=x": "Ungültige Anfrage",
    }
    for page, text in shown.items():
        answer = await service.get(page, cookies=cookies, headers=GERMAN)
        assert '<html lang="de">' in answer.text and text in answer.text, page
    german = (await service.get(path, cookies=cookies, headers=GERMAN)).text
    assert re.search(r">\d\d\.\d\d\.20\d\d, \d\d:\d\d UTC<", german)
    assert re.search(
        r'<li class="day"><time datetime="[0-9-]+">\w+tag, \d+\. \w+ 20\d\d<|Mittwoch', german
    )
    for_scripts = re.search(r"data-texts='([^']+)'", german)
    assert for_scripts and json.loads(for_scripts[1])["just_now"] == "gerade eben"
    form = {"_xsrf": cookies["_xsrf"], "content": "x" * 10_001}
    refused = await service.request("POST", path, form=form, cookies=cookies, headers=GERMAN)
    assert refused.status == 422 and "Zu lang: 10000 Zeichen sind erlaubt." in refused.text


async def test_strangers_are_sent_to_the_login_and_forms_need_their_token(service: Service) -> None:
    await service.create_staff()
    cookies = await service.login()
    chat_id = await service.chat_id(service.user_token())
    for path in (
        "/dashboard",
        "/dashboard/cards",
        "/dashboard/tabs",
        f"/dashboard/chats/{chat_id}",
    ):
        answer = await service.get(path)
        assert (answer.status, answer.headers["Location"]) == (
            302,
            f"/login?{urlencode({'next': path})}",
        )
        assert (
            await service.get(path, service.user_token())
        ).status == 302  # a bearer token opens no page
    for path in (f"/dashboard/chats/{chat_id}", f"/dashboard/chats/{chat_id}/archive", "/logout"):
        answer = await service.request("POST", path, form={"content": "forged"}, cookies=cookies)
        assert answer.status == 403, path


async def test_a_reply_by_form_is_sent_once_and_shown(service: Service) -> None:
    await service.create_staff()
    user, cookies = service.user_token(), await service.login()
    await service.send(user, "hello")
    path = f"/dashboard/chats/{await service.chat_id(user)}"
    match = re.search(r'name="client_id" value="([^"]+)"', (await get(service, path, cookies)).text)
    assert match is not None
    for _ in range(2):  # the back button, a double click
        answer = await submit(service, path, cookies, content="Hello\r\nyou", client_id=match[1])
        assert (answer.status, answer.headers["Location"]) == (303, path)
    stored = (await service.get("/support_chat", user)).json["messages"]
    assert [message["content"] for message in stored] == ["hello", "Hello\nyou"]
    assert "Hello\nyou" in (await get(service, path, cookies)).text


async def test_a_reply_that_is_refused_keeps_the_text_beside_the_reason(service: Service) -> None:
    await service.create_staff()
    user, cookies = service.user_token(), await service.login()
    path = f"/dashboard/chats/{await service.chat_id(user)}"
    for content in ("   ", "x" * 10_001):
        answer = await submit(service, path, cookies, content=content)
        assert answer.status == 422
        assert re.search(r'role="alert">\s*[^<\s]', answer.text), content
        if content.strip():
            assert content in answer.text
    assert (await service.get("/support_chat", user)).json["messages"] == []


async def test_a_page_marks_viewed_what_it_shows_and_nothing_newer(service: Service) -> None:
    await service.create_staff()
    user, cookies, staff = (
        service.user_token(),
        await service.login(),
        await service.staff_token("other@example.com"),
    )
    for number in range(60):
        await service.send(user, f"message {number}")
    chat_id = await service.chat_id(user)

    async def unread() -> bool:
        answer = await service.get("/admin/chats", staff)
        return bool(next(item["unread"] for item in answer.json if item["id"] == chat_id))

    shown = await get(service, f"/dashboard/chats/{chat_id}?before=11", cookies)
    assert seqs(shown) == list(range(1, 11))
    assert await unread()
    fragment = await get(service, f"/dashboard/chats/{chat_id}/messages?after=10", cookies)
    assert seqs(fragment) == list(range(11, 61))
    assert (
        await unread()
    )  # a fragment is fetched by a program; that a person saw it is said by mark_viewed
    assert seqs(await get(service, f"/dashboard/chats/{chat_id}", cookies)) == list(range(11, 61))
    assert not await unread()


async def test_the_list_pages_through_all_chats_once(service: Service) -> None:
    await service.create_staff()
    cookies = await service.login()
    for number in range(60):
        await service.send(service.user_token(f"user{number}"), "hello")
    found: list[str] = []
    path: str | None = "/dashboard"
    while path is not None:
        page = await get(service, path, cookies)
        found += chats(page)
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = following[1].replace("&amp;", "&") if following else None
    assert len(found) == len(set(found)) == 60


async def test_archiving_by_form(service: Service) -> None:
    await service.create_staff()
    user, cookies = service.user_token(), await service.login()
    await service.send(user, "hello")
    chat_id = await service.chat_id(user)
    for _ in range(2):  # repeating changes nothing
        answer = await submit(service, f"/dashboard/chats/{chat_id}/archive", cookies)
        assert (answer.status, answer.headers["Location"]) == (303, "/dashboard")
    assert chats(await get(service, "/dashboard", cookies)) == []
    assert chats(await get(service, "/dashboard?archived=true", cookies)) == [chat_id]
    answer = await submit(service, f"/dashboard/chats/{chat_id}/unarchive", cookies)
    assert answer.headers["Location"] == f"/dashboard/chats/{chat_id}"
    assert chats(await get(service, "/dashboard/cards", cookies)) == [chat_id]


async def test_what_a_colleague_wrote_has_the_colleagues_name(service: Service) -> None:
    """It once said "You" above whatever any of the staff had written."""
    await service.create_staff()
    await service.create_staff("olga@example.com", "<b>Olga")
    user, mine, theirs = (
        service.user_token("ada"),
        await service.login(),
        await service.login("olga@example.com"),
    )
    await service.send(user, "hello")
    path = f"/dashboard/chats/{await service.chat_id(user)}"
    for cookies, content in ((mine, "from me"), (theirs, "from Olga"), (theirs, "again")):
        await submit(service, path, cookies, content=content)

    async def labels(cookies: dict[str, str], address: str) -> list[str]:
        return re.findall(
            r'class="who[^>]*>(.*?)</span>', (await get(service, address, cookies)).text
        )

    olga, user_label = "<bdi>&lt;b&gt;Olga</bdi>", "<bdi>ada@example.com</bdi>"
    for address in (path, f"{path}/messages?after=0"):
        assert (await labels(mine, address))[1:] == ["You", olga, olga]
        assert (await labels(theirs, address))[2:] == ["You", "You"]
    assert await labels(mine, f"{path}/messages?before=2") == [user_label]


async def test_staff_see_and_decide_what_becomes_of_an_e_mail(service: Service) -> None:
    """Below the message that is unread, in the page and in the fragment; by forms that need no JavaScript."""
    await service.create_staff()
    user, cookies = service.user_token(), await service.login()
    await service.send(user, "hello")
    path = f"/dashboard/chats/{await service.chat_id(user)}"
    await submit(service, path, cookies, content="hi there")
    page = await get(service, path, cookies)
    fragment = await get(service, f"{path}/messages?after=1", cookies)
    for shown in (page, fragment):
        assert re.search(
            r"E-mail at <time datetime=\"[0-9TZ:.-]+\" data-clock>[^<]+ UTC</time>", shown.text
        )
        assert 'form="e-mail-send"' in shown.text and 'form="e-mail-cancel"' in shown.text
    for action, expected in (
        ("cancel", "Not e-mailed: staff decided so"),
        ("send", "E-mailed <time"),
    ):
        assert f'action="{path}/e-mail/{action}"' in page.text
        for _ in range(2):  # repeating changes nothing
            answer = await submit(service, f"{path}/e-mail/{action}", cookies)
            assert (answer.status, answer.headers["Location"]) == (303, path)
        async with asyncio.timeout(10):  # an e-mail takes its time
            while expected not in (await get(service, path, cookies)).text:
                pass
    assert 'form="e-mail-' not in (await get(service, path, cookies)).text


async def test_whoever_has_no_address_gets_no_e_mail_and_staff_know(service: Service) -> None:
    await service.create_staff()
    user, cookies = await service.visitor_token(), await service.login()
    path = f"/dashboard/chats/{await service.chat_id(user)}"
    await submit(service, path, cookies, content="hi there")
    page = await get(service, path, cookies)
    assert "No e-mail: no address" in page.text and 'form="e-mail-send"' not in page.text


async def test_staff_are_told_that_no_e_mail_is_sent_at_all(
    service: Service, expected_log: list[str]
) -> None:
    expected_log.append("e-mail is paused")
    await service.create_staff()
    cookies = await service.login()
    assert "No e-mails are being sent" not in (await get(service, "/dashboard", cookies)).text
    service.app.notices.pause(MailDisabled("the mail server refused the login", "535 <b>no</b>"))
    for path in ("/dashboard", "/dashboard/search", "/dashboard/account"):
        page = (await get(service, path, cookies)).text
        assert (
            "No e-mails are being sent:" in page
            and "refused the login (535 &lt;b&gt;no&lt;/b&gt;)" in page
        )


async def test_what_does_not_exist_is_a_page_that_says_so(service: Service) -> None:
    await service.create_staff()
    cookies = await service.login()
    unknown = "0190f3a0-0000-7000-8000-000000000000"
    for path in (
        f"/dashboard/chats/{unknown}",
        f"/dashboard/chats/{unknown.upper()}",
        "/dashboard/chats/1",
        "/dashboard/x",
    ):
        answer = await service.get(path, cookies=cookies, headers={"Accept": "text/html"})
        assert answer.status == 404, path
        assert "Not found" in answer.text
    for path in ("/dashboard?cursor=nonsense", f"/dashboard/chats/{unknown}/messages?after=x"):
        assert (await service.get(path, cookies=cookies)).status == 400


async def test_the_demo_page_exists_in_demo_mode_only(service: Service) -> None:
    assert (await service.get("/demo")).status == 404


@pytest.mark.parametrize(
    ("count", "title"), [(0, ""), (3, "(3) "), (999, "(999) "), (1000, "(999+) ")]
)
def test_the_title_counts_up_to_999(count: int, title: str) -> None:
    assert unread_title(capped(count)) == title


def item(**changes: Any) -> SupportChatListItem:
    fields: dict[str, Any] = {
        "id": "i",
        "user_id": "0190f3a0-0000-7000-8000-00000000a4f2",
        "user_email": None,
        "user_name": None,
        "last_message_at": None,
        "last_message_preview": None,
        "last_message_sender": None,
        "message_count": 1,
        "unread": False,
        "archived": False,
        "user_sub": None,
    }
    return SupportChatListItem(**{**fields, **changes})


def test_people_have_names() -> None:
    assert person(item(user_email="a@example.com", user_name="Ada"), TEXTS) == "a@example.com"
    assert person(item(user_name="Ada"), TEXTS) == "Ada"
    assert person(item(), TEXTS) == "Visitor A4F2"


def test_a_visitors_name_is_not_taken_for_an_address() -> None:
    """Who typed an address as name looked like the owner of the address."""
    claimed = item(user_name="boss@example.com")
    assert person(claimed, TEXTS) == "“boss@example.com”"
    assert person(claimed, Translations().translator("de")) == "„boss@example.com“"
    assert (card(claimed, TEXTS).initial, card(item(), TEXTS).initial) == ("B", "V")
    assert person(item(user_name="boss@example.com", user_sub="7"), TEXTS) == "boss@example.com"


def test_a_card_has_another_version_for_all_that_changes_on_it() -> None:
    def version(**changes: Any) -> str:
        return card(item(**{"user_email": "a@example.com", **changes}), TEXTS).version

    others: list[dict[str, Any]] = [
        {"message_count": 2},
        {"unread": True},
        {"archived": True},
        {"user_email": "b@example.com"},
    ]
    assert len({version(), *(version(**change) for change in others)}) == 5


async def test_an_address_that_a_visitor_typed_is_not_taken_for_a_users(service: Service) -> None:
    """Anybody may give anybody's address; pages looked as if the host application had said so."""
    await service.create_staff()
    cookies = await service.login()
    for token, is_marked in (
        (service.user_token("ada", email="ada@example.com"), False),
        (await service.visitor_token(email="ada@example.com"), True),
        (await service.visitor_token(name="Ada"), True),
        (await service.visitor_token(), False),
    ):
        page = await get(service, f"/dashboard/chats/{await service.chat_id(token)}", cookies)
        assert ("Not verified" in page.text) is is_marked
        await service.send(token, "kiwi")
        listed = await get(service, "/dashboard/cards", cookies)
        newest = listed.text.partition("</li>")[0]
        assert ("Not verified" in newest) is is_marked
    found = await get(service, "/dashboard/search?q=kiwi", cookies)
    marks = ["Not verified" in hit for hit in found.text.split("</li>")[:-1]]
    assert marks == [False, True, True, False]
    found = await get(service, "/dashboard/search?q=ada", cookies)
    assert (found.text.count('<li class="card'), found.text.count("Not verified")) == (3, 2)
