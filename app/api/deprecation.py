"""Deprecated operations: marked in the OpenAPI document and in the headers of every response."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from fastapi.params import Depends
from starlette.datastructures import MutableHeaders
from starlette.types import Scope

# RFC 3986 in ASCII, without characters that could end the header or the link target.
URI = re.compile(r"[!#-;=?-\[\]_a-z~%]+")


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A no-op dependency of a deprecated route, where `Exchange` finds the headers to add."""

    deprecation: str
    sunset: str | None
    links: tuple[tuple[str, str], ...]

    async def __call__(self) -> None: ...

    def announce(self, headers: MutableHeaders, root_path: str) -> None:
        headers["Deprecation"] = self.deprecation
        if self.sunset is not None:
            headers["Sunset"] = self.sunset
        for target, relation in self.links:
            # A path gets the prefix; a target that begins with two slashes names another host.
            is_ours = target.startswith("/") and not target.startswith("//")
            headers.append("Link", f'<{root_path if is_ours else ""}{target}>; rel="{relation}"')


def deprecated(
    deprecated_at: datetime,
    sunset_at: datetime | None = None,
    *,
    successor: str | None = None,
    docs: str | None = None,
    dependencies: Sequence[Depends] = (),
) -> dict[str, Any]:
    """Keyword arguments for a route decorator, or for an `APIRouter`, that deprecate its operations.

    Usage: `@router.get("/old", **deprecated(…))`. RFC 9745 defines `Deprecation`, RFC 8594 `Sunset`. `successor` and
    `docs` are URI references. Pass the route's other `dependencies` here.

    Raises:
        ValueError: for a naive timestamp, a sunset before the deprecation, or an invalid URI.
    """
    check_timestamps(deprecated_at, sunset_at)
    links = {"successor-version": successor, "deprecation": docs}
    retirement = Deprecation(
        f"@{int(deprecated_at.timestamp())}",
        format_datetime(sunset_at.astimezone(UTC), usegmt=True) if sunset_at else None,
        tuple((checked_uri(target), relation) for relation, target in links.items() if target is not None),
    )
    return {"deprecated": True, "dependencies": [Depends(retirement), *dependencies]}


def check_timestamps(deprecated_at: datetime, sunset_at: datetime | None) -> None:
    for timestamp in (deprecated_at, sunset_at):
        if timestamp is not None and timestamp.utcoffset() is None:
            raise ValueError(f"{timestamp} has no time zone")
    if sunset_at is not None and sunset_at < deprecated_at:
        raise ValueError(f"the sunset, {sunset_at}, is before the deprecation, {deprecated_at}")


def checked_uri(target: str) -> str:
    if not URI.fullmatch(target):
        raise ValueError(f"{target!r} is no URI")
    return target


def find_deprecation(scope: Scope) -> Deprecation | None:
    """The deprecation of the matched route, even if its dependencies never ran (a malformed body)."""
    route = scope.get("route")
    if not getattr(route, "deprecated", None):
        return None  # set by `deprecated()`; there are few
    if scope["method"] not in (getattr(route, "methods", None) or ()):
        return None  # a 405 belongs to no operation
    found = (dependency.dependency for dependency in getattr(route, "dependencies", ()))
    return next((each for each in found if isinstance(each, Deprecation)), None)
