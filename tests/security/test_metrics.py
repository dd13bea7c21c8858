"""/metrics is for this machine and for staff's scripts; and no request makes it grow."""

import pytest

from tests.security.raw import exchange
from tests.security.test_bodies import check_problem
from tests.support.service import Service

PROXIED = (
    "X-Forwarded-For",
    "X-Real-IP",
    "Forwarded",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Via",
    "CF-Connecting-IP",
)


async def test_a_request_that_a_proxy_passed_on_needs_a_staff_token(service: Service) -> None:
    staff = await service.staff_token()
    for name in PROXIED:
        for value in ("127.0.0.1", "::1", "", "for=127.0.0.1"):
            answer = await service.get("/metrics", headers={name: value})
            assert "chatsvc_requests" not in answer.text and check_problem(answer, 403)["detail"], (
                name
            )
            assert (await service.get("/metrics", staff, headers={name: value})).status == 200
    cookies = await service.login()
    assert (
        await service.get("/metrics", cookies=cookies, headers={"X-Forwarded-For": "1.2.3.4"})
    ).status == 403


async def test_a_request_from_another_machine_needs_a_staff_token(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatsvc.web.client_address.LOOPBACK", ())
    staff = await service.staff_token()
    assert (await service.get("/metrics")).status == 403
    assert (await service.get("/metrics", staff)).status == 200
    for token in (service.user_token(), await service.visitor_token()):
        assert (await service.get("/metrics", token)).status == 403
    assert (await service.get("/metrics", "garbage")).status == 401


async def test_labels_are_few_whatever_is_asked_for(service: Service) -> None:
    """A label per path or method would let anybody fill the memory."""

    async def series() -> int:
        return len((await service.get("/metrics")).text.splitlines())

    async def knock(n: int) -> None:
        await service.get(f"/nope/{n}")
        await service.get(f"/admin/chats/{n}", service.user_token(f"user{n}"))
        await service.request(f"METHOD{n}", "/login")
        await service.get("/support_chat", f"token{n}", headers={f"X-{n}": "y"})
        await exchange(
            service.url, f"GET /{n} HTTP/1.1\r\nHost: host{n}\r\nConnection: close\r\n\r\n".encode()
        )

    await knock(0)
    await series()
    before = await series()
    for n in range(1, 12):
        await knock(n)
    assert await series() == before
    text = (await service.get("/metrics")).text
    for secret in ("user1", "token1", "METHOD1", "host1", "nope"):
        assert secret not in text
    assert 'method="other"' in text
