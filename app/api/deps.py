"""Every alias that a handler may ask for; together they say what a request needs and may do."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Query, Request, Response, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY

from app.api.errors import NotModified
from app.core.config import Settings
from app.core.cursors import CursorSigner
from app.core.database import Database
from app.core.errors import BodyTooLargeError, InsufficientScopeError, PreconditionFailedError, UnprocessableError
from app.core.keys import Keyring
from app.core.mail import Mailer
from app.core.passwords import PasswordHasher
from app.core.ratelimit import RateLimiter
from app.crud.base import PageQuery, PageRows
from app.models.base import Base, Versioned
from app.models.scope import SCOPES
from app.schemas.base import MAX_ID
from app.services.accounts import Accounts
from app.services.audit import Device
from app.services.auth import Auth, Identity
from app.services.inventory import Inventory
from app.services.outbox import Outbox

bearer = OAuth2PasswordBearer(
    "/api/v1/auth/login", scheme_name="bearer", refreshUrl="/api/v1/auth/refresh", scopes=SCOPES
)

MAX_USER_AGENT = 500


@dataclass(frozen=True, slots=True)
class Resources:
    """What one application holds open; made in the lifespan, swapped there by tests."""

    settings: Settings
    database: Database
    hasher: PasswordHasher
    auth: Auth
    accounts: Accounts
    cursors: CursorSigner
    keys: Keyring
    mailer: Mailer
    outbox: Outbox
    limiter: RateLimiter | None
    inventory: Inventory | None
    migration_head: str | None


async def get_resources(request: Request) -> Resources:
    return cast(Resources, request.state.resources)


ResourcesDep = Annotated[Resources, Depends(get_resources)]


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


async def get_identity(needed: SecurityScopes, token: Annotated[str, Depends(bearer)], auth: AuthDep) -> Identity:
    identity = await auth.identify(token)
    if not identity.scopes.issuperset(needed.scopes):
        raise InsufficientScopeError(needed.scope_str)
    return identity


CurrentUser = Annotated[Identity, Security(get_identity)]
AdminUser = Annotated[Identity, Security(get_identity, scopes=["admin"])]
UserReader = Annotated[Identity, Security(get_identity, scopes=["users:read"])]
UserWriter = Annotated[Identity, Security(get_identity, scopes=["users:write"])]
ItemReader = Annotated[Identity, Security(get_identity, scopes=["items:read"])]
ItemWriter = Annotated[Identity, Security(get_identity, scopes=["items:write"])]


class Paging:
    """The part of a list that the query asks for, by offset or by cursor."""

    def __init__(
        self,
        request: Request,
        resources: ResourcesDep,
        skip: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[
            str | None, Query(max_length=1000, description="`next_cursor` of the page before, same filters and sort.")
        ] = None,
        include_total: Annotated[bool, Query(description="`false` saves the count; `total` is then null.")] = True,
    ) -> None:
        self.path = request.url.path
        self.cursors = resources.cursors
        self.skip = skip
        self.limit = limit
        self.cursor = cursor
        self.include_total = include_total

    def query(self, sort: str, filter_: object = None) -> PageQuery:
        """Raises UnprocessableError (`invalid_cursor`) on a cursor that was not made for this list."""
        after = None
        if self.cursor is not None:
            after = self.cursors.read(self.cursor, self.belongs_to(sort, filter_))
            if after is None or self.skip:
                raise UnprocessableError(
                    "`cursor` must be a `next_cursor` of this list, with the same filters and sort and without `skip`.",
                    code="invalid_cursor",
                )
        return PageQuery(sort, self.limit, self.skip, after, self.include_total)

    def page[M: Base](self, found: PageRows[M], sort: str, filter_: object = None) -> dict[str, Any]:
        """The body of the answer, as `Page[T]` describes it."""
        after = found.next_after
        return {
            "items": found.rows,
            "total": found.total,
            "skip": self.skip,
            "limit": self.limit,
            "next_cursor": after and self.cursors.sign(after, self.belongs_to(sort, filter_)),
        }

    def belongs_to(self, sort: str, filter_: object) -> str:
        return f"{self.path} {sort} {filter_!r}"


PagingDep = Annotated[Paging, Depends()]


def etag(row: Versioned) -> str:
    return f'"{row.version}"'


def names(header: str, tag: str) -> bool:
    """Whether a list of entity tags (RFC 9110 section 8.8.3) has this one, or is `*`."""
    return header.strip() == "*" or tag in (candidate.strip() for candidate in header.split(","))


class ETag:
    """Tells clients the version of what they get."""

    def __init__(self, response: Response) -> None:
        self.response = response

    def tag[V: Versioned](self, row: V) -> V:
        self.response.headers["ETag"] = etag(row)
        return row


class Created(ETag):
    """Like ETag, and tells where the new resource is."""

    def __init__(self, request: Request, response: Response) -> None:
        super().__init__(response)
        self.request = request

    def at(self, handler: str, **path_params: object) -> None:
        """`handler` is the name of the function that reads the resource."""
        self.response.headers["Location"] = str(self.request.app.url_path_for(handler, **path_params))


class Conditional(ETag):
    """Like ETag, for reads: a client that already has this version is told so (304) instead."""

    def __init__(
        self,
        response: Response,
        if_none_match: Annotated[str | None, Header(description="An ETag you have; 304 if it is current.")] = None,
    ) -> None:
        super().__init__(response)
        self.if_none_match = if_none_match

    def tag[V: Versioned](self, row: V) -> V:
        # If-None-Match compares weakly: a proxy that compressed the answer may have added W/.
        if self.if_none_match is not None and names(self.if_none_match.replace("W/", ""), etag(row)):
            raise NotModified(etag(row))
        return super().tag(row)


class IfMatch:
    """RFC 9110 section 13.1.1: a write that only applies to the version the client has seen."""

    def __init__(
        self, if_match: Annotated[str | None, Header(description="The ETag the change is based on; else 412.")] = None
    ) -> None:
        self.if_match = if_match

    def check(self, row: Versioned) -> None:
        if self.if_match is not None and not names(self.if_match, etag(row)):
            raise PreconditionFailedError


ETagDep = Annotated[ETag, Depends()]
CreatedDep = Annotated[Created, Depends()]
ConditionalDep = Annotated[Conditional, Depends()]
IfMatchDep = Annotated[IfMatch, Depends()]
