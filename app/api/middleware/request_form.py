"""Requests that a proxy could take for others than we do are refused; what may come in parts is put together."""

import re

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware.exchange import KEY

# A name or an address (RFC 3986 section 3.2.2, as far as anybody uses it) and perhaps a port.
HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# Of these a second one is no part of a list (RFC 9110 section 5.3), and the wrong one may be believed.
SINGLE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"if-modified-since",
        b"if-range",
        b"if-unmodified-since",
        b"origin",
        b"range",
        b"sec-fetch-site",
    }
)
# Whose host names are of no interest.
PROBES = {"/health", "/ready"}


class RequestForm:
    """For requests that have a field twice or a host that is not known yet."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = fault_of(scope) if scope["type"] == "http" else None
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse(fault, 400)(scope, receive, send)


def fault_of(scope: Scope) -> str | None:
    exchange = scope[KEY]
    if len(exchange.request_headers) != len(scope["headers"]):
        names = [name for name, _ in scope["headers"]]
        twice = next((name for name in names if name in SINGLE and names.count(name) > 1), None)
        if twice is not None:
            return f"The field `{twice.decode()}` comes more than once."
        scope["headers"] = combined(scope["headers"])
        exchange.request_headers = dict(scope["headers"])
    # The parser has seen to it that the last coding is `chunked`; what is inside of another nobody reads.
    if exchange.request_headers.get(b"transfer-encoding", b"chunked").lower().strip() != b"chunked":
        return "The one coding that `Transfer-Encoding` may name is `chunked`."
    return None if has_good_host(scope, exchange.request_headers.get(b"host")) else "`Host` does not name a host."


def has_good_host(scope: Scope, host: bytes | None) -> bool:
    """RFC 9112 section 3.2; later versions of HTTP have another field for it."""
    if scope["path"] in PROBES:
        return True
    if host is None:
        return scope.get("http_version") != "1.1"
    return HOST.fullmatch(host) is not None


def combined(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Each name once (RFC 9110 section 5.3; cookies: RFC 6265 section 5.4)."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return [(name, (b"; " if name == b"cookie" else b", ").join(each)) for name, each in values.items()]
