"""What each action emits in its transaction, without a loop and without a server."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from msgspec import UNSET

from chatsvc.database.connection import Transaction
from chatsvc.errors import Conflict
from chatsvc.events import (
    STAFF_TOPIC,
    AccessEnded,
    Emission,
    MessagePosted,
    NoticeDue,
    Signal,
    UserChanged,
    chat_topic,
)
from chatsvc.security import tokens
from chatsvc.security.passwords import hash_password
from chatsvc.services.account import AccountService, Browser
from chatsvc.services.chats import ChatService, Sender
from chatsvc.services.identity import Caller, IdentityService
from chatsvc.services.notices import NoticeService
from chatsvc.store import people
from chatsvc.wire import NewVisitor, SenderType, VisitorChange
from tests.support.service import IDENTITY_SECRET, PASSWORD, SECRET_KEY

T = TypeVar("T")

EMAIL_DELAY_S = 300.0
STAFF_EMAIL = "staff@example.com"


class OneTransaction:
    """In place of a Database: runs everything at once, in one transaction of this thread."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx

    async def read(self, fn: Callable[..., T], *args: Any) -> T:
        return fn(self.tx, *args)

    async def write(self, fn: Callable[..., T], *args: Any) -> T:
        return fn(self.tx, *args)

    async def read_many(self, fn: Callable[..., Any], row: Any) -> Any:
        return await self.write_many(fn, row)

    async def write_many(self, fn: Callable[..., Any], row: Any) -> Any:
        [result] = fn(self.tx, [row])
        if isinstance(result, BaseException):
            raise result
        return result


class Office:
    """The services, a user with a chat, and a member of staff."""

    def __init__(self, tx: Transaction) -> None:
        self.tx, db = tx, OneTransaction(tx)
        database: Any = db
        self.chats = ChatService(database, email_delay_s=EMAIL_DELAY_S, email_min_interval_s=3600.0)
        self.identity = IdentityService(
            database, secret_key=SECRET_KEY, identity_secrets=(IDENTITY_SECRET,), visitors=True
        )
        self.account = AccountService(database, self.identity, ["en", "de"])
        composer: Any = SimpleNamespace(message_id=str)
        mailer: Any = None
        self.notices = NoticeService(
            database, mailer, composer, email_delay_s=EMAIL_DELAY_S, email_min_interval_s=3600.0
        )
        self.visitor_token, self.user_id = run(self.identity.create_visitor(NewVisitor()))
        self.staff_id = str(uuid4())
        people.save_staff(tx, self.staff_id, STAFF_EMAIL, None, hash_password(PASSWORD))
        self.chat_id = run(self.chats.chat_id_for_user(self.user_id))
        self.token_id = str(uuid4())
        people.create_staff_token(tx, self.token_id, STAFF_EMAIL, "a hash")
        tx.take_emitted()

    @property
    def staff(self) -> Caller:
        return Caller(self.staff_id, "staff", STAFF_EMAIL, None, None, None, None, None)

    @property
    def visitor(self) -> Caller:
        return Caller(self.user_id, "visitor", None, None, None, self.chat_id, None, None)

    def post(self, sender: SenderType, content: str = "hello", client_id: str | None = None) -> int:
        user_id = self.user_id if sender == "user" else self.staff_id
        work = self.chats.post_message(self.chat_id, Sender(user_id, sender), content, client_id)
        return run(work)[0].seq

    def log_in(self) -> str:
        """Return the id of a new session."""
        cookie = asyncio.run(self.identity.login(STAFF_EMAIL, PASSWORD, str(uuid4())))
        return self.access(people.session_access, cookie)

    def access(self, find: Callable[..., people.StaffAccess | None], secret: str) -> str:
        found = find(self.tx, tokens.hash_token(secret))
        assert found is not None
        return found.access_id

    def emitted(self) -> list[tuple[str, str] | Signal]:
        """What was emitted since the last call: signals, and events as topic and type."""
        names = {chat_topic(self.chat_id): "chat", STAFF_TOPIC: "staff"}
        return [
            (names[one.topic], str(type(one.event).__struct_config__.tag))
            if isinstance(one, Emission)
            else one
            for one in self.tx.take_emitted()
        ]


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with closing(Transaction(database_url, application_name="test")) as tx:
        tx.begin()
        yield Office(tx)


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something")


def test_a_new_chat_is_told_to_staff_once(office: Office) -> None:
    _, user_id = run(office.identity.create_visitor(NewVisitor()))
    office.chat_id = run(office.chats.chat_id_for_user(user_id))
    assert office.emitted() == [("staff", "chat_updated")]
    assert run(office.chats.chat_id_for_user(user_id)) == office.chat_id
    assert office.emitted() == []


def test_a_user_message_is_told_to_chat_and_staff(office: Office) -> None:
    """The first one also brings the chat into the staff's list."""
    message = [("chat", "new_message"), ("staff", "new_user_message")]
    office.post("user")
    assert office.emitted() == [*message, ("staff", "chat_updated"), MessagePosted("user")]
    office.post("user")
    [new_message, *_] = office.tx.emitted
    assert isinstance(new_message, Emission) and new_message.seq == 2
    assert office.emitted() == [*message, MessagePosted("user")]


def test_a_staff_message_also_sets_the_alarm_of_its_notice(office: Office) -> None:
    told = [("chat", "new_message"), ("staff", "chat_updated")]
    office.post("admin")
    assert office.emitted() == [*told, NoticeDue(EMAIL_DELAY_S), MessagePosted("admin")]
    office.post("admin")
    assert office.emitted() == [*told, MessagePosted("admin")]


def test_a_message_that_is_repeated_is_published_again_and_nothing_else(office: Office) -> None:
    seq = office.post("user", "hello", "c1")
    office.tx.take_emitted()
    assert office.post("user", "hello", "c1") == seq
    assert office.emitted() == [("chat", "new_message")]
    with pytest.raises(Conflict):
        office.post("user", "something else", "c1")
    assert office.emitted() == []


def test_a_user_message_reopens_an_archived_chat(office: Office) -> None:
    office.post("user")
    run(office.chats.archive(office.chat_id))
    office.tx.take_emitted()
    office.post("user")
    assert office.emitted() == [
        ("chat", "chat_updated"),
        ("chat", "new_message"),
        ("staff", "new_user_message"),
        ("staff", "chat_updated"),
        MessagePosted("user"),
    ]


def test_reading_is_told_to_the_chat_and_to_staff_if_it_cancels_the_notice(office: Office) -> None:
    office.post("admin")
    office.tx.take_emitted()
    run(office.chats.mark_read(office.chat_id, None))
    assert office.emitted() == [("chat", "messages_read"), ("staff", "chat_updated")]
    run(office.chats.mark_read(office.chat_id, None))
    assert office.emitted() == []


def test_an_e_mail_that_staff_send_or_cancel_is_told_to_staff(office: Office) -> None:
    office.post("admin")
    office.tx.take_emitted()
    assert run(office.notices.send_now(office.chat_id))
    assert office.emitted() == [("staff", "chat_updated"), NoticeDue(0)]
    assert run(office.notices.do_not_send(office.chat_id))
    assert office.emitted() == [("staff", "chat_updated")]
    assert not run(office.notices.do_not_send(office.chat_id))
    assert office.emitted() == []


def test_viewing_is_told_to_chat_and_staff_once(office: Office) -> None:
    office.post("user")
    office.tx.take_emitted()
    run(office.chats.mark_viewed(office.chat_id, 1))
    assert office.emitted() == [("chat", "admin_viewed"), ("staff", "chat_updated")]
    run(office.chats.mark_viewed(office.chat_id, 1))
    assert office.emitted() == []


def test_archiving_and_reopening_are_told_to_chat_and_staff_once(office: Office) -> None:
    for act in (office.chats.archive, office.chats.unarchive):
        run(act(office.chat_id))
        assert office.emitted() == [("chat", "chat_updated"), ("staff", "chat_updated")]
        run(act(office.chat_id))
        assert office.emitted() == []


def test_a_changed_visitor_is_told_to_the_cache_and_staff(office: Office) -> None:
    change = VisitorChange(name="Ada", email=UNSET)
    run(office.identity.change_visitor(office.visitor, change))
    assert office.emitted() == [UserChanged(office.user_id), ("staff", "chat_updated")]


def test_a_changed_user_of_a_host_application_is_told_to_the_cache_and_staff(
    office: Office,
) -> None:
    """Before they have a chat there is nothing that staff could see."""

    def identify(name: str) -> str:
        token = tokens.sign_identity(IDENTITY_SECRET, sub="ada", email=None, name=name, ttl_s=60)
        return run(office.identity.authenticate_bearer(token)).user_id

    user_id = identify("Ada")
    assert office.emitted() == [UserChanged(user_id)]
    office.chat_id = run(office.chats.chat_id_for_user(user_id))
    office.tx.take_emitted()
    identify("Ada Lovelace")
    assert office.emitted() == [UserChanged(user_id), ("staff", "chat_updated")]


def test_a_logout_ends_the_session(office: Office) -> None:
    caller = office.staff
    caller.access_id = office.log_in()
    run(office.identity.logout(caller))
    assert office.emitted() == [AccessEnded(caller.access_id)]


def test_a_changed_account_is_told_to_the_cache(office: Office) -> None:
    for work in (
        office.account.set_name(office.staff, "Sam"),
        office.account.set_language(office.staff, "de"),
    ):
        run(work)
        assert office.emitted() == [UserChanged(office.staff_id)]


def test_a_session_or_token_that_ends_is_named_if_it_is_known(office: Office) -> None:
    session_id = office.log_in()
    for end, access_id in (
        (office.account.end_session, session_id),
        (office.account.revoke_token, office.token_id),
    ):
        run(end(office.staff, access_id))
        assert office.emitted() == [AccessEnded(access_id)]
        run(end(office.staff, access_id))
        assert office.emitted() == [AccessEnded(None)]


def test_a_new_password_ends_all_sessions(office: Office) -> None:
    session_ids = {office.log_in(), office.log_in()}
    change = office.account.set_password(
        office.staff, PASSWORD, "another long one", Browser("::1", "", None)
    )
    asyncio.run(change)
    ended = {*session_ids, office.token_id}
    assert set(office.emitted()) == {AccessEnded(access_id) for access_id in ended}
