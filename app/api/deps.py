"""Every alias that a handler may ask for; together they say what a request needs and may do."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY

from app.api.caching import CachedDep
from app.api.conditional import ConditionalDep, CreatedDep, ETagDep, IfMatchDep
from app.api.paging import CursorPagingDep, PagingDep
from app.api.resources import Resources, ResourcesDep
from app.core.errors import BodyTooLargeError, InsufficientScopeError
from app.models.scope import SCOPES
from app.services.accounts import Accounts
from app.services.audit import Device
from app.services.auth import Auth, Identity

__all__ = [
    "AccountsDep",
    "AdminUser",
    "AuthDep",
    "BookReader",
    "BookWriter",
    "CachedDep",
    "ConditionalDep",
    "CreatedDep",
    "CurrentUser",
    "CursorPagingDep",
    "DeviceDep",
    "ETagDep",
    "IfMatchDep",
    "ItemReader",
    "ItemWriter",
    "OrderReader",
    "OrderWriter",
    "PagingDep",
    "ReadSessionDep",
    "Resources",
    "ResourcesDep",
    "SessionDep",
    "UserReader",
    "UserWriter",
]

bearer = OAuth2PasswordBearer(
    "/api/v1/auth/login", scheme_name="bearer", refreshUrl="/api/v1/auth/refresh", scopes=SCOPES
)

MAX_USER_AGENT = 500


async def get_session(resources: ResourcesDep) -> AsyncIterator[AsyncSession]:
    async with resources.database.transaction() as session:
        yield session


async def get_read_session(resources: ResourcesDep) -> AsyncIterator[AsyncSession]:
    async with resources.database.read() as session:
        yield session


# `scope="function"` commits before the answer leaves; FastAPI's default would commit after it.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
ReadSessionDep = Annotated[AsyncSession, Depends(get_read_session, scope="function")]


async def get_auth(resources: ResourcesDep) -> Auth:
    return resources.auth


async def get_accounts(resources: ResourcesDep) -> Accounts:
    return resources.accounts


async def get_device(request: Request) -> Device:
    user_agent = request.headers.get("user-agent", "").replace("\0", "")[:MAX_USER_AGENT]
    return Device(request.client.host if request.client else None, user_agent or None, request.state.request_id)


async def refuse_large_body(request: Request) -> None:
    """Starlette counts a body while it is read; a handler that reads none must not act on half a request."""
    limit = request.scope[MAX_BODY_SIZE_SCOPE_KEY]
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLargeError


AuthDep = Annotated[Auth, Depends(get_auth)]
AccountsDep = Annotated[Accounts, Depends(get_accounts)]
DeviceDep = Annotated[Device, Depends(get_device)]


async def get_identity(
    request: Request, needed: SecurityScopes, token: Annotated[str, Depends(bearer)], auth: AuthDep
) -> Identity:
    # FastAPI would ask once for each set of scopes; the account needs to be looked up once.
    identity: Identity | None = getattr(request.state, "identity", None)
    if identity is None:
        identity = request.state.identity = await auth.identify(token)
    if not identity.scopes.issuperset(needed.scopes):
        raise InsufficientScopeError(needed.scope_str)
    return identity


CurrentUser = Annotated[Identity, Security(get_identity)]
AdminUser = Annotated[Identity, Security(get_identity, scopes=["admin"])]
UserReader = Annotated[Identity, Security(get_identity, scopes=["users:read"])]
UserWriter = Annotated[Identity, Security(get_identity, scopes=["users:write"])]
BookReader = Annotated[Identity, Security(get_identity, scopes=["books:read"])]
BookWriter = Annotated[Identity, Security(get_identity, scopes=["books:write"])]
ItemReader = Annotated[Identity, Security(get_identity, scopes=["items:read"])]
ItemWriter = Annotated[Identity, Security(get_identity, scopes=["items:write"])]
OrderReader = Annotated[Identity, Security(get_identity, scopes=["orders:read"])]
OrderWriter = Annotated[Identity, Security(get_identity, scopes=["orders:write"])]
