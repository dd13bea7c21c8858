"""Search: what is found by which words, in what order, page by page, and where a result leads."""

import asyncio
import html
import re
import threading
from urllib.parse import quote

import pytest

from chatsvc.store import search
from tests.handlers.test_dashboard import get, seqs
from tests.support.postgres import execute
from tests.support.seed import seed_messages
from tests.support.service import Response, Service
from tests.support.waiting import until


@pytest.fixture
def cookies(service: Service, io_loop: object) -> dict[str, str]:
    io_loop.run_sync(service.create_staff)  # type: ignore[attr-defined]
    found: dict[str, str] = io_loop.run_sync(service.login)  # type: ignore[attr-defined]
    return found


def results(page: Response) -> list[tuple[str, int]]:
    """Chat and seq of the messages found."""
    found = re.findall(r'href="/dashboard/chats/([0-9a-f-]+)\?message=(\d+)#message-\2"', page.text)
    return [(chat, int(seq)) for chat, seq in found]


def people(page: Response) -> list[str]:
    return re.findall(r'id="chat-([0-9a-f-]+)"', page.text)


def following(page: Response, kind: str) -> str | None:
    found = re.search(rf'href="(/dashboard/search\?[^"]*{kind}=[^"]+)"', page.text)
    return html.unescape(found[1]) if found else None


async def test_messages_are_found_by_their_words_newest_first(
    service: Service, cookies: dict[str, str]
) -> None:
    ada, bob = service.user_token("ada"), service.user_token("bob")
    for user, text in (
        (ada, "My tent is TORN, help!"),
        (bob, "Größe L for a tent?"),
        (ada, "write to kim@example.org"),
    ):
        await service.send(user, text)
    ada_chat, bob_chat = await service.chat_id(ada), await service.chat_id(bob)

    async def find(query: str) -> list[tuple[str, int]]:
        return results(await service.get(f"/dashboard/search?q={query}", cookies=cookies))

    assert await find("tent") == [(bob_chat, 1), (ada_chat, 1)]
    assert await find("torn+Tent") == await find("tor") == [(ada_chat, 1)]
    assert await find("tor+tent") == [], "all words but the last are whole"
    assert await find("gr%C3%B6%C3%9Fe") == [(bob_chat, 1)]
    assert (
        await find("kim")
        == await find("example.org")
        == await find("kim@example.o")
        == [(ada_chat, 2)]
    )
    for nothing in (
        "tent+nowhere",
        "x'",
        "%27%3A*",
        "%5C",
        "%26%20%7C",
        "%00",
        "",
        "%F0%9F%98%80",
        "t" * 5000,
    ):
        assert await find(nothing) == [], nothing


async def test_people_are_found_by_the_parts_of_address_and_name(
    service: Service, cookies: dict[str, str]
) -> None:
    ada = service.user_token("1", email="ada.lovelace@example.com", name="Countess")
    other = service.user_token("2", email="bob@example.com", name="Robert Ada")
    await service.send(ada, "hello")
    await service.send(other, "hello")
    chats = [await service.chat_id(ada), await service.chat_id(other)]
    for query, expected in (
        ("ada", {*chats}),
        ("lovelace", {chats[0]}),
        ("COUNT", {chats[0]}),
        ("ada.lovelace@example.com", {chats[0]}),
        ("example.com", {*chats}),
        ("bob robert", {chats[1]}),
        ("sam", set()),
        ("staff", set()),
    ):
        assert {
            *people(
                await service.get(f"/dashboard/search?q={query.replace(' ', '+')}", cookies=cookies)
            )
        } == expected


async def test_a_user_is_found_by_the_id_in_the_host_application(
    service: Service, cookies: dict[str, str]
) -> None:
    """Staff have it from an order or a log, and it stood nowhere."""
    ada = service.user_token("shop/4711-é", email="ada@example.com")
    other = service.user_token("2", email="shop@example.com", name="4711 é")
    for user in (ada, other):
        await service.send(user, "hello")
    chats = [await service.chat_id(ada), await service.chat_id(other)]
    for query, expected in (
        ("shop/4711-é", [chats[0], chats[1]]),  # the user of this id, then those of these words
        ("  shop/4711-é ", [chats[0], chats[1]]),
        ("shop", [chats[1]]),
        ("SHOP/4711-é", [chats[1]]),
    ):
        page = await get(service, f"/dashboard/search?q={quote(query)}", cookies)
        assert people(page) == expected, query
    shown = await get(service, f"/dashboard/chats/{chats[0]}", cookies)
    assert 'title="ID in the application: shop/4711-é">shop/4711-é</bdi>' in shown.text
    guest = await service.visitor_token()
    shown = await get(service, f"/dashboard/chats/{await service.chat_id(guest)}", cookies)
    assert "ID in the application" not in shown.text


async def test_archived_chats_are_found_and_marked(
    service: Service, cookies: dict[str, str]
) -> None:
    user = service.user_token("ada")
    await service.send(user, "needle")
    chat = await service.chat_id(user)
    before = await get(service, "/dashboard/search?q=needle", cookies)
    form = {"_xsrf": cookies["_xsrf"]}
    await service.request("POST", f"/dashboard/chats/{chat}/archive", form=form, cookies=cookies)
    for query in ("needle", "ada"):
        page = await get(service, f"/dashboard/search?q={query}", cookies)
        assert "mark aside" in page.text and "mark aside" not in before.text
        assert results(page) == [(chat, 1)] or people(page) == [chat]


@pytest.mark.parametrize("rare_max", [2000, 10], ids=["by index", "by walking"])
async def test_pages_hold_every_hit_once_in_order(
    service: Service, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch, rare_max: int
) -> None:
    """Whichever way they are found; messages and people page on their own."""
    monkeypatch.setattr(search, "RARE_MAX", rare_max)
    for number in range(50):
        await service.send(
            service.user_token(f"user{number}"), f"needle {number}" if number % 2 else "hay"
        )
    for kind, count in (("messages", 25), ("people", 50)):
        path: str | None = "/dashboard/search?q=" + (
            "needle" if kind == "messages" else "example.com"
        )
        found: list[object] = []
        while path is not None:
            page = await get(service, path, cookies)
            found += results(page) if kind == "messages" else people(page)
            path = following(page, kind)
        assert len(found) == len(set(found)) == count
    newest = await service.chat_id(service.user_token("user49"))
    first = await get(service, "/dashboard/search?q=needle", cookies)
    assert results(first)[0] == (newest, 1) and "<mark>needle</mark> 49" in first.text


def walk_with(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    """Messages with more than two hits are walked from now on, within other limits."""
    for name, value in {"RARE_MAX": 2, **limits}.items():
        monkeypatch.setattr(search, name, value)
    _, walking = search._statements("support_messages", "content", "true")
    monkeypatch.setattr(search, "_NEWEST_MESSAGES", walking)


async def test_a_walk_that_finds_nothing_for_long_ends_and_goes_on(
    service: Service, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many hits, all of them old: a page costs no more than its window, and says that there may be more."""
    walk_with(monkeypatch, WINDOW=20)
    user = service.user_token("ada")
    for number in range(30):
        await service.send(user, f"needle {number}" if number < 5 else "hay")
    page = await get(service, "/dashboard/search?q=needle", cookies)
    assert results(page) == [] and "There may be more further back" in page.text
    path = following(page, "messages")
    assert path is not None
    page = await get(service, path, cookies)
    assert [seq for _, seq in results(page)] == [5, 4, 3, 2, 1] and following(
        page, "messages"
    ) is None


async def test_a_result_leads_to_its_message(service: Service, cookies: dict[str, str]) -> None:
    user = service.user_token("ada")
    chat = await service.chat_id(user)
    seed_messages(service.database_url, chat, 200)
    page = await get(service, "/dashboard/search?q=m77", cookies)
    assert results(page) == [(chat, 77)]
    shown = await get(service, f"/dashboard/chats/{chat}?message=77", cookies)
    assert seqs(shown) == list(range(52, 102)) and "Latest messages" in shown.text
    ((viewed,),) = execute(
        service.database_url,
        "SELECT m.seq FROM support_messages m JOIN support_chats c ON c.id = m.chat_id AND m.created_at = c.admin_viewed_at",
    )
    assert viewed == 101, "viewed is what was shown"
    for seq, last in ((1, 25), (3, 27), (175, 199), (176, 200), (200, 200), (9999, 200)):
        assert (
            seqs(await get(service, f"/dashboard/chats/{chat}?message={seq}", cookies))[-1] == last
        )
    assert (await service.get(f"/dashboard/chats/{chat}?message=x", cookies=cookies)).status == 400


async def test_a_cursor_that_is_none_is_refused(service: Service, cookies: dict[str, str]) -> None:
    for query in (
        "q=a&messages=x",
        "q=a&people=%27",
        "q=a&messages=FFFFFFFF-ffff-ffff-ffff-ffffffffffff",
    ):
        assert (await service.get(f"/dashboard/search?{query}", cookies=cookies)).status == 400


async def test_long_texts_end_a_window_sooner(
    service: Service, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 texts of 2,000 characters took longer to take apart than a statement may: the search found nothing, ever."""
    walk_with(monkeypatch, WINDOW_BYTES=1000)
    user = service.user_token("ada")
    for number in range(12):
        await service.send(user, ("needle " if number < 4 else "hay ") + "x" * 390)
    path: str | None = "/dashboard/search?q=needle"
    found: list[list[int]] = []
    while path is not None:
        page = await get(service, path, cookies)
        found.append([seq for _, seq in results(page)])
        path = following(page, "messages")
    assert found == [[], [], [4], [3, 2, 1], []], "three texts are more than 1000 bytes"


async def test_users_do_not_wait_for_searches(
    service: Service, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four slow searches occupied the four readers: users got 503."""
    ada, held, go_on = service.user_token("ada"), threading.Event(), threading.Event()
    await service.chat_id(ada)

    def hold(*_: object) -> tuple[list[object], None]:
        held.set()
        go_on.wait(20)
        return [], None

    monkeypatch.setattr(search, "find_people", hold)
    try:
        searches = [
            asyncio.ensure_future(service.get("/dashboard/search?q=x", cookies=cookies))
            for _ in range(8)
        ]
        await until(held.is_set)
        answers = [await service.get("/support_chat", ada) for _ in range(4)]
    finally:
        go_on.set()
    assert [answer.status for answer in answers] == [200] * 4
    assert [(await each).status for each in searches] == [200] * 8
