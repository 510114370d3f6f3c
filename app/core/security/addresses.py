"""E-mail addresses as accounts have them."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema, validate_email
from pydantic.networks import import_email_validator

from app.core.security.invisible import refuse_invisible, strip_around

MAX_LENGTH = 254  # RFC 5321 section 4.5.3.1.3, without the brackets
SCHEMA = {"type": "string", "format": "email", "maxLength": MAX_LENGTH, "examples": ["alice@example.com"]}

import_email_validator()  # now, and not while the first request that has an address waits


def check_address(text: str) -> str:
    """An address and nothing else, with its domain in Unicode, whichever way it is given. Raises ValueError."""
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
