"""People without an account: POST /visitors, PATCH /visitors/me (docs/api.md sections 1 and 3)."""

import time
from typing import Any

import jwt
from tornado.ioloop import IOLoop

from tests.conftest import ServiceFactory
from tests.contract.conftest import People
from tests.contract.shapes import check_problem, is_id
from tests.support.service import Response, Service

DAY_S = 24 * 3600


async def change(service: Service, token: str | None, body: Any) -> Response:
    return await service.request("PATCH", "/visitors/me", token=token, body=body)


async def test_a_visitor_gets_a_token_that_is_good_for_400_days(service: Service) -> None:
    for body in (
        {},
        None,
        {"name": "Vera", "email": "vera@example.com"},
        {"name": None, "email": None},
    ):
        answer = await service.post("/visitors", None, body)
        assert (
            answer.status == 201
            and set(answer.json) == {"token", "user_id"}
            and is_id(answer.json["user_id"])
        )
        claims = jwt.decode(
            answer.json["token"].removeprefix("cv_"), options={"verify_signature": False}
        )
        assert abs(claims["exp"] - time.time() - 400 * DAY_S) < 60
        assert (await service.get("/support_chat", answer.json["token"])).status == 200


async def test_name_and_email_are_seen_by_staff(service: Service, people: People) -> None:
    token = await service.visitor_token(name="Vera", email="vera@example.com")
    await service.send(token, "hello")
    item = (await service.get("/admin/chats", people.staff)).json[0]
    assert (item["user_name"], item["user_email"]) == ("Vera", "vera@example.com")


async def test_a_name_that_turns_the_text_around_it_or_shows_nothing_is_none(
    service: Service, people: People
) -> None:
    """It stood in the page's title and in notifications, and a chat without a visible name could not be told from an error."""
    for name, shown in (
        ("\u202egnp\u2066 Vera", "gnp Vera"),
        ("\u200b\u2060 \u202e", None),
        ("\u0645\u06cc\u200c\u0646", "\u0645\u06cc\u200c\u0646"),
    ):
        await service.send(await service.visitor_token(name=name), "hello")
        assert (await service.get("/admin/chats", people.staff)).json[0]["user_name"] == shown
        await service.send(service.user_token(f"u{name}", name=name), "hello")
        assert (await service.get("/admin/chats", people.staff)).json[0]["user_name"] == shown


async def test_a_visitor_changes_what_is_given_and_keeps_the_rest(
    service: Service, people: People
) -> None:
    created = (await service.post("/visitors", None, {"name": "Vera"})).json
    token, profile = (
        created["token"],
        {"user_id": created["user_id"], "name": "Vera", "email": None},
    )
    for body, now in (
        ({"email": "vera@example.com"}, {"name": "Vera", "email": "vera@example.com"}),
        ({"name": "V."}, {"name": "V.", "email": "vera@example.com"}),
        ({}, {"name": "V.", "email": "vera@example.com"}),
        ({"email": None}, {"name": "V.", "email": None}),
        ({"name": None, "email": "v@example.org"}, {"name": None, "email": "v@example.org"}),
    ):
        answer = await change(service, token, body)
        assert answer.status == 200 and answer.json == {**profile, **now}


async def test_the_staff_list_learns_of_a_change(service: Service, people: People) -> None:
    await service.send(people.visitor, "hello")
    stream = await service.stream(people.staff, "/admin/notifications/stream")
    await stream.next("state")
    await change(service, people.visitor, {"name": "Vera"})
    event = await stream.next("chat_updated")
    assert event.data["chat"]["user_name"] == "Vera"
    assert event.data["chat"] == (await service.get("/admin/chats", people.staff)).json[0]
    stream.close()


async def test_users_of_a_host_application_and_staff_cannot(
    service: Service, people: People
) -> None:
    check_problem(await change(service, people.alice, {"name": "Mallory"}), 403)
    check_problem(await change(service, people.staff, {"name": "Mallory"}), 403)
    check_problem(await change(service, None, {"name": "Mallory"}), 401)
    names = {item["user_name"] for item in (await service.get("/admin/chats", people.staff)).json}
    assert "Mallory" not in names


async def test_what_is_no_email_is_refused(service: Service, people: People) -> None:
    refused: list[dict[str, Any]] = [
        {"email": "nobody"},
        {"email": "a@x.org, b@y.org"},
        {"email": "a@x.org\r\nBcc: b@y.org"},
        {"email": "a@b@c"},
        {"email": "x" * 250 + "@example.com"},
        {"email": 1},
        {"name": "x" * 256},
        {"name": "a\0b"},
        {"name": []},
        {"user_id": "x"},
        {"kind": "staff"},
    ]
    for body in refused:
        for answer in (
            await service.post("/visitors", None, body),
            await change(service, people.visitor, body),
        ):
            assert check_problem(answer, 422)["errors"], body


def test_where_visitors_are_off_there_are_none(
    io_loop: IOLoop, make_service: ServiceFactory
) -> None:
    """Switching them off refuses the tokens that were given out before, too."""
    open_to_all, closed = make_service(), make_service(visitors=False)

    async def knock() -> None:
        token = await open_to_all.visitor_token()
        check_problem(await closed.post("/visitors", None, {"name": "Vera"}), 403)
        check_problem(await closed.get("/support_chat", token), 403)
        check_problem(await change(closed, token, {"name": "Vera"}), 403)
        assert (await closed.get("/support_chat", closed.user_token())).status == 200

    io_loop.run_sync(knock)
