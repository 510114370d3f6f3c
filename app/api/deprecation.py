"""Operations that are to go: the document and every answer say since when, until when, and what comes instead."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from fastapi.params import Depends
from starlette.datastructures import MutableHeaders
from starlette.types import Scope

# RFC 3986 in ASCII: nothing that would end the header, or the reference in it.
URI = re.compile(r"[!#-;=?-\[\]_a-z~%]+")


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Stands among a route's dependencies, where `Exchange` finds it; it depends on nothing."""

    deprecation: str
    sunset: str | None
    links: tuple[tuple[str, str], ...]

    async def __call__(self) -> None: ...

    def announce(self, headers: MutableHeaders, root_path: str) -> None:
        headers["Deprecation"] = self.deprecation
        if self.sunset is not None:
            headers["Sunset"] = self.sunset
        for target, relation in self.links:
            # A path is one of ours; what begins with two slashes names another host.
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
    """What the decorator of such an operation takes, or the `APIRouter` of several.

    Written `@router.get("/old", **retiring(…))`. RFC 9745 defines `Deprecation`, RFC 8594 `Sunset`. `successor` and
    `docs` are URI references. Dependencies that the decorator would have taken are given here.

    Raises:
        ValueError: for an instant without a zone, a sunset before the deprecation, or what is no URI.
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
    """Of the route that the router has chosen, also where its dependencies were never asked: a malformed body."""
    route = scope.get("route")
    if not getattr(route, "deprecated", None):
        return None  # as `deprecated` marks them; there are few
    if scope["method"] not in (getattr(route, "methods", None) or ()):
        return None  # a 405 is the answer of no operation
    found = (dependency.dependency for dependency in getattr(route, "dependencies", ()))
    return next((each for each in found if isinstance(each, Deprecation)), None)
