"""The objects of docs/api.md section 2, field by field."""

import re
from itertools import pairwise
from typing import Any
from uuid import UUID

MESSAGE = {"id", "content", "sender_type", "read_at", "created_at", "seq", "client_id"}
CHAT = {"id", "messages", "has_more", "last_seq", "unread_count", "archived"}
LIST_ITEM = {
    "id",
    "user_id",
    "user_email",
    "user_name",
    "last_message_at",
    "last_message_preview",
    "last_message_sender",
    "message_count",
    "unread",
    "archived",
    "user_sub",
}
ADMIN_CHAT = {
    "id",
    "user_id",
    "user_email",
    "user_name",
    "archived",
    "admin_viewed_at",
    "messages",
    "has_more",
    "last_seq",
    "user_sub",
}
PAGE = {"messages", "has_more", "last_seq"}

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


def is_time(text: Any) -> bool:
    """ISO 8601 in UTC with six decimals and Z."""
    return isinstance(text, str) and _TIME.fullmatch(text) is not None


def is_id(text: Any) -> bool:
    return isinstance(text, str) and str(UUID(text)) == text


def check_message(message: dict[str, Any]) -> None:
    assert set(message) == MESSAGE
    assert is_id(message["id"]) and is_time(message["created_at"])
    assert message["read_at"] is None or is_time(message["read_at"])
    assert message["sender_type"] in ("user", "admin")
    assert type(message["seq"]) is int and isinstance(message["content"], str)
    assert message["client_id"] is None or isinstance(message["client_id"], str)


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Messages in order: `seq` without holes, `created_at` rising strictly with it."""
    for message in messages:
        check_message(message)
    seqs = [message["seq"] for message in messages]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True
    times = [message["created_at"] for message in messages]
    assert all(earlier < later for earlier, later in pairwise(times))


def check_chat(chat: dict[str, Any]) -> None:
    assert set(chat) == CHAT
    assert is_id(chat["id"]) and type(chat["has_more"]) is bool and type(chat["archived"]) is bool
    assert type(chat["last_seq"]) is int and type(chat["unread_count"]) is int
    check_messages(chat["messages"])


def check_list_item(item: dict[str, Any]) -> None:
    assert set(item) == LIST_ITEM
    assert is_id(item["id"]) and is_id(item["user_id"])
    assert (
        type(item["unread"]) is bool
        and type(item["archived"]) is bool
        and type(item["message_count"]) is int
    )
    assert item["last_message_at"] is None or is_time(item["last_message_at"])
    assert item["last_message_sender"] in ("user", "admin", None)
    has_message = item["last_message_at"] is not None
    assert has_message == (item["message_count"] > 0) == (item["last_message_preview"] is not None)


def check_admin_chat(chat: dict[str, Any]) -> None:
    assert set(chat) == ADMIN_CHAT
    assert is_id(chat["id"]) and is_id(chat["user_id"]) and type(chat["archived"]) is bool
    assert chat["admin_viewed_at"] is None or is_time(chat["admin_viewed_at"])
    assert type(chat["has_more"]) is bool and type(chat["last_seq"]) is int
    check_messages(chat["messages"])


def check_page(page: dict[str, Any]) -> None:
    assert set(page) == PAGE
    assert type(page["has_more"]) is bool and type(page["last_seq"]) is int
    check_messages(page["messages"])


def check_problem(answer: Any, status: int) -> dict[str, Any]:
    """The answer is problem+json with this status; returns it."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json
    assert {"type", "title", "status", "detail"} <= set(problem) and problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    return problem
