"""Stored XSS, as far as the server goes: what people write about themselves and to each other is text on every page."""

from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from chatsvc.text.search_terms import parse_query
from tests.support.service import PASSWORD, Service

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<!--><script>alert(1)//-->",
    "{{1327*7919}}{% raw %}{{config}}",
    "${1327*7919}#{1327*7919}<%= 1327*7919 %>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "javascript:alert(1)",
    '<a href="javascript:alert(1)">x</a>',
    "<iframe srcdoc='<script>alert(1)</script>'>",
    '" autofocus onfocus=alert(1) x="',
    "' onmouseover='alert(1)",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<style>*{display:none}</style>",
    "\u202e<script>",
    "<scr\u0130pt>alert(1)</scr\u0130pt>",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "<\x0cimg src=x>",
    "</li></ol><h1>fake</h1>",
)
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "link",
    "script",
    "body",
    "header",
    "div",
    "a",
    "form",
    "input",
    "span",
    "button",
    "p",
    "main",
    "h1",
    "h2",
    "section",
    "nav",
    "ol",
    "li",
    "bdi",
    "time",
    "label",
    "textarea",
    "mark",
    "fieldset",
    "legend",
    "select",
    "option",
    "ul",
    "code",
    "strong",
    "wbr",
}


class Markup(HTMLParser):
    """What a parser finds on a page, be it ever so well hidden from a pattern."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check_text_only(page: str, payload: str) -> None:
    """The payload is text, if it is there: no tag, no attribute and no link came of it, and nothing was worked out."""
    found = Markup(page)
    assert {tag for tag, _ in found.tags} <= TAGS, payload
    assert sum(tag == "h1" for tag, _ in found.tags) <= 1, payload
    for tag, attributes in found.tags:
        assert not any(
            name.startswith("on") or name in ("style", "srcdoc", "http-equiv")
            for name in attributes
        ), payload
        assert (attributes.get("href") or "/").startswith(("/", "#content")) and (
            attributes.get("src") or "/"
        ).startswith("/static/v/" if tag == "script" else "/")
        assert (attributes.get("action") or "/").startswith("/")
    assert "10508513" not in found.text, payload


async def everything_staff_see(
    service: Service, chat: str, cookies: dict[str, str]
) -> dict[str, str]:
    paths = (
        "/dashboard",
        "/dashboard/cards",
        f"/dashboard/chats/{chat}",
        f"/dashboard/chats/{chat}/messages",
        "/dashboard?archived=true",
    )
    return {path: (await service.get(path, cookies=cookies)).text for path in paths}


@pytest.mark.parametrize("by", ["host", "visitor"])
async def test_names_and_messages_are_text(service: Service, by: str) -> None:
    await service.create_staff()
    cookies = await service.login()
    for n, payload in enumerate(PAYLOADS):
        name = payload.replace("\x0c", " ")
        user = (
            service.user_token(f"{payload}{n}", email=None, name=name)
            if by == "host"
            else await service.visitor_token(name=name)
        )
        await service.send(user, payload)
        chat = await service.chat_id(user)
        staff_pages = await everything_staff_see(service, chat, cookies)
        for page in staff_pages.values():
            check_text_only(page, payload)
        assert payload in Markup(staff_pages[f"/dashboard/chats/{chat}"]).text
        form = {"content": payload, "_xsrf": cookies["_xsrf"]}
        assert (
            await service.request("POST", f"/dashboard/chats/{chat}", form=form, cookies=cookies)
        ).status == 303
        check_text_only(
            (await service.get(f"/dashboard/chats/{chat}", cookies=cookies)).text, payload
        )
        found = await service.get(f"/dashboard/search?{urlencode({'q': payload})}", cookies=cookies)
        check_text_only(found.text, payload)
        assert not parse_query(payload) or payload[:100] in Markup(found.text).text, (
            "excerpt or name, with what was typed"
        )


async def test_addresses_that_carry_markup_are_text_or_no_addresses(service: Service) -> None:
    """What a mail server would take (a quote, an apostrophe) reaches the page escaped."""
    await service.create_staff()
    cookies = await service.login()
    for n, email in enumerate(
        (
            "o'hara@example.com",
            "a&b@example.com",
            "a`b@example.com",
            "{{1327*7919}}@example.com",
            "<b>@example.com",
            'x"onx=@example.com',
        )
    ):
        user = service.user_token(f"user{n}", email=email)
        await service.send(user, "hello")
        for page in (
            await everything_staff_see(service, await service.chat_id(user), cookies)
        ).values():
            check_text_only(page, email)
            assert "<b>" not in page and "49@" not in page and '"onx' not in page


async def test_what_a_request_says_is_text_where_it_is_shown_again(service: Service) -> None:
    await service.create_staff()
    cookies = await service.login()
    chat = await service.chat_id(service.user_token())
    for payload in PAYLOADS:
        form = {"email": payload, "next": f"/{payload}", "_xsrf": cookies["_xsrf"]}
        login = await service.request("POST", "/login", form=form, cookies=cookies)
        assert login.status in (401, 429)
        check_text_only(login.text, payload)
        draft = {"content": payload + "x" * 10_001, "_xsrf": cookies["_xsrf"]}
        refused = await service.request(
            "POST", f"/dashboard/chats/{chat}", form=draft, cookies=cookies
        )
        assert refused.status == 422
        check_text_only(refused.text, payload)
        for field in (
            "name",
            "token_name",
        ):  # kept beside what was wrong with it, or stored and shown
            path = f"/dashboard/account/{field.replace('token_name', 'tokens')}"
            for value in (payload, payload + "x" * 255):
                service.rates_clock.advance(3600)
                form = {field: value, "token_password": PASSWORD, "_xsrf": cookies["_xsrf"]}
                answer = await service.request("POST", path, form=form, cookies=cookies)
                check_text_only(answer.text, payload)
                assert answer.status in (201, 303, 422)
        check_text_only((await service.get("/dashboard/account", cookies=cookies)).text, payload)
        for path in ("/dashboard", "/dashboard/cards", "/dashboard/account", "/login", "/nope"):
            answer = await service.request(
                "GET",
                f"{path}?x={_quoted(payload)}&next=/{_quoted(payload)}",
                cookies=cookies,
                headers={"Accept": "text/html"},
            )
            check_text_only(answer.text, payload)


def _quoted(payload: str) -> str:
    """As some clients send it: the query as it is, but for what would end it."""
    return "".join(
        c
        if c.isascii() and c.isprintable() and c not in " #&+"
        else "".join(f"%{b:02x}" for b in c.encode())
        for c in payload
    )


async def test_json_stays_json_in_a_browser(service: Service) -> None:
    """An API answer opened as a page is no page."""
    alice, staff = service.user_token(name="<script>alert(1)</script>"), await service.staff_token()
    await service.send(alice, "<script>alert(1)</script>")
    for path, token in (("/support_chat", alice), ("/admin/chats", staff), ("/openapi.json", None)):
        answer = await service.get(path, token, headers={"Accept": "text/html"})
        assert (
            answer.headers["Content-Type"] == "application/json"
            and answer.headers["X-Content-Type-Options"] == "nosniff"
        )
