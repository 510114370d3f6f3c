"""Request ID, timing, response headers and the access log."""

import logging
import time
from urllib.parse import quote

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware.exchange import Exchange
from app.api.middleware.headers import ResponseHeaders
from app.api.middleware.request_form import PROBES
from app.core.observability.access_log import access_log

# Access log lines are buffered in memory.
MAX_LOGGED_PATH = 1000


class RequestContext:
    """Wraps a request in an `Exchange`, binds its ID to the log context and writes its access log line."""

    def __init__(self, app: ASGIApp, *, headers: ResponseHeaders) -> None:
        self.app = app
        self.headers = headers
        # structlog's own context variable: `bind_contextvars` on each request takes three times as long.
        tokens = structlog.contextvars.bind_contextvars(request_id="")
        self.bound_id = tokens["request_id"].var
        structlog.contextvars.reset_contextvars(**tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self.headers, scope, receive, send)
        token = self.bound_id.set(exchange.state.id)
        try:
            await self.app(exchange.scope, receive, exchange.send)
        finally:
            # The raw path: decoded, it could inject line breaks into the log.
            path = scope.get("raw_path", b"").decode("latin-1") or quote(scope["path"], errors="backslashreplace")
            level = logging.DEBUG if path in PROBES else logging.INFO
            ms = round((time.perf_counter() - exchange.state.began) * 1000, 1)
            access_log.record(
                level,
                exchange.state.method,
                path[:MAX_LOGGED_PATH],
                exchange.status,
                ms,
                exchange.state.id,
            )
            self.bound_id.reset(token)
            exchange.end()
