"""The handler of last resort for exceptions."""

import asyncio

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import problem
from app.api.request_state import state_of

log = structlog.get_logger("strata.access")

STOPPING = "The server stops, and has not finished this request; ask again shortly whether it was done."
RETRY = {"Retry-After": "1"}


class UnhandledErrors:
    """Logs an unhandled exception once and responds with a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            return  # the client is gone
        except Exception:
            log.exception("unhandled error")
            if state_of(scope).is_started:
                raise  # the server must close the connection: the response has begun
            text = "Something went wrong on our side; the request id finds it in the log."
            await problem(state_of(scope).id, 500, "internal_error", text)(scope, receive, send)
        except asyncio.CancelledError:
            # The server shuts down and waits no longer.
            if not state_of(scope).is_started:
                await problem(state_of(scope).id, 503, "shutting_down", STOPPING, RETRY)(scope, receive, send)
            raise
