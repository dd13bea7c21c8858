"""The catalogue of errors is the table of docs/api.md section 6, and each reaches the client as problem details."""

import pytest
from tornado.web import HTTPError, MissingArgumentError

from chatsvc import errors
from chatsvc.errors import DomainError, FieldError
from chatsvc.handlers.base import BaseHandler

CATALOGUE = {400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503}


def kinds() -> list[type[DomainError]]:
    found = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, DomainError)
    ]
    return [kind for kind in found if kind is not DomainError]


def test_the_catalogue_holds_every_status_of_the_contract_and_500() -> None:
    assert {kind.status for kind in kinds()} == CATALOGUE | {500}


def test_codes_are_stable_names_and_titles_are_sentences() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(set(codes)) == len(codes) and all(
        code.islower() and " " not in code for code in codes
    )
    assert all(kind.title and kind.title[0].isupper() for kind in kinds())


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_an_error_without_detail_says_its_title(kind: type[DomainError]) -> None:
    error = kind()
    assert error.detail == str(error) == kind.title and error.errors == ()
    assert (error.retry_after_s is not None) == (kind is errors.Unavailable)
    assert kind("what was wrong").detail == "what was wrong"


def test_a_field_error_names_the_field_twice() -> None:
    error = errors.Unprocessable.field("email", "is none")
    assert error.detail == "email: is none" and error.errors == (FieldError("email", "is none"),)


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (errors.Conflict("x"), 409),
        (errors.TokenExpired(), 401),
        (HTTPError(403, "xsrf: secret reason"), 403),
        (HTTPError(404), 404),
        (HTTPError(405), 405),
        (HTTPError(413), 413),
        (HTTPError(418), 400),
        (HTTPError(500, "SELECT 1"), 500),
        (HTTPError(502), 500),
        (MissingArgumentError("name"), 400),
        (ValueError("/etc/passwd"), 500),
        (KeyError("SELECT"), 500),
        (None, 500),
    ],
)
def test_whatever_is_raised_becomes_one_of_the_catalogue(
    raised: BaseException | None, status: int
) -> None:
    error = BaseHandler.as_domain_error(500, raised)
    assert error.status == status
    if not isinstance(raised, DomainError):
        assert not any(text in error.detail for text in ("secret", "SELECT", "/etc", "name"))
