"""FastAPI's application, with our way from its middleware to a route."""

from collections.abc import Iterator
from typing import Any

from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.fastpath.dispatch import Dispatch
from app.api.openapi import OpenAPIApp

OAUTH_URLS = {"authorizationUrl", "refreshUrl", "tokenUrl"}


class Application(OpenAPIApp):
    """Without Starlette's `ServerErrorMiddleware`: `UnhandledErrors` answers what nobody caught."""

    has_nothing_around = False

    def __init__(self, *, public_root: str = "", **options: Any) -> None:
        """`public_root` is what clients see before our paths: `ROOT_PATH`."""
        super().__init__(servers=[{"url": public_root}] if public_root else None, **options)
        self.public_root = public_root

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        if self.public_root:
            # Clients resolve these without `servers`. FastAPI keeps the document: they may have the prefix already.
            for flow in oauth_flows(document):
                for name in OAUTH_URLS & flow.keys():
                    flow[name] = self.public_root + flow[name].removeprefix(self.public_root)
        return document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.has_nothing_around and scope["type"] == "http" and self.middleware_stack is not None:
            scope["app"] = self
            await self.middleware_stack(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        handlers = {kind: handler for kind, handler in self.exception_handlers.items() if kind not in {500, Exception}}
        walk = ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers)
        app: ASGIApp = Dispatch(self.router, walk, handlers)
        for middleware, args, options in reversed(self.user_middleware):
            app = middleware(app, *args, **options)
        # FastAPI would look again with each request whether somebody has configured OpenTelemetry by now.
        self.has_nothing_around = not self.root_path and not self._native_telemetry.enabled()
        return app


def oauth_flows(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for scheme in document["components"].get("securitySchemes", {}).values():
        yield from scheme.get("flows", {}).values()
