"""Kinds of values that several settings have."""

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


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]
SecretList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_commas)]
RateLimit = Annotated[str, AfterValidator(check_rate)]
