"""Serves the operations in its table, with the same responses as FastAPI, which serves everything else."""

from typing import Any

import structlog
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.body import DirectRequest
from app.api.fastpath._fastapi import TELEMETRY
from app.api.fastpath.endpoint import Endpoint
from app.api.fastpath.status import count_operations, why_off
from app.api.fastpath.table import Table
from app.api.request_state import state_of

log = structlog.get_logger()


class FastPath:
    """The innermost middleware: it wraps all of FastAPI."""

    def __init__(self, app: ASGIApp, *, mode: str = "auto") -> None:
        self.app = app
        self.off = why_off(mode)
        # Built with the first request or the lifespan: routes are added after the middleware.
        self.table = Table([])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            endpoint = self.find(scope) if self.off is None else None
            if endpoint is not None:
                await answer(endpoint, DirectRequest(scope, receive, send), send)
                return
        elif scope["type"] == "lifespan":
            self.report(scope["app"])
        await self.app(scope, receive, send)

    def report(self, app: FastAPI) -> None:
        if self.off is not None:
            (log.info if self.off.startswith("FAST_PATH") else log.warning)("fast path off", reason=self.off)
            return
        self.renew_table(app)
        answered, total = count_operations(app, self.table)
        log.info("fast path on", operations=answered, of=total)

    def renew_table(self, app: FastAPI) -> None:
        if self.table.routes != app.routes:
            self.table = Table.of(app)

    def find(self, scope: Scope) -> Endpoint | None:
        """Fill in the scope as FastAPI does when it has found the route; None if it has to look itself."""
        app = scope["app"]
        self.renew_table(app)
        found = self.table.find(scope)
        # A scope that is FastAPI's already comes from an application around this one.
        if found is None or "fastapi" in scope:
            return None
        endpoint, path_params = found
        # Routes may also be added to a router that was included long ago, and dependencies be replaced at any time.
        if app.dependency_overrides and not endpoint.plan.calls.isdisjoint(app.dependency_overrides):
            return None
        scope.setdefault("router", app.router)
        scope["path_params"] = {**scope.get("path_params", {}), **path_params}
        scope["endpoint"], scope["route"] = endpoint.route.endpoint, endpoint.route
        if scope.get(TELEMETRY) is not None:
            tell_route(scope, endpoint.path)
        return endpoint


def tell_route(scope: Scope, path: str) -> None:
    """What FastAPI tells OpenTelemetry where it chooses a route itself."""
    from opentelemetry.trace import get_current_span  # noqa: PLC0415 - where there is somebody to be told

    span = get_current_span()
    span.set_attribute("http.route", path)
    span.update_name(f"{state_of(scope).method} {path}")
    if hasattr(scope[TELEMETRY], "route"):  # of FastAPI's metrics
        scope[TELEMETRY].route = path


async def answer(endpoint: Endpoint, request: Request, send: Send) -> None:
    """As `request_response` and `wrap_app_handling_exceptions` do, for what needs no more than that."""
    try:
        response = await endpoint.route.run(endpoint, request)
    except Exception as error:  # noqa: BLE001 - raised again if nobody has an answer to it
        response = await response_to(error, request)
        # An error that is raised again would keep the frames of all requests that it has ended.
        error.__traceback__ = None
    await response(request.scope, request.receive, send)


async def response_to(error: Exception, request: Request) -> Response:
    # Those for 500 and `Exception` belong to Starlette's outermost middleware.
    handlers: dict[Any, Any] = {**request.app.exception_handlers, 500: None, Exception: None}
    # The framework's own errors have a status.
    kinds = (getattr(error, "status_code", 0), *type(error).__mro__)
    handle = next((handlers[kind] for kind in kinds if handlers.get(kind)), None)
    if handle is None:
        raise error
    response: Response = await handle(request, error)
    return response
