"""What counts as an e-mail address."""

import pytest

from chatsvc.text.email_address import is_email


@pytest.mark.parametrize(
    "text", ["eva@example.com", "e.v+a@sub.example.co", "eva@straße.example", "a@1und1.de"]
)
def test_an_address_has_a_domain(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize("text", ["a@127.0.0.1", "a@10.2.3.4", "a@example.123", "a@[127.0.0.1]"])
def test_an_ip_address_is_no_domain(text: str) -> None:
    """`a@127.0.0.1` counted as an address, and an e-mail to it was tried."""
    assert not is_email(text)
