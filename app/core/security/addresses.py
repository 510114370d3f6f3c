"""Validation of e-mail addresses."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema, validate_email
from pydantic.networks import import_email_validator

from app.core.security.invisible import refuse_invisible, strip_around

MAX_LENGTH = 254  # RFC 5321 section 4.5.3.1.3, without the brackets
SCHEMA = {"type": "string", "format": "email", "maxLength": MAX_LENGTH, "examples": ["alice@example.com"]}

import_email_validator()  # loaded now, not during the first request with an address


def check_address(text: str) -> str:
    """Validate a bare address; its domain is returned in Unicode. Raises ValueError."""
    text = strip_around(text)
    if "<" in text:
        raise ValueError("must be an e-mail address alone, such as alice@example.com")
    return validate_email(refuse_invisible(text))[1]


PlainAddress = Annotated[
    str,
    StringConstraints(max_length=MAX_LENGTH),
    AfterValidator(check_address),
    WithJsonSchema(SCHEMA),
]
