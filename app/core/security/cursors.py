"""Signed list cursors."""

import json
from hashlib import sha256
from typing import Any

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from pydantic_core import to_json

from app.core.security.keys import Keyring


class CursorSigner:
    """Makes list cursors opaque and tamper-proof, and binds each to its list."""

    def __init__(self, keyring: Keyring) -> None:
        # In itsdangerous' order: the last key signs, all verify. The keys are derived for this purpose.
        self.signer = Signer(keyring.derive("cursor")[::-1], key_derivation="none", digest_method=sha256)

    def sign(self, values: list[Any], belongs_to: str) -> str:
        # Timestamps and decimals, which JSON lacks, become strings.
        payload = to_json(values)
        signature = self.signer.get_signature(bound(payload, belongs_to))
        return f"{base64_encode(payload).decode()}.{signature.decode()}"

    def read(self, cursor: str, belongs_to: str) -> list[Any] | None:
        """The values signed for this list, or None."""
        encoded, _, signature = cursor.rpartition(".")
        try:
            payload, digest = base64_decode(encoded), base64_decode(signature)
            # The last base64 characters have unused bits: only the canonical spelling is accepted.
            is_ours = f"{base64_encode(payload).decode()}.{base64_encode(digest).decode()}" == cursor
            if is_ours and self.signer.verify_signature(bound(payload, belongs_to), signature):
                values: list[Any] = json.loads(payload)
                return values
        except (BadData, UnicodeError):
            pass
        return None


def bound(payload: bytes, belongs_to: str) -> bytes:
    return belongs_to.encode() + b"\0" + payload
