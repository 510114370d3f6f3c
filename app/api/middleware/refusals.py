"""Prebuilt error responses for the outermost middleware, cheaper than an ordinary response."""

import json
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import MEDIA_TYPE, problem
from app.api.middleware.headers import NO_STORE, VARY_ORIGIN, Pairs, ResponseHeaders, request_id_of

type WithCORS = Callable[[ASGIApp], ASGIApp]


class Refusal:
    """One problem+json response, serialized in advance except for the request ID; sent with CORS headers."""

    def __init__(
        self, status: int, code: str, detail: str, more: Pairs, *, headers: ResponseHeaders, with_cors: WithCORS
    ) -> None:
        """`more` are additional headers of this response."""
        self.status = status
        self.body = bytes(problem("\0", status, code, detail).body).split(json.dumps("\0").encode())
        self.headers = ((b"content-type", MEDIA_TYPE.encode()), *headers.guards, NO_STORE, *more)
        self.for_scripts = with_cors(self.respond)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_origin = b"origin" in dict(scope["headers"])
        await (self.for_scripts if has_origin else self.respond)(scope, receive, send)

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        request_headers = dict(reversed(scope["headers"]))
        request_id = request_id_of(request_headers)
        body = (b'"%b"' % request_id).join(self.body)
        headers = [*self.headers, (b"x-request-id", request_id), (b"content-length", b"%d" % len(body))]
        if b"origin" not in request_headers:
            headers.append(VARY_ORIGIN)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
