"""What a list hands out to continue where it ended."""

from hashlib import sha256
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from app.core.keys import Keyring


class CursorSigner:
    """Makes list cursors opaque and tamper-proof, and ties each to the list it continues."""

    def __init__(self, keyring: Keyring) -> None:
        # In the library's order: the last one signs, all of them verify.
        self.keys = keyring.derive("cursor")[::-1]

    def sign(self, values: list[Any], belongs_to: str) -> str:
        return self.serializer(belongs_to).dumps(values)

    def read(self, cursor: str, belongs_to: str) -> list[Any] | None:
        """The values signed for this very list, or None."""
        try:
            values: list[Any] = self.serializer(belongs_to).loads(cursor)
            signature = cursor.rpartition(".")[2]
            # The last letter has bits that decoding drops: of its spellings only ours is the cursor.
            is_ours = base64_encode(base64_decode(signature)).decode() == signature
        except (BadData, UnicodeError):
            return None
        return values if is_ours else None

    def serializer(self, belongs_to: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            self.keys,
            salt=belongs_to,
            serializer_kwargs={"default": str},  # instants and decimals, which JSON lacks
            signer_kwargs={"digest_method": sha256},
        )
