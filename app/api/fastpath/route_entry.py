"""What FastAPI knows about a route, read from its internals: no other module here depends on them.

`tests/api/test_dispatch.py` fails if they change.
"""

import re
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import (
    APIRoute,
    APIRouter,
    APIWebSocketRoute,
    _effective_route_context_var,
    _EffectiveRouteContext,
    _IncludedRouter,
)
from starlette.convertors import Convertor, FloatConvertor, IntegerConvertor, StringConvertor, UUIDConvertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Scope

type Handler = Callable[[Request], Coroutine[Any, Any, Response]]

# Those that match no slash.
OF_ONE_SEGMENT = {StringConvertor, IntegerConvertor, FloatConvertor, UUIDConvertor}


@dataclass(slots=True)
class Destination:
    """A route as it was included: with the prefix and the dependencies of the routers around it."""

    app: ASGIApp
    endpoint: Any
    route: APIRoute
    context: _EffectiveRouteContext | None
    included_router: _IncludedRouter | None
    # A shorter way to the same answer, if the route knows one.
    handler: Handler | None

    def enter(self, scope: Scope) -> None:
        scope["endpoint"] = self.endpoint
        scope["route"] = self.route
        known = {"included_router": self.included_router, "effective_route_context": self.context}
        scope["fastapi"] = {} if self.context is None else known


@dataclass(slots=True)
class RouteEntry:
    """A path that some route takes. Without a destination: FastAPI's own walk leads there."""

    order: int
    path: str
    regex: re.Pattern[str]
    param_convertors: dict[str, Convertor[Any]]
    methods: Iterable[str]
    destination: Destination | None
    rivals: list[re.Pattern[str]] = field(default_factory=list)

    @property
    def is_wide(self) -> bool:
        """Takes paths of any number of segments, or any method."""
        return not self.methods or any(type(each) not in OF_ONE_SEGMENT for each in self.param_convertors.values())

    def is_rival_of(self, other: "RouteEntry") -> bool:
        """Comes first, and may take the same path."""
        mine, others = self.path.partition("{")[0], other.path.partition("{")[0]
        return self.order < other.order and (mine.startswith(others) or others.startswith(mine))


def entries_of(router: APIRouter) -> Iterator[RouteEntry]:
    """In the order in which FastAPI asks them, up to the first one of which nobody knows what it takes."""
    if router.form_limits or router.middleware_stack != router.app or type(router).app is not APIRouter.app:
        return
    for order, (route, context, included_router) in enumerate(flattened(router.routes, None)):
        if is_for_websockets(context.original_route if context else route):
            continue
        entry = entry_of(order, route, context, included_router)
        if entry is None:
            return
        yield entry


type Flat = tuple[Any, _EffectiveRouteContext | None, _IncludedRouter | None]


def flattened(routes: Iterable[Any], included_router: _IncludedRouter | None) -> Iterator[Flat]:
    for route in routes:
        if isinstance(route, _IncludedRouter) and is_plain(route):
            yield from flattened(route.effective_candidates(), route)
        elif isinstance(route, _EffectiveRouteContext):
            yield route.starlette_route or route.original_route, route, included_router
        else:
            yield route, None, included_router


def is_plain(included: _IncludedRouter) -> bool:
    kind = type(included.original_router)
    is_ours = kind.matches is APIRouter.matches and kind.handle is APIRouter.handle
    return is_ours and not included.include_context.form_limits


def is_for_websockets(route: Any) -> bool:
    return type(route) in {WebSocketRoute, APIWebSocketRoute}


def entry_of(
    order: int, route: Any, context: _EffectiveRouteContext | None, included_router: _IncludedRouter | None
) -> RouteEntry | None:
    kind = type(route)
    if isinstance(route, APIRoute) and (kind.matches, kind.handle) == (APIRoute.matches, APIRoute.handle):
        of: Any = context or route
        destination = Destination(of.app, of.endpoint, route, context, included_router, direct_handler(of))
        return RouteEntry(order, of.path_format, of.path_regex, of.param_convertors, of.methods, destination)
    if kind in {Route, Mount}:
        methods = getattr(route, "methods", None) or ()
        return RouteEntry(order, route.path_format, route.path_regex, route.param_convertors, methods, None)
    return None


def effective_route(route: APIRoute) -> Any:
    """What FastAPI is making a handler for: the route itself, or the route as it is included somewhere."""
    context = _effective_route_context_var.get()
    return context if context is not None and context.original_route is route else route


def has_plain_answer(route: Any) -> bool:
    """Takes JSON or nothing, and answers with its model, all of it, as JSON."""
    alters = (
        route.response_model_include,
        route.response_model_exclude,
        route.response_model_exclude_unset,
        route.response_model_exclude_defaults,
        route.response_model_exclude_none,
        route.stream_item_field,
    )
    is_default = isinstance(route.response_class, DefaultPlaceholder)
    is_usual = route.response_model_by_alias and bool(route.strict_content_type)
    return is_default and is_usual and not any(alters)


def set_direct_handler(route: Any, handler: Handler) -> None:
    route.strata_handler = handler


def direct_handler(route: Any) -> Handler | None:
    return getattr(route, "strata_handler", None)


def version_of(router: APIRouter) -> int:
    """Changes with each route that is added to the router or to any that it includes; asks all of them."""
    return router._get_routes_version()  # noqa: SLF001 - FastAPI has no public name for it


def own_version_of(router: APIRouter) -> int:
    return router._routes_version  # noqa: SLF001 - as above
