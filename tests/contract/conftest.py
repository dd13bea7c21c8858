"""Who takes part in the tests of the contract."""

from typing import NamedTuple

import pytest
from tornado.ioloop import IOLoop

from tests.support.service import Service


class People(NamedTuple):
    """Two users of a host application, a visitor, a staff member: their tokens, and the chats of the two users."""

    alice: str
    bob: str
    visitor: str
    staff: str
    chat_id: str
    bobs_chat_id: str


@pytest.fixture
def people(io_loop: IOLoop, service: Service) -> People:
    async def meet() -> People:
        alice, bob = service.user_token("alice", name="Alice"), service.user_token("bob")
        visitor, staff = await service.visitor_token(), await service.staff_token()
        return People(
            alice, bob, visitor, staff, await service.chat_id(alice), await service.chat_id(bob)
        )

    people: People = io_loop.run_sync(meet)
    return people
