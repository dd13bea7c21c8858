"""A service with options of the test's own: `@with_options(visitors=False)`."""

from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.support.service import Service


def with_options(**changes: Any) -> pytest.MarkDecorator:
    """The fields of Config, and the seams of App, with which the fixture `configured` starts."""
    return pytest.mark.parametrize("configured", [changes], indirect=True, ids=[""])


@pytest.fixture
def configured(request: pytest.FixtureRequest, make_service: ServiceFactory) -> Service:
    return make_service(**request.param)
