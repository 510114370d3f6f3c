"""The resources that an application holds open, and how handlers access them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.api.request_state import KEY, RequestState, bearer_token
from app.core.cache.cache import Cache
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.limits.download_slots import DownloadSlots
from app.core.limits.ratelimit import RateLimiter
from app.core.observability.readiness import Readiness
from app.core.outbound.mail import Mailer
from app.core.security.cursors import CursorSigner
from app.core.security.keys import Keyring
from app.core.security.passwords import PasswordHasher
from app.core.security.tokens import Claims
from app.services.accounts.accounts import Accounts
from app.services.after_commit import AfterCommit
from app.services.auth.auth import Auth
from app.services.items.inventory import Inventory


@dataclass(frozen=True, slots=True)
class AppServices:
    """Made in the lifespan, swapped there by tests."""

    settings: Settings
    database: Database
    download_slots: DownloadSlots
    hasher: PasswordHasher
    auth: Auth
    accounts: Accounts
    cache: Cache
    cursors: CursorSigner
    keys: Keyring
    mailer: Mailer
    after_commit: AfterCommit
    limiter: RateLimiter | None
    inventory: Inventory | None
    readiness: Readiness


def app_services_of(request: Request) -> AppServices:
    services: AppServices = request.scope["state"]["services"]
    return services


def claims_of(request: Request) -> Claims | None:
    """What the request's access token says; None where it has none.

    Raises:
        InvalidTokenError: if it is no good.
    """
    state: RequestState = request.scope[KEY]
    if not state.has_read_claims:
        token = bearer_token(request)
        state.claims = None if token is None else app_services_of(request).auth.tokens.verify(token, "access")
        state.has_read_claims = True
    return state.claims


async def get_app_services(request: Request) -> AppServices:
    return app_services_of(request)


AppServicesDep = Annotated[AppServices, Depends(get_app_services)]


async def get_auth(services: AppServicesDep) -> Auth:
    return services.auth


async def get_accounts(services: AppServicesDep) -> Accounts:
    return services.accounts


AuthDep = Annotated[Auth, Depends(get_auth)]
AccountsDep = Annotated[Accounts, Depends(get_accounts)]
