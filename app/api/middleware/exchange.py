"""One request and its response, whose messages all pass through here."""

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from app.api.deprecation import find_deprecation
from app.api.errors import framework_problem
from app.api.middleware.compression import Gzip, is_compressible
from app.api.middleware.content_coding import accepts_gzip
from app.api.middleware.headers import Pairs, ResponseHeaders, request_id_of, vary
from app.api.middleware.root_path import root_path_of
from app.api.request_state import KEY, RequestState


class Exchange:
    """Turns plain-text refusals into problems, compresses, and completes the headers, in this order.

    `send` inspects `http.response.start`; if that sets `forward`, the messages go there.
    """

    __slots__ = (
        "forward",
        "receive",
        "refusal",
        "request_id",
        "response_headers",
        "scope",
        "state",
        "status",
        "transmit",
    )

    def __init__(self, response_headers: ResponseHeaders, scope: Scope, receive: Receive, send: Send) -> None:
        self.response_headers = response_headers
        request_headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self.request_id = request_id_of(request_headers)
        self.state = RequestState(self.request_id.decode(), scope["method"], request_headers)
        self.receive = receive
        self.transmit = send
        self.forward: Send | None = None
        self.status = 499  # nginx's status for a client that disconnected before the response
        self.refusal: tuple[Message, list[bytes]] | None = None
        self.scope = self.inner(scope)

    def inner(self, scope: Scope) -> Scope:
        """The scope for the router: `/x/` becomes `/x` (a redirect would drop the bearer token), HEAD becomes GET."""
        path: str = scope["path"]
        has_slash = path[-1:] == "/" and path != "/"
        method = self.state.method
        if has_slash or method == "HEAD":
            # A copy, since the server reads its own scope again: it omits the body of a response to HEAD.
            scope = {**scope, "path": path[:-1] if has_slash else path, "method": method.replace("HEAD", "GET")}
        scope[KEY] = self.state
        return scope

    def end(self) -> None:
        """Break the reference cycle, so that requests do not wait for the garbage collector to be freed."""
        self.forward = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.prepare(message, dict(message.get("headers", ())))
        if self.forward is None:
            await self.transmit(self.finished(message))
        else:
            await self.forward(message)

    def prepare(self, start: Message, headers: dict[bytes, bytes]) -> None:
        self.state.is_started = True
        media_type = headers.get(b"content-type", b"")
        if start["status"] >= 400 and media_type.startswith(b"text/plain"):
            self.refusal, self.forward = (start, []), self.refuse
        elif start["status"] == 304:  # the cached response may be compressed (RFC 9110 section 15.4.5)
            start["headers"] = vary(list(start.get("headers", ())), b"Accept-Encoding")
        elif is_compressible(start, headers):
            if accepts_gzip(self.state.headers.get(b"accept-encoding", b"")):
                self.forward = Gzip(self.finish)
            else:
                start["headers"] = vary(list(start.get("headers", ())), b"Accept-Encoding")

    async def refuse(self, message: Message) -> None:
        """Collect the plain-text error of another layer (host, CORS, body size) and send it as problem+json."""
        assert self.refusal is not None
        start, text = self.refusal
        text.append(message.get("body", b""))
        if message is start or message.get("more_body", False):
            return
        headers = Headers(raw=list(start["headers"])).items()
        kept = {name: value for name, value in headers if not name.startswith("content-")}
        detail = b"".join(text).decode(errors="replace")
        answer = framework_problem(self.state.id, start["status"], detail, kept)
        await answer(self.scope, self.receive, self.finish)

    async def finish(self, message: Message) -> None:
        await self.transmit(self.finished(message))

    def finished(self, message: Message) -> Message:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self.complete(message.get("headers", ()))
        elif self.state.method == "HEAD":
            return {**message, "body": b""}
        return message

    def complete(self, pairs: Pairs) -> Pairs:
        seconds = time.perf_counter() - self.state.began
        # With `Origin`, the CORS layer has already added `Vary: Origin`.
        headers = self.response_headers.complete(
            pairs, self.request_id, seconds, varies=b"origin" not in self.state.headers
        )
        # Set by app/api/deps/limits.py; read here, so that error responses carry it too.
        verdict = self.state.rate_limit
        if verdict is not None and b"ratelimit-limit" not in dict(headers):
            headers += (
                (b"ratelimit-limit", b"%d" % verdict.limit),
                (b"ratelimit-remaining", b"%d" % verdict.remaining),
                (b"ratelimit-reset", b"%d" % verdict.reset_seconds),
            )
        if retirement := find_deprecation(self.scope):
            retirement.announce(MutableHeaders(raw=headers), root_path_of(self.scope))
        if self.status == 204:  # FastAPI names a type for what is not there
            headers = [pair for pair in headers if pair[0] != b"content-type"]
        return headers
