"""Rate limits as dependencies: the default for all requests, and stricter ones for some operations."""

from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import Depends, Request

from app.api.deps.app_services import app_services_of, claims_of
from app.api.request_state import KEY, RequestState
from app.core.errors import InvalidTokenError
from app.core.limits.networks import network_of
from app.core.limits.ratelimit import tightest
from app.services.app_services import AppServices


async def limit_requests(request: Request) -> None:
    """RATE_LIMIT_DEFAULT for each signed-in user, wherever they are, and for each address of the others."""
    services = app_services_of(request)
    if services.limiter is not None:
        rate = services.settings.rate_limit_default
        await count(request, services, rate, "request", *caller(request, services))


def limited(setting: Literal["login", "register"], bucket: str | None = None) -> Callable[..., Awaitable[None]]:
    """A dependency that holds each client address to RATE_LIMIT_<SETTING>; routes of one bucket count together."""

    async def limit_address(request: Request) -> None:
        services = app_services_of(request)
        rate: str = getattr(services.settings, f"rate_limit_{setting}")
        await count(request, services, rate, bucket or setting, client_network(request))

    return limit_address


LoginLimit = Depends(limited("login"))
RegisterLimit = Depends(limited("register"))
MailLimit = Depends(limited("register", "mail"))


async def count(request: Request, services: AppServices, rate: str, *key: str) -> None:
    """Count the request, and leave the tightest limit for `Exchange` to put on the response."""
    state: RequestState = request.scope[KEY]
    if services.limiter is None or state.is_counted:
        return
    verdict = (await services.limiter.hit(rate, *key)).require()
    state.rate_limit = verdict if state.rate_limit is None else tightest(state.rate_limit, verdict)


def caller(request: Request, services: AppServices) -> tuple[str, str]:
    """Who asks, by the signature of their token alone: a limit must cost less than what it protects."""
    try:
        claims = claims_of(request)
    except InvalidTokenError:
        claims = None  # whoever guesses tokens is stopped as anybody else at their address
    if claims is not None and claims.session_key not in services.auth.ended.known:
        return "user", str(claims.user_id)
    return "address", client_network(request)


def client_network(request: Request) -> str:
    """Of IPv6 the /64."""
    return network_of(request.client.host if request.client else "")
