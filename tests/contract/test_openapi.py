"""/openapi.json says what the service does: requests drawn from it are answered as it says, and never with a 5xx."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from chatsvc.app import ROUTES
from chatsvc.handlers.openapi_document import describe
from chatsvc.security import tokens
from chatsvc.services.cursors import is_canonical_uuid
from tests.support.postgres import Cluster
from tests.support.process import ServerProcess
from tests.support.service import IDENTITY_SECRET, Service

DOCUMENT = json.loads(describe(ROUTES))
schema = schemathesis.openapi.from_dict(DOCUMENT)
schema.config.generation.with_security_parameters = False  # the tests send their own
requests = schema.exclude(
    path_regex="/stream$"
)  # these do not end; tests/contract/test_streams.py has them
EXAMPLES = 8  # for each operation, besides the systematic ones


class Target(NamedTuple):
    server: ServerProcess
    user: str
    staff: str
    chat_id: str


@pytest.fixture(scope="module")
def target(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with one user, one staff member, one chat."""
    for url in cluster.database():
        server = ServerProcess(tmp_path_factory.mktemp("openapi"), url).start()
        user = tokens.sign_identity(
            IDENTITY_SECRET, sub="alice", email="alice@example.com", name="Alice", ttl_s=3600
        )
        server.command(
            "create-admin", "staff@example.com", "--password-stdin", stdin="correct horse battery"
        )
        staff = server.command("staff-token", "staff@example.com").stdout.strip()
        chat = (
            schema["/support_chat"]["GET"]
            .Case()
            .call(server.url, headers={"Authorization": f"Bearer {user}"})
        )
        yield Target(server, user, staff, chat.json()["id"])
        server.close()
        assert "Traceback" not in server.log and "ERROR" not in server.log, server.log[-5000:]


@pytest.mark.slow
@requests.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)
def test_what_is_drawn_from_the_document_is_answered_as_it_says(
    case: schemathesis.Case[Any], target: Target
) -> None:
    token = target.staff if case.operation.path.startswith("/admin") else target.user
    if is_canonical_uuid(str(case.path_parameters.get("chat_id", ""))):
        case.path_parameters["chat_id"] = (
            target.chat_id
        )  # one that exists; what is no id stays as it was drawn
    # What a schema cannot say (one cursor at a time, an opaque one, one e-mail address) is refused although it fits.
    case.call_and_validate(
        base_url=target.server.url,
        headers={"Authorization": f"Bearer {token}"},
        excluded_checks=[schemathesis.checks.positive_data_acceptance],
    )


async def test_it_is_what_the_service_answers(service: Service) -> None:
    answer = await service.get("/openapi.json")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert answer.json == DOCUMENT and answer.json["openapi"].startswith("3.1")


def test_it_has_every_endpoint_of_the_contract() -> None:
    chat = "/admin/chats/{chat_id}"
    expected: dict[str, set[str]] = {
        "/visitors": {"post"},
        "/visitors/me": {"patch"},
        "/support_chat": {"get"},
        "/support_chat/messages": {"get", "post"},
        "/support_chat/mark_read": {"patch"},
        "/support_chat/stream": {"get"},
        "/admin/chats": {"get"},
        chat: {"get"},
        f"{chat}/messages": {"get", "post"},
        f"{chat}/mark_viewed": {"post"},
        f"{chat}/archive": {"post"},
        f"{chat}/unarchive": {"post"},
        f"{chat}/stream": {"get"},
        "/admin/notifications/stream": {"get"},
    }
    assert {path: set(verbs) for path, verbs in DOCUMENT["paths"].items()} == expected


def test_every_answer_and_body_is_described() -> None:
    schemas: dict[str, Any] = DOCUMENT["components"]["schemas"]
    for name in (
        "SupportMessage",
        "SupportChat",
        "SupportChatListItem",
        "AdminSupportChat",
        "Problem",
        "NewMessage",
    ):
        assert schemas[name]["properties"], name
    used = set(json.dumps(DOCUMENT).split('"#/components/schemas/')[1:])
    assert {text.split('"')[0] for text in used} <= schemas.keys()
