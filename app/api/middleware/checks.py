"""Hosts, origins, the form of requests and the size of their bodies."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY, RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware.cross_origin import CORS
from app.api.middleware.request_form import PROBES, RequestForm
from app.api.middleware.unhandled_errors import UnhandledErrors
from app.api.request_state import KEY, state_of

MAX_KNOWN_HOSTS = 1000
MAX_KNOWN_LENGTH = 100
# No body is longer, and `int()` is slow for thousands of digits.
MAX_DIGITS = 16


class Checks:
    """Validates request syntax, hosts, origins and body sizes; adds CORS headers to errors of `UnhandledErrors`.

    Skipped for HTTP/1 requests to a known host without `Origin`, repeated header fields or `Transfer-Encoding`, whose
    `Content-Length`, if any, is within the limit.
    """

    def __init__(
        self, app: ASGIApp, *, allowed_hosts: Sequence[str], cors: Mapping[str, Any], max_body_size: int
    ) -> None:
        self.max_body_size = max_body_size
        self.app = UnhandledErrors(app)
        self.behind_hosts = BodyLimit(app, max_body_size)
        self.hosts = TrustedHostMiddleware(self.remember_host, allowed_hosts, www_redirect=False)
        self.with_checks = CORS(UnhandledErrors(RequestForm(self.check_host)), **cors)
        self.known_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.needs_no_check(scope):
            scope[MAX_BODY_SIZE_SCOPE_KEY] = self.max_body_size
            await self.app(scope, receive, send)
        else:
            await self.with_checks(scope, receive, send)

    def needs_no_check(self, scope: Scope) -> bool:
        request_headers = scope[KEY].headers
        if request_headers.get(b"host") not in self.known_hosts and scope["path"] not in PROBES:
            return False
        if (
            b"origin" in request_headers
            or b"transfer-encoding" in request_headers
            or len(request_headers) != len(scope["headers"])
        ):
            return False
        length = request_headers.get(b"content-length")
        if length is not None and not (length.isdigit() and fits(length, self.max_body_size)):
            return False
        return bool(scope.get("http_version", "")[:1] == "1")

    async def check_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Health probes address a container by its IP address.
        is_probe = scope["type"] == "http" and scope["path"] in PROBES
        await (self.behind_hosts if is_probe else self.hosts)(scope, receive, send)

    async def remember_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = state_of(scope).headers.get(b"host") if scope["type"] == "http" else None
        if host is not None and len(host) <= MAX_KNOWN_LENGTH:
            if len(self.known_hosts) >= MAX_KNOWN_HOSTS:
                self.known_hosts.clear()  # else a client with invented hosts could fill the set for good
            self.known_hosts.add(host)
        await self.behind_hosts(scope, receive, send)


class BodyLimit(RequestBodyLimitMiddleware):
    """Starlette's limit counts a body while it is read; this one also rejects a `Content-Length` that is too large.

    A handler that does not read the body must not act on an incomplete request.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = state_of(scope).headers.get(b"content-length", b"") if scope["type"] == "http" else b""
        if announced.isdigit() and not fits(announced, self.max_body_size):
            await PlainTextResponse("Content Too Large", 413)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def fits(digits: bytes, limit: int) -> bool:
    return len(digits) < MAX_DIGITS and int(digits) <= limit
