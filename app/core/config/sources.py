"""The sources of settings, and trimming of their values."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

# Invisible characters that `str.strip` leaves: the byte order mark and the zero-width space.
UNSEEN = "\ufeff\u200b"
QUOTES = ('"', "'")
# Docker and Kubernetes tell each container of the services beside it: one named `db` makes DB_PORT=tcp://10.0.0.5:5432.
SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://\S+", re.IGNORECASE)


class PlainSettings(BaseSettings):
    """Settings from the process environment and `.env` files, with trimmed values."""

    model_config = SettingsConfigDict(
        extra="ignore", env_ignore_empty=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings names these arguments
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - there are none
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Here and not per field: an empty value counts as not set, so that the next source is used.
        assert isinstance(env_settings, EnvSettingsSource)
        assert isinstance(dotenv_settings, EnvSettingsSource)
        # python-dotenv has removed quotes from files; remaining ones are part of the value.
        env_settings.env_vars = plain_values(without_service_links(env_settings.env_vars), is_quoted=True)
        dotenv_settings.env_vars = plain_values(dotenv_settings.env_vars, is_quoted=False)
        return init_settings, env_settings, dotenv_settings


def without_service_links(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Drop variables that Docker and Kubernetes set for linked services."""
    return {
        name: value
        for name, value in variables.items()
        if not (name.upper().endswith("_PORT") and value and SERVICE_LINK.fullmatch(value.strip()))
    }


def read_text(annotation: object, value: object) -> object:
    """Match a choice case-insensitively. Raises ValueError for invalid text."""
    if not isinstance(value, str):
        return value
    if any(is_unprintable(character) for character in value):
        raise ValueError("must be text in UTF-8 without control characters")
    return next((choice for choice in choices_of(annotation) if choice.lower() == value.lower()), value)


def plain_values(values: Mapping[str, str | None], *, is_quoted: bool) -> dict[str, str | None]:
    plain = {name: plain_value(value, is_quoted=is_quoted) for name, value in values.items() if value is not None}
    return {name: value for name, value in plain.items() if value}


def plain_value(value: str, *, is_quoted: bool) -> str:
    """Trim white space and quotes; `docker run --env-file` and Compose keep quotes that a shell removes."""
    value = trim(value)
    # More quotes inside: a list, or a quoted display name before an address.
    is_whole = len(value) > 1 and value[0] == value[-1] and value.count(value[0]) == len("''")
    return trim(value[1:-1]) if is_quoted and is_whole and value[0] in QUOTES else value


def trim(text: str) -> str:
    return text.strip().strip(UNSEEN).strip()


def is_unprintable(character: str) -> bool:
    """Whether it is a control character other than white space, or a lone surrogate (invalid UTF-8)."""
    return (character < " " and not character.isspace()) or "\ud800" <= character <= "\udfff" or character == "\x7f"


def choices_of(annotation: Any) -> list[str]:
    """The values of a `Literal` anywhere in a type."""
    annotation = getattr(annotation, "__value__", annotation)  # of a `type` statement
    if get_origin(annotation) is Literal:
        return [choice for choice in get_args(annotation) if isinstance(choice, str)]
    return [choice for part in get_args(annotation) for choice in choices_of(part)]
