"""Pure ASGI layers around every request: identity, timing, log line, hosts, origins, bodies, and the last resort."""

import logging
import time
from collections.abc import Sequence
from urllib.parse import quote

import structlog
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY, RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.answer_headers import AnswerHeaders
from app.api.errors import problem
from app.api.exchange import KEY, Exchange
from app.core.access_log import access_log

log = structlog.get_logger("strata.access")

PROBES = {"/health", "/ready"}
MAX_KNOWN_HOSTS = 1000


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
            path = scope.get("raw_path", b"").decode("latin-1") or quote(scope["path"])
            level = logging.DEBUG if path in PROBES else logging.INFO
            ms = round((time.perf_counter() - exchange.began) * 1000, 1)
            access_log.tell(level, exchange.method, path, exchange.status, ms, exchange.scope["state"]["request_id"])
            self.bound_id.reset(token)
            exchange.end()


class TrustedHosts:
    """Starlette's check of the Host header, once for each; probes are spared: they call a container by its address."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self.app = app
        self.check = TrustedHostMiddleware(self.remember, allowed_hosts, www_redirect=False)
        self.known: set[bytes | None] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_spared = scope["type"] == "http" and (scope["path"] in PROBES or host_of(scope) in self.known)
        await (self.app if is_spared else self.check)(scope, receive, send)

    async def remember(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(self.known) < MAX_KNOWN_HOSTS:
            self.known.add(host_of(scope))
        await self.app(scope, receive, send)


def host_of(scope: Scope) -> bytes | None:
    exchange: Exchange = scope[KEY]
    return exchange.given.get(b"host")


class CORS(CORSMiddleware):
    """Starlette's, for requests with an origin; to answers of others `Exchange` adds what it would."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_origin = scope["type"] == "http" and b"origin" in scope[KEY].given
        await (super().__call__ if has_origin else self.app)(scope, receive, send)


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


class BodyLimit(RequestBodyLimitMiddleware):
    """Starlette's, for requests that have a body: in HTTP/1 one of two headers announces it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get("http_version", "")[:1] != "1" or has_body(scope[KEY].given):
            await super().__call__(scope, receive, send)
        else:
            scope[MAX_BODY_SIZE_SCOPE_KEY] = self.max_body_size
            await self.app(scope, receive, send)


def has_body(headers: dict[bytes, bytes]) -> bool:
    return b"content-length" in headers or b"transfer-encoding" in headers
