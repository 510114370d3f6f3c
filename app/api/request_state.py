"""What the application knows of a request beside its ASGI scope, which has it under one key."""

import time
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.types import Scope

if TYPE_CHECKING:
    from app.api.handler_run import HandlerRun
    from app.core.limits.ratelimit import Verdict
    from app.core.security.tokens import Claims

KEY = "strata.request"


class RequestState:
    __slots__ = (
        "asks_first",
        "began",
        "claims",
        "has_read_claims",
        "headers",
        "holds_slot",
        "id",
        "is_counted",
        "is_started",
        "method",
        "rate_limit",
        "run",
    )

    def __init__(self, request_id: str, method: str, headers: dict[bytes, bytes]) -> None:
        self.id = request_id
        self.began = time.perf_counter()
        # The client's: to the router HEAD is GET.
        self.method = method
        # The first of repeated fields wins, as in Starlette's `Headers`.
        self.headers = headers
        # Whether the response has begun.
        self.is_started = False
        # Of the access token, once somebody has asked; None without a token.
        self.claims: Claims | None = None
        self.has_read_claims = False
        # For the response's headers.
        self.rate_limit: Verdict | None = None
        # The following are of a request that runs again, which counts once and holds one slot.
        self.is_counted = False
        self.holds_slot = False
        # Who asks is not to be recalled but looked up.
        self.asks_first = False
        # Of the handler, while it runs.
        self.run: HandlerRun | None = None


def state_of(scope: Scope) -> RequestState:
    state: RequestState = scope[KEY]
    return state


def request_header(request: HTTPConnection, name: bytes) -> str | None:
    """A request header; `name` is in lower case."""
    value = request.scope[KEY].headers.get(name)
    return None if value is None else value.decode("latin-1")


def bearer_token(request: HTTPConnection) -> str | None:
    """The token of `Authorization: Bearer` (RFC 6750 section 2.1)."""
    scheme, _, token = (request_header(request, b"authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
