"""E-mail addresses: what is one, and which domain it leads to."""

import pytest

from chatsvc.text.email_address import ascii_domain, is_email


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("faß.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),  # ends with a final sigma
        ("Straße.example", "xn--strae-oqa.example"),
        ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("mail.example.com", "mail.example.com"),
        ("under_score.example.com", "under_score.example.com"),
        ("xn--fa-hia.de", "xn--fa-hia.de"),
        ("localhost", "localhost"),
    ],
)
def test_an_address_never_leads_to_another_owners_domain(domain: str, expected: str) -> None:
    """E-mails to eva@faß.de went to fass.de: Python's codec follows IDNA 2003, which loses ß and ς."""
    assert ascii_domain(domain) == expected


@pytest.mark.parametrize(
    "domain",
    [
        "a\u2024b.example",  # one dot leader: mapped to a dot, it would be another domain
        "ü_ü.example",
        "-ü.example",
        "ü" * 64 + ".example",
        "x" * 64 + ".example",
        "אa.example",  # two directions in one label
    ],
)
def test_a_domain_that_cannot_exist_is_refused(domain: str) -> None:
    with pytest.raises(ValueError, match="domain"):
        ascii_domain(domain)


def test_an_address_has_a_domain_that_can_exist() -> None:
    assert is_email("eva@faß.de") and is_email("jörg@bücher.example")
    assert not is_email("eva@-ü.example") and not is_email(f"eva@{'ü' * 64}.example")
    assert not is_email("eva@אa.example")
