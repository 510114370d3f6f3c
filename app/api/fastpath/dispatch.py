"""Leads a request to its route without asking each route in turn, and to the very one that FastAPI would choose."""

import re
from contextlib import AsyncExitStack
from typing import Any

from fastapi.routing import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import framework_problem
from app.api.fastpath.route_entry import Destination, Handler
from app.api.fastpath.route_index import RouteIndex

# Those that end lines included; and halves of characters, which no text has.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await framework_problem(scope["state"]["request_id"], 404, "", {})(scope, receive, send)


class DirectRequest(Request):
    """Starlette's, which reads its body without the generator that it has for streams."""

    async def body(self) -> bytes:
        if self._stream_consumed or hasattr(self, "_body"):
            return await super().body()
        chunks: list[bytes] = []
        while not self._stream_consumed:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            self._stream_consumed = not message.get("more_body", False)
        self._body = b"".join(chunks)
        return self._body


class Dispatch:
    """Stands before FastAPI's router, and leaves to it whatever the index does not know.

    For those it knows it does what FastAPI's walk, `ExceptionMiddleware` and `AsyncExitStackMiddleware` would have
    done: the route's own application already turns exceptions into answers, with the handlers that the scope names.
    """

    def __init__(self, router: APIRouter, walk: ASGIApp, exception_handlers: dict[Any, Any]) -> None:
        self.router = router
        self.walk = walk
        self.index = RouteIndex()
        self.exception_handlers = (
            {kind: handler for kind, handler in exception_handlers.items() if not isinstance(kind, int)},
            {status: handler for status, handler in exception_handlers.items() if isinstance(status, int)},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        destination = self.choose(scope)
        if destination is None:
            # What the index passes on may have any character; FastAPI would take `/info` and a line break for `/info`.
            is_good = scope["type"] != "http" or not CONTROL.search(scope["path"])
            await (self.walk if is_good else not_found)(scope, receive, send)
            return
        scope["starlette.exception_handlers"] = self.exception_handlers
        if destination.handler is not None and not scope["app"].dependency_overrides:
            await self.answer(destination.handler, DirectRequest(scope, receive, send), send)
            return
        async with AsyncExitStack() as stack:
            scope["fastapi_middleware_astack"] = stack
            await destination.app(scope, receive, send)

    async def answer(self, handler: Handler, request: Request, send: Send) -> None:
        """As `request_response` and `wrap_app_handling_exceptions` do, for what needs no more than that."""
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - raised again if nobody has an answer to it
            response = await self.answer_to(error, request)
            # An error that is raised again would keep the frames of all requests that it has ended.
            error.__traceback__ = None
        await response(request.scope, request.receive, send)

    async def answer_to(self, error: Exception, request: Request) -> Response:
        kinds, statuses = self.exception_handlers
        # The framework's own errors have a status.
        handle = statuses.get(getattr(error, "status_code", 0))
        handle = handle or next((kinds[kind] for kind in type(error).__mro__ if kind in kinds), None)
        if handle is None:
            raise error
        answer: Response = await handle(request, error)
        return answer

    def choose(self, scope: Scope) -> Destination | None:
        """Fill in the scope as FastAPI does when it has found the route; None if it has to look itself."""
        # A scope that is FastAPI's already comes from its telemetry, or from an application around this one.
        if scope["type"] != "http" or "fastapi" in scope or "fastapi.telemetry" in scope:
            return None
        if not self.index.seems_current(self.router):
            self.index = RouteIndex.of(self.router)
        found = self.index.find(scope)
        if found is None:
            # Routes may also have been added to a router that was included long ago; the walk knows them.
            if not self.index.is_current(self.router):
                self.index = RouteIndex.of(self.router)
            return None
        destination, path_params = found
        scope.setdefault("router", self.router)
        scope["path_params"] = {**scope.get("path_params", {}), **path_params}
        destination.enter(scope)
        return destination
