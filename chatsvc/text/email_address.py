"""What an e-mail address is, and how its domain is written in ASCII."""

import hashlib
import re

import idna

ADDRESS_MAX_CHARS = 254  # RFC 5321, with the brackets around it
DIGEST_CHARS = 32  # of SHA-256: 128 bits; migrations/0005_email_addresses.py has the same
LABEL_MAX_CHARS = 63  # RFC 1035
# One address, as forms and mail servers accept it: no quoted local parts, comments or lists.
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?=.{1,253}\Z)[^\W_](?:[\w-]*\.)+[\w-]*[^\W_]")


def is_email(text: str) -> bool:
    """Return whether this is exactly one e-mail address with a domain, not an IP address."""
    if len(text) > ADDRESS_MAX_CHARS or not _EMAIL.fullmatch(text) or ".." in text:
        return False
    if text.rpartition(".")[2].isdecimal():
        return False
    try:
        ascii_domain(text.rpartition("@")[2])
    except ValueError:
        return False
    return True


def ascii_domain(domain: str) -> str:
    """Return a domain as mail servers know it, in ASCII, by the rules of IDNA 2008.

    Python's own codec follows the older IDNA 2003, which turns faß.de into fass.de: another
    domain. Raises ValueError for a domain that cannot exist.
    """
    if domain.isascii():
        if not all(
            0 < len(label) <= LABEL_MAX_CHARS for label in domain.removesuffix(".").split(".")
        ):
            raise ValueError(f"a label of a domain has 1 to {LABEL_MAX_CHARS} characters")
        return domain
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except UnicodeError:  # idna.IDNAError is one
        raise ValueError("a domain in this script cannot exist") from None


def address_digest(email: str) -> str:
    """Return what is stored of an address that wants no e-mails, in hexadecimal digits."""
    return hashlib.sha256(email.lower().encode()).hexdigest()[:DIGEST_CHARS]
