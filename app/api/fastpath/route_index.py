"""The routes of an application by the shapes of their paths, so that it does not matter how many there are."""

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Self

from fastapi.routing import APIRouter
from starlette._utils import get_route_path
from starlette.types import Scope

from app.api.fastpath.route_entry import Destination, RouteEntry, entries_of, own_version_of, version_of

type Found = tuple[Destination, Mapping[str, Any]]
# The entries of a method in the order of their registration, below the segments that their paths have in common.
type Table = dict[Any, dict[str, list[RouteEntry]]]


class RouteIndex:
    """`/items/{id}/stock` has the shape (3 segments, the first and the third are given).

    There are few shapes. For each one that a path may have, one look into a dictionary finds those that fit; their
    regular expressions have the last word. The routes with nothing but given segments are looked up beforehand.
    """

    def __init__(self) -> None:
        self.version = -1
        self.own_version = -1
        self.size = -1
        # By their number of segments: what picks the given ones of a path, and the entries below them.
        self.shapes: dict[int, dict[tuple[int, ...], tuple[Callable[[list[str]], Any], Table]]] = {}
        self.exact: dict[tuple[str, str], Found | None] = {}

    @classmethod
    def of(cls, router: APIRouter) -> Self:
        index = cls()
        index.version, index.own_version = version_of(router), own_version_of(router)
        index.size = len(router.routes)
        entries = list(entries_of(router))
        wide = [entry for entry in entries if entry.is_wide]
        for entry in entries:
            if not entry.is_wide:
                entry.rivals = [rival.regex for rival in wide if rival.is_rival_of(entry)]
                index.add(entry)
        for entry in entries:
            if not entry.param_convertors:
                index.exact |= {(method, entry.path): index.search(method, entry.path) for method in entry.methods}
        return index

    def add(self, entry: RouteEntry) -> None:
        segments = entry.path.split("/")
        given = tuple(place for place, segment in enumerate(segments) if "{" not in segment)
        key_of, table = self.shapes.setdefault(len(segments), {}).setdefault(given, (itemgetter(*given), {}))
        by_method = table.setdefault(key_of(segments), {})
        for method in entry.methods:
            by_method.setdefault(method, []).append(entry)

    def seems_current(self, router: APIRouter) -> bool:
        """Sees what was added to the application itself, at a cost that does not grow."""
        return self.size == len(router.routes) and self.own_version == own_version_of(router)

    def is_current(self, router: APIRouter) -> bool:
        return self.version == version_of(router)

    def find(self, scope: Scope) -> Found | None:
        path = get_route_path(scope) if scope.get("root_path") else scope["path"]
        key = (scope["method"], path)
        return self.exact[key] if key in self.exact else self.search(*key)

    def search(self, method: str, path: str) -> Found | None:
        if not path.isprintable():  # a line break at the end, for one, which `$` in a regular expression overlooks
            return None
        first = self.first(method, path)
        if first is None:
            return None
        entry, match = first
        if entry.destination is None or (entry.rivals and any(rival.match(path) for rival in entry.rivals)):
            return None
        convertors = entry.param_convertors
        return entry.destination, {name: convertors[name].convert(value) for name, value in match.groupdict().items()}

    def first(self, method: str, path: str) -> tuple[RouteEntry, re.Match[str]] | None:
        """Of those that fit, in all the shapes that the path may have, the one that was registered first."""
        segments = path.split("/")
        best: tuple[RouteEntry, re.Match[str]] | None = None
        for key_of, table in self.shapes.get(len(segments), {}).values():
            for entry in table.get(key_of(segments), {}).get(method, ()):
                if (best is None or entry.order < best[0].order) and (match := entry.regex.match(path)):
                    best = entry, match
                    break
        return best
