"""The path below which a reverse proxy serves the API."""

import re
from typing import Annotated

from pydantic import AfterValidator

# Unreserved characters (RFC 3986 section 2.3): it is copied into headers, cookies and documents unencoded.
SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
# First segments of our own paths: with such a prefix, whether the proxy stripped it would be ambiguous.
OWN = frozenset(
    {
        ".well-known",
        "account",
        "admin",
        "api",
        "demo",
        "docs",
        "health",
        "info",
        "metrics",
        "openapi.json",
        "ready",
        "redoc",
    }
)


def parse_root_path(text: str) -> str:
    """`/shop` of `/shop/`, and an empty text of `/`.

    Raises:
        ValueError: it is no path, or one of the API's own.
    """
    path = text.rstrip("/")
    if path == "":
        return path
    empty, *segments = path.split("/")
    if empty or not all(map(SEGMENT.fullmatch, segments)) or not {".", ".."}.isdisjoint(segments):
        raise ValueError("must be a path like /shop, of letters, digits and `-._~` between slashes")
    if segments[0] in OWN:
        raise ValueError(f"must not begin with /{segments[0]}, which is a path of the API's own; take another prefix")
    return path


RootPath = Annotated[str, AfterValidator(parse_root_path)]
