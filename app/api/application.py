"""FastAPI's application, with our way from its middleware to a route."""

from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.dispatch import Dispatch
from app.api.openapi import OpenAPIApp


class Application(OpenAPIApp):
    """Without Starlette's `ServerErrorMiddleware`: `LastResort` answers what nobody caught."""

    has_nothing_around = False

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
