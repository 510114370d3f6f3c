"""Rejects ambiguous requests (request smuggling) and joins repeated header fields."""

import re

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.request_state import state_of

# A name or an address (RFC 3986 section 3.2.2, without the forms that nobody uses) and an optional port.
HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
# Singleton fields: a second one is not part of a list (RFC 9110 section 5.3), and a proxy may trust the other one.
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
# Health probes; any `Host` is accepted.
PROBES = {"/health", "/ready"}


class RequestForm:
    """Validates requests with repeated fields or an unknown host."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = fault_of(scope) if scope["type"] == "http" else None
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse(fault, 400)(scope, receive, send)


def fault_of(scope: Scope) -> str | None:
    state = state_of(scope)
    if len(state.headers) != len(scope["headers"]):
        names = [name for name, _ in scope["headers"]]
        twice = next((name for name in names if name in SINGLE and names.count(name) > 1), None)
        if twice is not None:
            return f"The field `{twice.decode()}` comes more than once."
        scope["headers"] = combined(scope["headers"])
        state.headers = dict(scope["headers"])
    # The parser ensures that the last coding is `chunked`; another one inside of it would not be decoded.
    if state.headers.get(b"transfer-encoding", b"chunked").lower().strip() != b"chunked":
        return "The one coding that `Transfer-Encoding` may name is `chunked`."
    return None if has_good_host(scope, state.headers.get(b"host")) else "`Host` does not name a host."


def has_good_host(scope: Scope, host: bytes | None) -> bool:
    """RFC 9112 section 3.2; HTTP/2 and later have `:authority` instead."""
    if scope["path"] in PROBES:
        return True
    if host is None:
        return scope.get("http_version") != "1.1"
    return HOST.fullmatch(host) is not None


def combined(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Joins fields of the same name (RFC 9110 section 5.3; cookies: RFC 6265 section 5.4)."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return [(name, (b"; " if name == b"cookie" else b", ").join(each)) for name, each in values.items()]
