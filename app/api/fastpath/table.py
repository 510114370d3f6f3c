"""The routes of an application by the shapes of their paths, so that it does not matter how many there are."""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Self

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import Scope

from app.api.fastpath._fastapi import get_route_path
from app.api.fastpath.entries import Entry, Operation, entries_of

type Found = tuple[Operation, Mapping[str, Any]]
# The entries of a method in the order of their registration, below the segments that their paths have in common.
type Entries = dict[Any, dict[str, list[Entry]]]


class Table:
    """`/items/{id}/stock` has the shape (3 segments, the first and the third are given).

    There are few shapes. For each one that a path may have, one look into a dictionary finds those that fit; their
    regular expressions have the last word. The routes with nothing but given segments are looked up beforehand.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.routes = [*routes]
        # By their number of segments: what picks the given ones of a path, and the entries below them.
        self.shapes: dict[int, dict[tuple[int, ...], tuple[Callable[[list[str]], Any], Entries]]] = {}
        self.exact: dict[tuple[str, str], Found | None] = {}

    @classmethod
    def of(cls, app: FastAPI) -> Self:
        table, entries = cls(app.routes), list(entries_of(app))
        catch_alls = [entry for entry in entries if entry.is_catch_all]
        for entry in entries:
            if not entry.is_catch_all:
                entry.shadows = [other.regex for other in catch_alls if other.may_shadow(entry)]
                table.add(entry)
        for entry in entries:
            if not entry.param_convertors:
                table.exact |= {(method, entry.path): table.search(method, entry.path) for method in entry.methods}
        return table

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
        if not path.isprintable():  # a line break at the end, for one, which `$` in a regular expression overlooks
            return None
        first = self.first(method, path)
        if first is None:
            return None
        entry, match = first
        if entry.operation is None or any(other.match(path) for other in entry.shadows):
            return None
        convertors = entry.param_convertors
        return entry.operation, {name: convertors[name].convert(value) for name, value in match.groupdict().items()}

    def first(self, method: str, path: str) -> tuple[Entry, re.Match[str]] | None:
        """Of those that fit, in all the shapes that the path may have, the one that was registered first."""
        segments = path.split("/")
        best: tuple[Entry, re.Match[str]] | None = None
        for key_of, table in self.shapes.get(len(segments), {}).values():
            for entry in table.get(key_of(segments), {}).get(method, ()):
                if (best is None or entry.order < best[0].order) and (match := entry.regex.match(path)):
                    best = entry, match
                    break
        return best
