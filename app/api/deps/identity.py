"""Who asks, and from which device."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes

from app.api.deps.app_services import app_services_of, claims_of
from app.api.handler_run import run_of
from app.api.request_state import state_of
from app.core.errors import InsufficientScopeError
from app.services.audit import Device
from app.services.auth.identity import Identity
from app.services.auth.scopes import ACCOUNT, ADMIN

MAX_USER_AGENT = 500


class IdentityBearer(OAuth2PasswordBearer):
    """Who asks, by their access token, which must have the scopes needed: all of it in one dependency."""

    async def __call__(self, request: Request, needed: SecurityScopes) -> Identity:  # type: ignore[override] # FastAPI passes both
        # FastAPI would ask once for each set of scopes; the account needs to be looked up once.
        run = run_of(request)
        identity = run.identity
        if identity is None:
            identity = await self.identify(request, needed)
            run.set_identity(identity)
        if not identity.scopes.issuperset(needed.scopes):
            raise InsufficientScopeError(needed.scope_str)
        return identity

    async def identify(self, request: Request, needed: SecurityScopes) -> Identity:
        claims = claims_of(request)
        if claims is None:
            raise self.make_not_authenticated_error()
        auth = app_services_of(request).auth
        known = auth.recall(claims) if may_recall(request, needed) else None
        return known or await auth.identify(claims)


def may_recall(request: Request, needed: SecurityScopes) -> bool:
    """Whether what is known from before will do: for reads, and for writes, which ask with BEGIN or in their statement.

    What changes accounts, or is for administrators alone, asks first.
    """
    if state_of(request.scope).asks_first:
        return False
    if request.method == "GET":
        return True
    return bool(needed.scopes) and app_services_of(request).auth.scopes.never_recalled.isdisjoint(needed.scopes)


async def get_device(request: Request) -> Device:
    user_agent = request.headers.get("user-agent", "").replace("\0", "")[:MAX_USER_AGENT]
    address = request.client.host if request.client else None
    return Device(address, user_agent or None, state_of(request.scope).id)


get_identity = IdentityBearer("/api/v1/auth/login", scheme_name="bearer", refreshUrl="/api/v1/auth/refresh")

CurrentUser = Annotated[Identity, Security(get_identity)]
AccountUser = Annotated[Identity, Security(get_identity, scopes=[ACCOUNT.name])]
AdminUser = Annotated[Identity, Security(get_identity, scopes=[ADMIN.name])]
DeviceDep = Annotated[Device, Depends(get_device)]
