"""A service with options of the test's own: `@with_options(visitors=False)`."""

from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.support.service import Service


def with_options(**changes: Any) -> pytest.MarkDecorator:
    """The fields of Config with which the fixture `configured` starts."""
    return pytest.mark.parametrize("configured", [changes], indirect=True, ids=[""])


@pytest.fixture
def configured(request: pytest.FixtureRequest, make_service: ServiceFactory) -> Service:
    service = make_service(**request.param)
    stop_clocks(service)
    return service


def stop_clocks(service: Service) -> None:
    """No time passes for the rate limits, however slow the machine is."""
    identity = service.app.identity
    for limiter in (
        *service.app.web.settings["services"].limits,
        identity._tries_of_address,
        identity._tries_at_account,
    ):
        limiter._now = lambda: 1000.0
