"""Load shedding: rejects requests over `MAX_CONCURRENT_REQUESTS`, cheaply."""

import asyncio

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware.headers import ResponseHeaders
from app.api.middleware.refusals import Refusal, WithCORS

log = structlog.get_logger()

NEVER_SHED = {f"{path}{slash}" for path in ("/health", "/ready") for slash in ("", "/")}
# Jitter: clients rejected together should not retry together.
RETRY_AFTER = (b"1", b"2", b"3")
REPORT_SECONDS = 1
DETAIL = "The server has more requests than it can answer; try again shortly."


class LoadShedding:
    """Wraps everything that a request costs; a request counts until its response is sent.

    A preflight is always served: browsers report a rejected one to scripts as a network error.
    """

    def __init__(self, app: ASGIApp, *, limit: int, headers: ResponseHeaders, with_cors: WithCORS) -> None:
        self.app = app
        self.limit = limit
        self.in_flight = 0
        self.refused = 0
        self.refused_before = 0
        self.refusals = [
            Refusal(503, "overloaded", DETAIL, [(b"retry-after", seconds)], headers=headers, with_cors=with_cors)
            for seconds in RETRY_AFTER
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in NEVER_SHED:
            await self.app(scope, receive, send)
        elif self.in_flight >= self.limit and scope["method"] != "OPTIONS":
            self.count()
            await self.refusals[self.refused % len(self.refusals)](scope, receive, send)
        else:
            self.in_flight += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.in_flight -= 1

    def count(self) -> None:
        """Log at most once a second instead of once per rejection."""
        if self.refused == self.refused_before:
            asyncio.get_running_loop().call_later(REPORT_SECONDS, self.report)
        self.refused += 1

    def report(self) -> None:
        log.warning("overloaded: requests were rejected", count=self.refused - self.refused_before, limit=self.limit)
        self.refused_before = self.refused
