"""Codes of mails, for people who cannot follow a link."""

import hmac
import secrets

from app.core.security.keys import Keyring

# RFC 8628 section 6.1: no vowels, so that no code is a word, and letters that are told apart.
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
GROUP = 4


def make_code() -> str:
    """Two groups, as in WDJB-MJHT."""
    first, second = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(2))
    return f"{first}-{second}"


def letters_of(code: str) -> str:
    """Without the hyphen, blanks, and whatever else a keyboard makes of them."""
    return "".join(letter for letter in code.upper() if letter in ALPHABET)


class MailCodes:
    """Stores codes by a keyed digest: who has read the database could try all of them against a plain hash."""

    def __init__(self, keyring: Keyring) -> None:
        self.keys = keyring.derive("mail-code")

    def digest(self, code: str, purpose: str, user_id: int) -> str:
        return keyed(self.keys[0], code, purpose, user_id)

    def fits(self, digest: str | None, code: str, purpose: str, user_id: int) -> bool:
        """In constant time, and with the keys of before as well."""
        digests = [keyed(key, code, purpose, user_id) for key in self.keys]
        return any(hmac.compare_digest(digest or "", each) for each in digests)


def keyed(key: bytes, code: str, purpose: str, user_id: int) -> str:
    return hmac.digest(key, f"{purpose}\n{user_id}\n{letters_of(code)}".encode(), "sha256").hex()
