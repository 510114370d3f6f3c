"""Rejects requests whose head (request line and header fields) is too large."""

from collections.abc import Awaitable, Mapping
from itertools import chain

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware.headers import ResponseHeaders
from app.api.middleware.refusals import Refusal, WithCORS
from app.api.server_scope import BOUNDED, REFUSED

MAX_FIELDS = 100
# Bytes of the request target and of the names and values of header fields.
MAX_BYTES = 64 * 1024
TOO_LARGE = 431
DETAIL = f"The head of the request has more than {MAX_FIELDS} fields or {MAX_BYTES // 1024} KiB: send fewer or shorter."
MALFORMED = 400
TIMED_OUT = 408
# The only headers that a rejection reads.
KEPT = {b"origin", b"x-request-id"}
REFUSALS = {
    MALFORMED: ("bad_request", "This is no request of HTTP as this server understands it."),
    TIMED_OUT: ("request_timeout", "The request did not arrive in time; send it again."),
    TOO_LARGE: ("headers_too_large", DETAIL),
}


def head_refusals(headers: ResponseHeaders, with_cors: WithCORS) -> dict[int, ASGIApp]:
    """The rejections by status."""
    return {
        status: Refusal(status, code, detail, [], headers=headers, with_cors=with_cors)
        for status, (code, detail) in REFUSALS.items()
    }


class HeadLimit:
    """Outermost; checks what the server's parser let pass."""

    def __init__(self, app: ASGIApp, *, refusals: Mapping[int, ASGIApp]) -> None:
        self.app = app
        self.refusals = refusals

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Not a coroutine: creating one costs more than the check.
        if scope["type"] != "http" or (REFUSED not in scope and has_bounded_head(scope)):
            return self.app(scope, receive, send)
        return self.refuse(scope, receive, send)

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [pair for pair in scope["headers"] if pair[0] in KEPT]
        refusal = self.refusals[scope.get(REFUSED, TOO_LARGE)]
        await refusal({**scope, "headers": headers}, receive, send)


def has_bounded_head(scope: Scope) -> bool:
    headers = scope["headers"]
    if len(headers) > MAX_FIELDS:
        return False
    if BOUNDED in scope:
        return True
    target = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    return target + sum(map(len, chain.from_iterable(headers))) <= MAX_BYTES
