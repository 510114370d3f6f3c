"""The routes of an application by the shapes of their paths, so that it does not matter how many there are."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Self

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import Scope

from app.api.fastpath._fastapi import get_route_path
from app.api.fastpath.endpoint import Endpoint
from app.api.fastpath.entries import Entry, entries_of

type Found = tuple[Endpoint, Mapping[str, Any]]
# The entries of a method, below the segments that their paths have in common.
type Entries = dict[Any, dict[str, list[Entry]]]


class Table:
    """`/items/{id}/stock` has the shape (3 segments, the first and the third are given).

    There are few shapes. For each one that a path may have, one look into a dictionary finds those that fit; their
    regular expressions have the last word. The routes with nothing but given segments are looked up beforehand.
    """

    def __init__(self, routes: Sequence[BaseRoute], entries: Sequence[Entry] = ()) -> None:
        self.routes = [*routes]
        # By their number of segments: what picks the given ones of a path, and the entries below them.
        self.shapes: dict[int, dict[tuple[int, ...], tuple[Callable[[list[str]], Any], Entries]]] = {}
        self.exact: dict[tuple[str, str], Found | None] = {}
        for entry in entries:
            if not entry.is_catch_all:
                entry.shadows = [each.regex for each in entries if each.may_shadow(entry)]
                self.add(entry)
        for entry in entries:
            if not entry.param_convertors:
                self.exact |= {(method, entry.path): self.search(method, entry.path) for method in entry.methods}

    @classmethod
    def of(cls, app: FastAPI) -> Self:
        return cls(app.routes, entries_of(app))

    def add(self, entry: Entry) -> None:
        segments = entry.path.split("/")
        given = tuple(place for place, segment in enumerate(segments) if "{" not in segment)
        key_of, table = self.shapes.setdefault(len(segments), {}).setdefault(given, (itemgetter(*given), {}))
        by_method = table.setdefault(key_of(segments), {})
        for method in entry.methods:
            by_method.setdefault(method, []).append(entry)

    def find(self, scope: Scope) -> Found | None:
        path = get_route_path(scope) if scope.get("root_path") else scope["path"]
        key = (scope["method"], path)
        return self.exact[key] if key in self.exact else self.search(*key)

    def search(self, method: str, path: str) -> Found | None:
        """Of those that fit, in all the shapes that the path may have, the one that was registered first."""
        if not path.isprintable():  # a line break at the end, for one, which `$` in a regular expression overlooks
            return None
        segments = path.split("/")
        fits = [
            (entry, match)
            for key_of, table in self.shapes.get(len(segments), {}).values()
            for entry in table.get(key_of(segments), {}).get(method, ())
            if (match := entry.regex.match(path))
        ]
        if not fits:
            return None
        entry, match = min(fits, key=lambda fit: fit[0].order)
        if entry.endpoint is None or any(shadow.match(path) for shadow in entry.shadows):
            return None
        convertors = entry.param_convertors
        return entry.endpoint, {name: convertors[name].convert(value) for name, value in match.groupdict().items()}
