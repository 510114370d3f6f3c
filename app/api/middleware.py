"""Pure ASGI layers around every request: identity, timing, log line, the last resort, hosts, origins and bodies."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import structlog
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY, RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.answer_headers import AnswerHeaders
from app.api.cross_origin import CORS
from app.api.errors import problem
from app.api.exchange import KEY, Exchange
from app.api.request_form import PROBES, RequestForm
from app.core.access_log import access_log

log = structlog.get_logger("strata.access")

MAX_KNOWN_HOSTS = 1000
MAX_KNOWN_LENGTH = 100
# An access line that waits for its reader is held in memory.
MAX_LOGGED_PATH = 1000
# More would be no length of a body, and Python takes its time to make a number of thousands.
MAX_DIGITS = 16
STOPPING = "The server stops, and has not finished this request; ask again shortly whether it was done."
RETRY = {"Retry-After": "1"}


class RequestContext:
    """Gives each request an id, one path without its trailing slash, a clock, headers and a log line."""

    def __init__(self, app: ASGIApp, *, headers: AnswerHeaders) -> None:
        self.app = app
        self.headers = headers
        # structlog's own variable, which `merge_contextvars` reads: binding by name costs three times as much.
        tokens = structlog.contextvars.bind_contextvars(request_id="")
        self.bound_id = tokens["request_id"].var
        structlog.contextvars.reset_contextvars(**tokens)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self.headers, scope, receive, send)
        token = self.bound_id.set(exchange.scope["state"]["request_id"])
        try:
            await self.app(exchange.scope, receive, exchange.send)
        finally:
            # The path as it was sent: decoded, it could bring line breaks into the log.
            path = scope.get("raw_path", b"").decode("latin-1") or quote(scope["path"], errors="backslashreplace")
            level = logging.DEBUG if path in PROBES else logging.INFO
            ms = round((time.perf_counter() - exchange.began) * 1000, 1)
            access_log.tell(
                level,
                exchange.method,
                path[:MAX_LOGGED_PATH],
                exchange.status,
                ms,
                exchange.scope["state"]["request_id"],
            )
            self.bound_id.reset(token)
            exchange.end()


class LastResort:
    """An exception that nothing else caught is logged once and answered with a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception:
            log.exception("unhandled error")
            if scope[KEY].is_started:
                raise  # the server must cut the connection: half an answer is out
            text = "Something went wrong on our side; the request id finds it in the log."
            await problem(scope["state"]["request_id"], 500, "internal_error", text)(scope, receive, send)
        except asyncio.CancelledError:
            # The server ends, and does not wait any longer.
            if not scope[KEY].is_started:
                await problem(scope["state"]["request_id"], 503, "shutting_down", STOPPING, RETRY)(scope, receive, send)
            raise


class Checks:
    """The form of requests, hosts, origins and the size of bodies; `LastResort` is where its answer gets CORS headers.

    These layers have nothing to say to most requests, which pass by them: those for a host that was found good before,
    of no other origin, with each field once, and a body of the announced length (which is how HTTP/1 tells where it
    ends) or none.
    """

    def __init__(
        self, app: ASGIApp, *, allowed_hosts: Sequence[str], cors: Mapping[str, Any], max_body_size: int
    ) -> None:
        self.max_body_size = max_body_size
        self.app = LastResort(app)
        self.behind_hosts = BodyLimit(app, max_body_size)
        self.hosts = TrustedHostMiddleware(self.remember_host, allowed_hosts, www_redirect=False)
        self.with_checks = CORS(LastResort(RequestForm(self.check_host)), **cors)
        self.known_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.needs_no_check(scope):
            scope[MAX_BODY_SIZE_SCOPE_KEY] = self.max_body_size
            await self.app(scope, receive, send)
        else:
            await self.with_checks(scope, receive, send)

    def needs_no_check(self, scope: Scope) -> bool:
        given = scope[KEY].given
        if given.get(b"host") not in self.known_hosts and scope["path"] not in PROBES:
            return False
        if b"origin" in given or b"transfer-encoding" in given or len(given) != len(scope["headers"]):
            return False
        length = given.get(b"content-length")
        if length is not None and not (length.isdigit() and fits(length, self.max_body_size)):
            return False
        return bool(scope.get("http_version", "")[:1] == "1")

    async def check_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Probes call a container by its address.
        is_probe = scope["type"] == "http" and scope["path"] in PROBES
        await (self.behind_hosts if is_probe else self.hosts)(scope, receive, send)

    async def remember_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = scope[KEY].given.get(b"host") if scope["type"] == "http" else None
        if host is not None and len(host) <= MAX_KNOWN_LENGTH:
            if len(self.known_hosts) >= MAX_KNOWN_HOSTS:
                self.known_hosts.clear()  # or whoever came first with made up ones would keep the good ones out
            self.known_hosts.add(host)
        await self.behind_hosts(scope, receive, send)


class BodyLimit(RequestBodyLimitMiddleware):
    """Starlette's, which counts a body while it is read; one that is announced as too large is refused at once.

    A handler that reads none must not act on half a request.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = scope[KEY].given.get(b"content-length", b"") if scope["type"] == "http" else b""
        if announced.isdigit() and not fits(announced, self.max_body_size):
            await PlainTextResponse("Content Too Large", 413)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def fits(digits: bytes, limit: int) -> bool:
    return len(digits) < MAX_DIGITS and int(digits) <= limit
