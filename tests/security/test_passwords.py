"""Passwords: one text in all its forms, and a queue with an end."""

import asyncio
import unicodedata

from argon2 import PasswordHasher

from chatsvc.errors import TooManyRequests
from chatsvc.security.passwords import MAX_AT_ONCE, MAX_WAITING, Passwords, hash_password

COMPOSED = unicodedata.normalize("NFC", "Käsekühlschrank")
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


async def test_a_password_fits_in_every_form_in_which_it_can_be_typed() -> None:
    """A password set on one system could not be typed on another, whose keyboard composes "ä"."""
    passwords = Passwords()
    try:
        for stored in (COMPOSED, DECOMPOSED):
            password_hash = hash_password(stored)
            assert await passwords.matches(COMPOSED, password_hash)
            assert await passwords.matches(DECOMPOSED, password_hash)
            assert not await passwords.matches("Kasekuhlschrank", password_hash)
    finally:
        passwords.close()


async def test_a_hash_that_was_made_without_normalization_still_fits_as_typed() -> None:
    passwords = Passwords()
    try:
        assert await passwords.matches(DECOMPOSED, PasswordHasher().hash(DECOMPOSED))
    finally:
        passwords.close()


async def test_a_full_queue_refuses_at_once() -> None:
    """300 logins at once let a correct one wait for 8 s."""
    passwords, places = Passwords(), MAX_AT_ONCE + MAX_WAITING
    try:
        tries = [passwords.matches("wrong password", None) for _ in range(places + 3)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(result) for result in results[places:]] == [TooManyRequests] * 3
        assert results[:places] == [False] * places
        assert await passwords.matches("right", hash_password("right")), "there is room again"
    finally:
        passwords.close()


async def test_known_devices_do_not_stand_behind_others() -> None:
    """A flood of wrong logins filled the one queue, and staff could not log in."""
    passwords, places = Passwords(), MAX_AT_ONCE + MAX_WAITING
    try:
        flood = asyncio.gather(*(passwords.matches("wrong", None) for _ in range(places)))
        await asyncio.sleep(0)
        password_hash = hash_password("right")
        assert await passwords.matches("right", password_hash, is_known=True)
        await flood
    finally:
        passwords.close()
