"""`/users`: one's own account, and for administrators all of them."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Response, status

from app.api.deps import (
    AccountsDep,
    AccountUser,
    AppServicesDep,
    ConditionalDep,
    CreatedDep,
    CurrentUser,
    DeviceDep,
    ETagDep,
    IfMatchDep,
    PagingDep,
    ReadSessionDep,
    SessionDep,
)
from app.api.deps.idempotency import IdempotencyKeyDep
from app.api.deps.limits import MailLimit
from app.api.deps.paging import SORT
from app.api.download import Download, DownloadSlotDep, ExportLimit
from app.api.errors import responses
from app.api.router import Router
from app.crud.account import Account
from app.crud.user import UserFilter, users
from app.models.audit import Action
from app.models.user import Role, User
from app.schemas.account import (
    AccountCreate,
    AccountDeletion,
    AccountUpdate,
    EmailChange,
    Export,
    PasswordChange,
    ProfileUpdate,
)
from app.schemas.base import Message, Page
from app.schemas.parameters import FlagQuery, IdParameter, SearchQuery
from app.schemas.user import RoleName, UserRead
from app.services.accounts.export import export_account
from app.services.audit import record
from app.services.auth.identity import Identity

router = Router(prefix="/users", tag="users", about="Accounts.", takes_little=True, responses=responses(401))

UserReader = Annotated[Identity, router.requires("users:read", "See all accounts", admin_only=True)]
UserWriter = Annotated[Identity, router.requires("users:write", "Change all accounts", admin_only=True)]
UserId = Annotated[IdParameter, Path(examples=[7])]
UserSort = Annotated[Literal["id", "-id", "username", "-username", "created_at", "-created_at"], SORT]


@router.get("/me", response_model=UserRead, summary="See your account", responses=responses(304))
async def read_me(me: CurrentUser, conditional: ConditionalDep) -> Account:
    return conditional.tag(me.user)


@router.patch("/me", response_model=UserRead, summary="Change your account", responses=responses(403, 409, 412))
async def update_me(
    data: ProfileUpdate,
    me: AccountUser,
    session: SessionDep,
    accounts: AccountsDep,
    device: DeviceDep,
    if_match: IfMatchDep,
    etag: ETagDep,
) -> User:
    """Changing `username` requires `password`, and you are notified by mail; `full_name` requires nothing.

    The address changes by `/users/me/email`, the password by `/users/me/password`.
    """
    changes, password = data.model_dump(exclude={"password"}), data.given_password
    return etag.tag(await accounts.change_profile(session, me, changes, password, device, if_match.check))


@router.delete(
    "/me",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete your account",
    responses=responses(403, 409, 412),
)
async def delete_me(
    data: AccountDeletion, me: AccountUser, accounts: AccountsDep, device: DeviceDep, if_match: IfMatchDep
) -> None:
    """With all that belongs to it, for good. The last administrator cannot leave."""
    await accounts.delete(me, data.password.get_secret_value(), device, if_match.check)


@router.put(
    "/me/password",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Change your password",
    responses=responses(403),
)
async def change_password(data: PasswordChange, me: AccountUser, accounts: AccountsDep, device: DeviceDep) -> None:
    """Your other devices are signed out."""
    current, new = data.current_password.get_secret_value(), data.new_password.get_secret_value()
    await accounts.passwords.change(me, current, new, device)


@router.post(
    "/me/email",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Message,
    summary="Change your address",
    dependencies=[MailLimit],
    responses=responses(403, 409),
)
async def change_email(data: EmailChange, me: AccountUser, accounts: AccountsDep) -> dict[str, str]:
    """A mail to the new address has a token for `/auth/verify-email`; until then the old address stays."""
    await accounts.addresses.request_change(me, data.email, data.password.get_secret_value())
    return {"message": "A mail with a link is on its way to the new address."}


@router.get(
    "/me/export",
    response_class=Response,
    summary="Get all your data",
    responses={200: {"model": Export}, **responses(403, 429)},
)
async def export_me(
    me: AccountUser,
    slot: DownloadSlotDep,
    _: ExportLimit,
    services: AppServicesDep,
    session: SessionDep,
    device: DeviceDep,
) -> Download:
    """Everything that is stored about you, as JSON; each list by id. A few times an hour."""
    if slot.is_wanted:
        await record(session, Action.DATA_EXPORTED, device, actor_id=me.user.id)
    chunks = export_account(services.database, me.user.id, me.session_key)
    return Download(chunks, "application/json", "account.json")


async def get_filter(
    q: Annotated[SearchQuery | None, Query(description="Text in name, address or full name.")] = None,
    role: Annotated[RoleName | None, Query()] = None,
    is_active: Annotated[FlagQuery | None, Query()] = None,
) -> UserFilter:
    return UserFilter(q, Role(role) if role else None, is_active)


FilterDep = Annotated[UserFilter, Depends(get_filter)]


@router.get("", response_model=Page[UserRead], summary="List accounts", responses=responses(403))
async def list_users(
    _: UserReader, filter_: FilterDep, paging: PagingDep, session: ReadSessionDep, sort: UserSort = "id"
) -> dict[str, Any]:
    return await paging.run(users, session, filter_, sort)


@router.post(
    "",
    response_model=UserRead,
    status_code=status.HTTP_201_CREATED,
    summary="Make an account",
    responses=responses(403, 409),
)
async def create_user(
    data: AccountCreate,
    me: UserWriter,
    idempotency: IdempotencyKeyDep,
    session: SessionDep,
    accounts: AccountsDep,
    device: DeviceDep,
    created: CreatedDep,
) -> User:
    """Creating an administrator also requires the scope `admin`."""
    fields = data.model_dump(exclude={"password"}) | {"role": Role(data.role)}
    password = data.password.get_secret_value()
    user = await accounts.managed.create(session, idempotency.claim_key, password, device, actor=me, **fields)
    created.at("read_user", user_id=user.id)
    return created.tag(user)


@router.get("/{user_id}", response_model=UserRead, summary="See an account", responses=responses(304, 403, 404))
async def read_user(user_id: UserId, _: UserReader, session: ReadSessionDep, conditional: ConditionalDep) -> User:
    return conditional.tag(await users.get(session, user_id))


@router.patch(
    "/{user_id}", response_model=UserRead, summary="Change an account", responses=responses(403, 404, 409, 412)
)
async def update_user(
    user_id: UserId,
    data: AccountUpdate,
    me: UserWriter,
    session: SessionDep,
    accounts: AccountsDep,
    device: DeviceDep,
    if_match: IfMatchDep,
    etag: ETagDep,
) -> User:
    """A deactivated user is signed out everywhere; the last active administrator stays one.

    Promoting or demoting an administrator, and changing an administrator's account, also require the scope `admin`.
    If the address changes, the old one is notified.
    """
    changes = data.model_dump()
    if "role" in changes:
        changes["role"] = Role(changes["role"])
    managed, check = accounts.managed, if_match.check
    return etag.tag(await managed.change(session, user_id, changes, device, actor=me, check=check))


@router.delete(
    "/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete an account",
    responses=responses(403, 404, 409, 412),
)
async def delete_user(
    user_id: UserId,
    me: UserWriter,
    session: SessionDep,
    accounts: AccountsDep,
    device: DeviceDep,
    if_match: IfMatchDep,
) -> None:
    """Deleting an administrator also requires the scope `admin`."""
    await accounts.managed.delete(session, user_id, device, actor=me, check=if_match.check)
