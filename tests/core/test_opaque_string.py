"""Passwords in one spelling, and hashes that were made before there was one."""

import unicodedata
from functools import partial

import pytest
from passlib.hash import bcrypt
from pydantic import SecretStr

from app.core.security.opaque_string import check_new_password, opaque_string
from app.core.security.passwords import PasswordHasher

NFC = unicodedata.normalize("NFC", "Möhre über Café")
NFD = unicodedata.normalize("NFD", NFC)
hasher = PasswordHasher(threads=1)


@pytest.mark.parametrize(
    ("typed", "spelled"),
    [
        ("plain text ", "plain text "),
        (NFD, NFC),
        ("a\u00a0b\u3000c\u2009d", "a b c d"),
        ("\uff21\ufb01\u00df", "\uff21\ufb01\u00df"),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("\u2126", "\u03a9"),
    ],
)
def test_a_password_is_spelled_as_rfc_8265_says(typed: str, spelled: str) -> None:
    assert opaque_string(typed) == spelled
    assert opaque_string(spelled) == spelled


def test_the_length_is_that_of_the_normalized_text() -> None:
    assert check_new_password(SecretStr("e\u0301" * 128)).get_secret_value() == "é" * 128
    for typed in ("e\u0301" * 7, "e\u0301" * 129):
        with pytest.raises(ValueError, match="characters"):
            check_new_password(SecretStr(typed))


@pytest.mark.parametrize("control", ["\0", "\t", "\r", "\x7f", "\x85"])
def test_a_new_password_has_no_control_characters(control: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        check_new_password(SecretStr(f"correct{control}horse"))


@pytest.mark.parametrize(("stored", "typed"), [(NFC, NFD), (NFD, NFC), (NFC, NFC.replace(" ", "\u00a0"))])
def test_a_password_is_the_same_on_every_keyboard(stored: str, typed: str) -> None:
    assert hasher.verify_now(typed, hasher.hash_now(stored)) == (True, None)


OLD_KINDS = {"argon2": hasher.context.hash, "bcrypt": partial(bcrypt.using(rounds=4).hash)}


@pytest.mark.parametrize("kind", OLD_KINDS)
def test_a_hash_of_the_text_as_it_was_typed_fits_and_is_replaced(kind: str) -> None:
    old = OLD_KINDS[kind](NFD)
    fits, replacement = hasher.verify_now(NFD, old)
    assert fits
    assert replacement is not None
    assert hasher.verify_now(NFC, replacement) == (True, None)
    assert hasher.verify_now(NFC, old) == (False, None)
    assert hasher.verify_now(f"{NFD}x", old) == (False, None)
