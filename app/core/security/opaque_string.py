"""Normalization of passwords, so that equal-looking ones are equal on every keyboard."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

MIN_LENGTH = 8
MAX_LENGTH = 128
# Before normalization: one letter may arrive decomposed, as on Macs.
MAX_TYPED_LENGTH = 1024
CONTROL_CHARACTERS = r"\x00-\x1f\x7f-\x9f"
CONTROL = re.compile(f"[{CONTROL_CHARACTERS}]")


def opaque_string(text: str) -> str:
    """Unicode NFC, with ASCII spaces for all others; case and width are kept.

    Source: RFC 8265 section 4.2.2.
    """
    if text.isascii():
        return text
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in text)
    return unicodedata.normalize("NFC", spaced)


def check_new_password(password: SecretStr) -> SecretStr:
    """The bounds are those of the normalized text. Raises ValueError."""
    text = opaque_string(password.get_secret_value())
    if CONTROL.search(text):
        raise ValueError("must not contain control characters")
    if len(text) < MIN_LENGTH:
        raise ValueError(f"value should have at least {MIN_LENGTH} characters")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"value should have at most {MAX_LENGTH} characters")
    return SecretStr(text)


NewPassword = Annotated[
    SecretStr,
    Field(
        min_length=MIN_LENGTH,
        max_length=MAX_TYPED_LENGTH,
        json_schema_extra={"maxLength": MAX_LENGTH, "pattern": f"^[^{CONTROL_CHARACTERS}]*$"},
        examples=["correct horse battery"],
    ),
    AfterValidator(check_new_password),
]
