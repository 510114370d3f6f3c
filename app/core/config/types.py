"""Types shared by several settings."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from app.core.config.home_folder import expand_home
from app.core.config.host_names import read_origin, read_proxy, read_trusted_host
from app.core.config.redis_url import check_prefix
from app.core.config.sources import plain_value

# A secret, or its path, may contain spaces.
BETWEEN_WORDS, BETWEEN_SECRETS = re.compile(r"[\s,]+"), re.compile(",")
SHORT_UNITS = {"s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "hr": "hour", "d": "day"}
# A moving window stores each hit.
MAX_RATE, MAX_WINDOW_SECONDS = 1_000_000, 366 * 24 * 60 * 60


def split_list(between: re.Pattern[str]) -> Callable[[object], object]:
    """Reads `a, b` and `["a", "b"]`, each without blanks and quotes around it."""

    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = (plain_value(part, is_quoted=True) for part in json_list(value) or between.split(value))
        return tuple(part for part in parts if part)

    return split


def json_list(text: str) -> list[str] | None:
    """None if it is not a list of strings; an IPv6 address has brackets too."""
    try:
        parts = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        return parts or [""]
    return None


def each(read: Callable[[str], str]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """Parse the parts of a list without duplicates; `*` must be alone."""

    def read_all(parts: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(map(read, parts)))
        return ("*",) if "*" in found else found

    return read_all


def read_rate(text: str) -> str:
    """As the library `limits` reads them: one or several, separated by `;`. Units may be shortened: `10/min`."""
    text = re.sub(r"[A-Za-z]+", lambda unit: SHORT_UNITS.get(unit[0].lower(), unit[0]), text.rstrip("; "))
    try:
        rates = parse_many(text)
    except ValueError:
        rates = []
    if not rates or not all(0 < rate.amount <= MAX_RATE and rate.get_expiry() <= MAX_WINDOW_SECONDS for rate in rates):
        raise ValueError(f"must be as in 10/minute, 5/hour or 100/day, from 1 to {MAX_RATE}; `;` separates several")
    return text


def check_header_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Tokens of RFC 9110. `*` is one, and would be no wildcard in a response with credentials (Fetch standard)."""
    for name in names:
        if name == "*" or not HEADER_NAME.fullmatch(name):
            raise ValueError("must be names of request headers, separated by commas, without `*`")
    return names


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list(BETWEEN_WORDS))]
SecretList = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(split_list(BETWEEN_SECRETS))]
Origins = Annotated[CommaList, AfterValidator(each(read_origin))]
TrustedHosts = Annotated[CommaList, AfterValidator(each(read_trusted_host))]
Proxies = Annotated[CommaList, AfterValidator(each(read_proxy))]
RedisPrefix = Annotated[str, AfterValidator(check_prefix)]
HeaderNames = Annotated[CommaList, AfterValidator(check_header_names)]
RateLimit = Annotated[str, AfterValidator(read_rate)]
Folder = Annotated[Path, AfterValidator(expand_home)]
