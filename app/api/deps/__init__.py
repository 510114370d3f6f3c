"""Every alias that a handler may ask for; together they say what a request needs and may do."""

from functools import partial
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from sqlalchemy.ext.asyncio import AsyncSession

from app.api import handler_stack
from app.api.deps.app_services import AppServices, AppServicesDep, app_services_of, claims_of
from app.api.deps.caching import CachedDep
from app.api.deps.conditional import ConditionalDep, CreatedDep, ETagDep, IfMatchDep
from app.api.deps.paging import CursorPagingDep, PagingDep
from app.core.db.caller_check import CallerChangedError, CallerCheck
from app.core.db.session import DriverSession, ReadSession, WriteSession
from app.core.db.transaction import DriverTransaction, Transaction
from app.core.errors import InsufficientScopeError
from app.services.accounts.accounts import Accounts
from app.services.audit import Device
from app.services.auth.auth import Auth
from app.services.auth.identity import Identity
from app.services.auth.scopes import ACCOUNT, ADMIN

__all__ = [
    "AccountUser",
    "AccountsDep",
    "AdminUser",
    "AppServices",
    "AppServicesDep",
    "AuthDep",
    "AutocommitSessionDep",
    "CachedDep",
    "ConditionalDep",
    "CreatedDep",
    "CurrentUser",
    "CursorPagingDep",
    "DeviceDep",
    "ETagDep",
    "IfMatchDep",
    "PagingDep",
    "ReadSessionDep",
    "SessionDep",
]

MAX_USER_AGENT = 500


async def get_session(request: Request) -> WriteSession:
    """A transaction, which begins when it is used.

    Who asks may be known from before; they still must be who they were when something is written.

    Raises:
        CallerChangedError: at the end, if they are not; `Route` then begins anew, and asks first.
    """
    session = app_services_of(request).database.write()
    if not isinstance(session, DriverTransaction):
        return await handler_stack.enter(request, transaction_of(request, session))
    session.is_begun = True
    session.find_caller_check = partial(caller_check_of, request)
    session.on_first_use = partial(commit_with_handler, request)
    return session


def transaction_of(request: Request, session: WriteSession) -> Transaction:
    return Transaction(session, partial(require_same_caller, request, session))


def commit_with_handler(request: Request, session: WriteSession) -> None:
    handler_stack.push(request, transaction_of(request, session))


async def require_same_caller(request: Request, session: AsyncSession) -> None:
    """Ask before COMMIT where something else than a prepared statement began the transaction."""
    has_checked = isinstance(session, DriverTransaction) and session.checked_caller is not None
    check = None if has_checked else caller_check_of(request)
    if check is not None and not await check.holds(session):
        raise CallerChangedError


def caller_check_of(request: Request) -> CallerCheck | None:
    identity: Identity | None = request.scope["state"].get("identity")
    return identity.caller_check if identity is not None else None


async def get_read_session(request: Request) -> ReadSession:
    session = app_services_of(request).database.read()
    if not isinstance(session, DriverSession):
        return await handler_stack.enter(request, session)
    session.on_first_use = partial(handler_stack.push, request)
    return session


SessionDep = Annotated[WriteSession, Depends(get_session)]


async def get_autocommit_session(session: SessionDep) -> WriteSession:
    if isinstance(session, DriverTransaction):
        session.autocommits = True
    return session


# For a handler that writes with one statement of a CRUD object, and nothing after it: the session of SessionDep.
AutocommitSessionDep = Annotated[WriteSession, Depends(get_autocommit_session)]
ReadSessionDep = Annotated[ReadSession, Depends(get_read_session)]


async def get_auth(services: AppServicesDep) -> Auth:
    return services.auth


async def get_accounts(services: AppServicesDep) -> Accounts:
    return services.accounts


async def get_device(request: Request) -> Device:
    user_agent = request.headers.get("user-agent", "").replace("\0", "")[:MAX_USER_AGENT]
    return Device(request.client.host if request.client else None, user_agent or None, request.state.request_id)


AuthDep = Annotated[Auth, Depends(get_auth)]
AccountsDep = Annotated[Accounts, Depends(get_accounts)]
DeviceDep = Annotated[Device, Depends(get_device)]


def may_recall(request: Request, needed: SecurityScopes) -> bool:
    """Whether what is known from before will do: for reads, and for writes, which ask with BEGIN or in their statement.

    What changes accounts, or is for administrators alone, asks first.
    """
    if request.scope["state"].get("asks_first"):
        return False
    if request.method == "GET":
        return True
    return bool(needed.scopes) and app_services_of(request).auth.scopes.never_recalled.isdisjoint(needed.scopes)


class IdentityBearer(OAuth2PasswordBearer):
    """Who asks, by their access token, which must have the scopes needed: all of it in one dependency."""

    async def __call__(self, request: Request, needed: SecurityScopes) -> Identity:  # type: ignore[override] # FastAPI passes both
        # FastAPI would ask once for each set of scopes; the account needs to be looked up once.
        state = request.scope["state"]
        identity: Identity | None = state.get("identity")
        if identity is None:
            claims = claims_of(request)
            if claims is None:
                raise self.make_not_authenticated_error()
            auth = app_services_of(request).auth
            known = auth.recall(claims) if may_recall(request, needed) else None
            identity = state["identity"] = known or await auth.identify(claims)
        if not identity.scopes.issuperset(needed.scopes):
            raise InsufficientScopeError(needed.scope_str)
        return identity


get_identity = IdentityBearer("/api/v1/auth/login", scheme_name="bearer", refreshUrl="/api/v1/auth/refresh")

CurrentUser = Annotated[Identity, Security(get_identity)]
AccountUser = Annotated[Identity, Security(get_identity, scopes=[ACCOUNT.name])]
AdminUser = Annotated[Identity, Security(get_identity, scopes=[ADMIN.name])]
