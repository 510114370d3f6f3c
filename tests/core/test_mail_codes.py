"""Codes of mails: what they are made of, how they may be typed, and what is stored of them."""

import re
from hashlib import sha256

import pytest

from app.core.security.keys import Keyring
from app.core.security.mail_codes import ALPHABET, MailCodes, keyed, letters_of, make_code

OLD, NEW = b"the older secret of this server!", b"the newer secret of this server!"
CODE = "WDJB-MJHT"


def test_a_code_is_two_groups_of_letters_that_are_told_apart() -> None:
    codes = {make_code() for _ in range(1000)}
    assert all(re.fullmatch(rf"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", code) for code in codes)
    assert len(codes) == 1000
    assert set("".join(codes)) == {*ALPHABET, "-"}


@pytest.mark.parametrize(
    "typed", ["wdjb-mjht", "WDJBMJHT", " Wdjb mjht\n", "WDJB\u2013MJHT", "WDJB\u00a0\u2011\u00a0MJHT"]
)
def test_a_code_may_be_typed_in_any_letter_case_and_with_any_hyphen_or_none(typed: str) -> None:
    assert letters_of(typed) == letters_of(CODE) == "WDJBMJHT"


def test_a_digest_fits_one_code_of_one_purpose_and_user() -> None:
    codes = MailCodes(Keyring.of_secrets(NEW))
    digest = codes.digest(CODE, "verify_email", 7)
    assert codes.fits(digest, "wdjbmjht", "verify_email", 7)
    assert not codes.fits(digest, "WDJB-MJHV", "verify_email", 7)
    assert not codes.fits(digest, CODE, "reset_password", 7)
    assert not codes.fits(digest, CODE, "verify_email", 8)
    assert not codes.fits(None, CODE, "verify_email", 7)


def test_a_digest_cannot_be_made_without_the_servers_key() -> None:
    digest = MailCodes(Keyring.of_secrets(NEW)).digest(CODE, "verify_email", 7)
    assert digest != MailCodes(Keyring.of_secrets(OLD)).digest(CODE, "verify_email", 7)
    assert digest != keyed(b"", CODE, "verify_email", 7)
    assert digest != keyed(NEW, CODE, "verify_email", 7), "the key is one for this purpose"
    assert digest not in {sha256(text.encode()).hexdigest() for text in (CODE, "WDJBMJHT", "verify_email\n7\nWDJBMJHT")}


def test_a_code_outlives_a_change_of_keys() -> None:
    digest = MailCodes(Keyring.of_secrets(OLD)).digest(CODE, "verify_email", 7)
    assert MailCodes(Keyring.of_secrets(NEW, OLD)).fits(digest, CODE, "verify_email", 7)
    assert not MailCodes(Keyring.of_secrets(NEW)).fits(digest, CODE, "verify_email", 7)
