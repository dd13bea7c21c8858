"""Forty attempts to become markup, in every text that people or pages can give. All of them stay text."""

import pytest
from playwright.sync_api import Page, expect

from .hosting import NewContext, host_page, messages, open_chat, person, set_visible
from .serving import Server

pytestmark = pytest.mark.browser

PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt>alert(1)</sCrIpT>",
    "<script src=//evil.example/x.js></script>",
    "<script type=module>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "--><script>alert(1)</script>",
    "]]><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "<img src=x:alert(1) onerror=eval(src)>",
    "<img/src/onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x></svg>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mi//xlink:href='javascript:alert(1)'>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<a href=javascript:alert(1)>click</a>",
    "<a href='https://example.com' onclick=alert(1)>x</a>",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<form action=javascript:alert(1)><button>x</button></form>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<template><script>alert(1)</script></template>",
    "<slot name=x onslotchange=alert(1)></slot>",
    "{{7*7}} ${7*7} <%= 7*7 %> #{7*7} {% raw %}",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
    "javascript:alert(1) https://example.com/\"onmouseover=alert(1)//' data:text/html,<script>alert(1)</script>",
]
LINKS = 2  # https addresses among them, cut off where markup would begin
IN_PANEL = "(panel) => [...panel.querySelectorAll('*')].map((node) => node.localName)"
# what the widget is made of
ALLOWED = {
    "a",
    "button",
    "div",
    "form",
    "h2",
    "header",
    "input",
    "label",
    "li",
    "ol",
    "p",
    "path",
    "section",
    "span",
    "svg",
    "textarea",
    "time",
}


def assert_nothing_grew(page: Page) -> None:
    panel = page.locator("support-chat .panel")
    assert set(panel.evaluate(IN_PANEL)) <= ALLOWED
    attributes = (
        "(panel) => [...panel.querySelectorAll('*')].flatMap((node) => node.getAttributeNames())"
    )
    assert not [
        name
        for name in panel.evaluate(attributes)
        if name.startswith("on") or name in ("src", "srcdoc")
    ]
    hrefs = panel.locator("a").evaluate_all("(links) => links.map((link) => link.protocol)")
    assert set(hrefs) <= {"https:"}


def test_forty_payloads_from_both_sides_stay_text(server: Server, new_context: NewContext) -> None:
    assert len(PAYLOADS) == 40
    mine, theirs = server.token(person()), server.token(person())
    for payload in PAYLOADS:
        server.say(mine, payload)
        server.reply(theirs, payload)
    for token in (mine, theirs):
        page = host_page(new_context(), server, token=token)
        open_chat(page)
        expect(messages(page)).to_have_count(40)
        assert messages(page).all_text_contents() == PAYLOADS
        assert (
            page.locator("support-chat .bubble *").evaluate_all(
                "(nodes) => nodes.map((node) => node.localName)"
            )
            == ["a"] * LINKS
        )
        assert_nothing_grew(page)


def test_forty_headings_greetings_and_titles_stay_text(
    server: Server, new_context: NewContext
) -> None:
    token = server.token(person())
    server.reply(token, "unread")
    page = host_page(new_context(), server, token=token)
    open_chat(page)
    set_visible(page, False)
    server.reply(token, "unread too")
    expect(page).to_have_title("(1) A shop")
    elements = "document.querySelectorAll('*').length"
    before = page.evaluate(elements)
    for payload in PAYLOADS:
        page.evaluate(
            """(payload) => {
                const chat = document.querySelector("support-chat");
                for (const name of ["heading", "greeting", "accent", "theme", "lang"]) chat.setAttribute(name, payload);
                document.title = payload;
                document.dispatchEvent(new Event("visibilitychange"));
            }""",
            payload,
        )
        shown = "['h2', '.greeting'].map((name) => document.querySelector('support-chat').shadowRoot.querySelector(name).textContent)"
        assert page.evaluate(shown) == [payload, payload]
        assert page.evaluate("document.title") == f"(1) {payload}".strip()
    assert page.evaluate(elements) == before
    assert_nothing_grew(page)


def test_forty_names_and_addresses_stay_text_on_the_dashboard(
    server: Server, staff_page: Page
) -> None:
    """A host application's users may be called anything; staff see their list and their chats."""
    sender = person()
    tokens = [
        server.token(f"{sender}-{number}", name=payload, email=None if number % 2 else payload)
        for number, payload in enumerate(PAYLOADS)
    ]
    for token, payload in zip(tokens, PAYLOADS, strict=True):
        server.say(token, payload)
    ids = [server.chat_of(token) for token in tokens]
    staff_page.goto(f"{server.url}/dashboard")
    for chat_id, payload in zip(ids, PAYLOADS, strict=True):
        card = staff_page.locator(f"#chat-{chat_id}")
        expect(card).to_contain_text(payload[:60])
    inside = "(nodes) => [...new Set(nodes.map((node) => node.localName))]"
    found = set(staff_page.locator(".card *").evaluate_all(inside))
    assert (
        found
        & {
            "script",
            "img",
            "svg",
            "iframe",
            "object",
            "embed",
            "style",
            "link",
            "meta",
            "base",
            "input",
        }
        == set()
    )
    for chat_id, payload in list(zip(ids, PAYLOADS, strict=True))[::4]:
        staff_page.goto(f"{server.url}/dashboard/chats/{chat_id}")
        expect(staff_page.get_by_role("heading", level=1)).to_have_text(payload)
        expect(staff_page.locator(".message .bubble")).to_have_text([payload])
