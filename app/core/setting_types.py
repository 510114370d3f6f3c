"""Kinds of values that several settings have."""

import re
from typing import Annotated

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode


def split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def check_rate(text: str) -> str:
    """As the library `limits` reads them: one or several, separated by `;`."""
    parse_many(text)
    return text


def check_header_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Tokens of RFC 9110. `*` is one, and would be no wildcard in an answer with credentials (Fetch standard)."""
    for name in names:
        if name == "*" or not HEADER_NAME.fullmatch(name):
            raise ValueError("must be names of request headers, separated by commas, without `*`")
    return names


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]
SecretList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_commas)]
HeaderNames = Annotated[CommaList, AfterValidator(check_header_names)]
RateLimit = Annotated[str, AfterValidator(check_rate)]
