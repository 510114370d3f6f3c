"""The application's routes, in the order in which FastAPI asks them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIRouter, APIWebSocketRoute, RouteContext, iter_route_contexts
from starlette.convertors import Convertor, FloatConvertor, IntegerConvertor, StringConvertor, UUIDConvertor
from starlette.routing import Mount, Route, WebSocketRoute

from app.api.fastpath._fastapi import is_usual_router
from app.api.fastpath.endpoint import Endpoint
from app.api.routing import Route as OurRoute

# Those that match no slash.
OF_ONE_SEGMENT = {StringConvertor, IntegerConvertor, FloatConvertor, UUIDConvertor}


@dataclass(frozen=True, slots=True)
class Operation:
    """A route as it is included: with the prefix and the dependencies of the routers around it."""

    route: OurRoute
    path: str
    endpoint: Endpoint


@dataclass(slots=True)
class Entry:
    """A path that some route takes. Without an operation: FastAPI answers."""

    order: int
    path: str
    regex: re.Pattern[str]
    param_convertors: dict[str, Convertor[Any]]
    methods: Iterable[str]
    operation: Operation | None
    # Those that come first and may take the same path.
    shadows: list[re.Pattern[str]] = field(default_factory=list)

    @property
    def is_catch_all(self) -> bool:
        """Takes paths of any number of segments, or any method."""
        return not self.methods or any(type(each) not in OF_ONE_SEGMENT for each in self.param_convertors.values())

    def may_shadow(self, other: "Entry") -> bool:
        """Comes first, and may take the same path."""
        mine, others = self.path.partition("{")[0], other.path.partition("{")[0]
        return self.order < other.order and (mine.startswith(others) or others.startswith(mine))


def entries_of(app: FastAPI) -> Iterator[Entry]:
    """Up to the first route of which nobody knows what it takes."""
    if type(app.router).app is not APIRouter.app:
        return
    order = 0
    for included in app.routes:
        if not is_usual_router(included):
            return
        for context in iter_route_contexts([included]):
            if type(context.original_route) in {WebSocketRoute, APIWebSocketRoute}:
                continue
            if not has_usual_paths(context.original_route):
                return
            yield entry_of(order, context)
            order += 1


def has_usual_paths(route: Any) -> bool:
    kind = type(route)
    if isinstance(route, APIRoute):
        return bool((kind.matches, kind.handle) == (APIRoute.matches, APIRoute.handle))
    return kind in {Route, Mount}


def entry_of(order: int, context: RouteContext) -> Entry:
    path = str(context.path_format)
    return Entry(
        order, path, context.path_regex, context.param_convertors, context.methods or (), operation_of(context)
    )


def operation_of(context: RouteContext) -> Operation | None:
    route = context.original_route
    endpoint = Endpoint.of(context) if isinstance(route, OurRoute) else None
    if endpoint is None:
        return None
    assert isinstance(route, OurRoute)
    return Operation(route, str(context.path_format), endpoint)
