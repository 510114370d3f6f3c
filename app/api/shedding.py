"""More requests at once than this process should serve are turned away, for much less than what serving them costs."""

import asyncio
import json
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.answer_headers import NO_STORE, VARY_ORIGIN, AnswerHeaders, request_id_of
from app.api.errors import MEDIA_TYPE, problem

log = structlog.get_logger()

NEVER_SHED = {f"{path}{slash}" for path in ("/health", "/ready") for slash in ("", "/")}
# Those who were turned away at the same moment should not come back at the same moment.
RETRY_AFTER = (b"1", b"2", b"3")
REPORT_SECONDS = 1
DETAIL = "The server has more requests than it can answer; try again shortly."


class LoadShedding:
    """Stands outside of everything else. A request holds a place until its answer is sent."""

    def __init__(
        self, app: ASGIApp, *, limit: int, headers: AnswerHeaders, with_cors: Callable[[ASGIApp], ASGIApp]
    ) -> None:
        self.app = app
        self.limit = limit
        self.in_flight = 0
        self.refused = 0
        self.refused_before = 0
        self.body = bytes(problem("\0", 503, "overloaded", DETAIL).body).split(json.dumps("\0").encode())
        self.headers = ((b"content-type", MEDIA_TYPE.encode()), *headers.guards, NO_STORE)
        self.for_scripts = with_cors(self.refuse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in NEVER_SHED:
            await self.app(scope, receive, send)
        elif self.in_flight >= self.limit:
            self.count()
            # Scripts of other origins learn when to come back, too.
            has_origin = b"origin" in dict(scope["headers"])
            await (self.for_scripts if has_origin else self.refuse)(scope, receive, send)
        else:
            self.in_flight += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self.in_flight -= 1

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        given = dict(reversed(scope["headers"]))
        request_id = request_id_of(given)
        body = (b'"%b"' % request_id).join(self.body)
        headers = [
            *self.headers,
            (b"retry-after", RETRY_AFTER[self.refused % len(RETRY_AFTER)]),
            (b"x-request-id", request_id),
            (b"content-length", b"%d" % len(body)),
        ]
        if b"origin" not in given:
            headers.append(VARY_ORIGIN)
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def count(self) -> None:
        """Instead of a line for each: one a second for all of them."""
        if self.refused == self.refused_before:
            asyncio.get_running_loop().call_later(REPORT_SECONDS, self.report)
        self.refused += 1

    def report(self) -> None:
        log.warning("overloaded: requests were refused", count=self.refused - self.refused_before, limit=self.limit)
        self.refused_before = self.refused
