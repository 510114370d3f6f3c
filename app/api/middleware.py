"""Pure ASGI layers around every request: identity, timing, log line, headers, and the last resort."""

import re
import time
from collections.abc import Mapping
from urllib.parse import quote
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import framework_problem, problem
from app.api.retirement import retirement_of

log = structlog.get_logger("strata.access")

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
PROBES = {"/health", "/ready"}
API_CSP = "default-src 'none'; frame-ancestors 'none'"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
HSTS = "max-age=31536000; includeSubDomains"


class RequestContext:
    """Gives each request an id, one path without its trailing slash, a clock, headers and a log line."""

    def __init__(self, app: ASGIApp, *, hsts: bool) -> None:
        self.app = app
        self.headers = {**SECURITY_HEADERS, **({"Strict-Transport-Security": HSTS} if hsts else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SANE_ID.fullmatch(given) else uuid4().hex
        # The path as it was sent: decoded, it could bring line breaks into the log.
        method, path = scope["method"], scope.get("raw_path", b"").decode("latin-1") or quote(scope["path"])
        inner = with_plain_path(scope, request_id)
        status = 499  # nginx's code for a client that left before the answer

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                self.add_headers(headers, request_id, time.perf_counter() - started)
                # Left here by app/api/limits.py; on errors too, which its own response headers would miss.
                if verdict := inner["state"].get("rate_limit"):
                    add_missing(headers, verdict.headers)
                if retirement := retirement_of(inner):
                    retirement.announce(headers)
                if status == 204:
                    del headers["content-type"]  # FastAPI names a type for what is not there
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(inner, receive, send_with_headers)
        finally:
            write = log.debug if path in PROBES else log.info
            duration = round((time.perf_counter() - started) * 1000, 1)
            write("request", method=method, path=path, status=status, ms=duration)
            structlog.contextvars.unbind_contextvars("request_id")

    def add_headers(self, headers: MutableHeaders, request_id: str, seconds: float) -> None:
        headers["X-Request-ID"] = request_id
        headers["X-Process-Time"] = f"{seconds:.6f}"
        headers["Server-Timing"] = f"app;dur={seconds * 1000:.3f}"
        add_missing(headers, self.headers)
        headers.setdefault("Content-Security-Policy", API_CSP)
        # Answers hold personal data; a validator may still save the transfer.
        headers.setdefault("Cache-Control", "private, no-cache" if "etag" in headers else "no-store")


def add_missing(headers: MutableHeaders, more: Mapping[str, str]) -> None:
    for name, value in more.items():
        headers.setdefault(name, value)


def with_plain_path(scope: Scope, request_id: str) -> Scope:
    """The scope for the routers: `/x/` is `/x` (a redirect would drop the bearer token), HEAD is GET."""
    scope = {**scope, "state": {**scope.get("state", {}), "request_id": request_id}}
    if scope["path"] != "/" and scope["path"].endswith("/"):
        scope["path"] = scope["path"][:-1]
    if scope["method"] == "HEAD":
        scope["method"] = "GET"
    return scope


class TrustedHosts(TrustedHostMiddleware):
    """Starlette's check of the Host header, which probes are spared: they call a container by its address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_probe = scope["type"] == "http" and scope["path"] in PROBES
        await (self.app if is_probe else super().__call__)(scope, receive, send)


class ProblemAnswers:
    """Turns the plain-text refusals of other layers (host, CORS, body size) into problem+json."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        refusal: Message | None = None
        text = b""

        async def send_problems(message: Message) -> None:
            nonlocal refusal, text
            if message["type"] == "http.response.start" and is_plain_refusal(message):
                refusal = message
            elif refusal is None:
                await send(message)
            else:
                text += message.get("body", b"")
                if not message.get("more_body", False):
                    await answer(refusal, text.decode(errors="replace"))

        async def answer(refusal: Message, text: str) -> None:
            headers = Headers(raw=refusal["headers"]).items()
            kept = {name: value for name, value in headers if not name.startswith("content-")}
            response = framework_problem(scope["state"]["request_id"], refusal["status"], text, kept)
            await response(scope, receive, send)

        await self.app(scope, receive, send_problems)


def is_plain_refusal(start: Message) -> bool:
    return start["status"] >= 400 and Headers(raw=start["headers"]).get("content-type", "").startswith("text/plain")


class LastResort:
    """An exception that nothing else caught is logged once and answered with a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception:
            log.exception("unhandled error")
            if started:
                raise  # the server must cut the connection: half an answer is out
            text = "Something went wrong on our side; the request id finds it in the log."
            await problem(scope["state"]["request_id"], 500, "internal_error", text)(scope, receive, send)
