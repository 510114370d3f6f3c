"""`/users`: one's own account, and for administrators all of them."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, status

from app.api.deps import (
    AccountsDep,
    ConditionalDep,
    CreatedDep,
    CurrentUser,
    DeviceDep,
    ETagDep,
    IfMatchDep,
    PagingDep,
    ReadSessionDep,
    SessionDep,
    UserReader,
    UserWriter,
)
from app.api.errors import responses
from app.api.idempotency import OnceDep
from app.api.limits import MailLimit
from app.api.routing import Router
from app.crud.user import UserFilter, users
from app.models.account import Account
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
    RoleName,
)
from app.schemas.base import Message, Page
from app.schemas.parameters import FlagQuery, IdParameter, SearchQuery
from app.schemas.user import UserRead
from app.services.accounts import takes_an_admin_away
from app.services.audit import record
from app.services.export import export_account

router = Router(prefix="/users", tags=["users"], takes_little=True, responses=responses(401))

UserId = Annotated[IdParameter, Path(examples=[7])]
UserSort = Literal["id", "-id", "username", "-username", "created_at", "-created_at"]


@router.get("/me", response_model=UserRead, summary="See your account", responses=responses(304))
async def read_me(me: CurrentUser, conditional: ConditionalDep) -> Account:
    return conditional.tag(me.user)


@router.patch("/me", response_model=UserRead, summary="Change your account", responses=responses(409, 412))
async def update_me(
    data: ProfileUpdate, me: CurrentUser, session: SessionDep, if_match: IfMatchDep, etag: ETagDep, device: DeviceDep
) -> User:
    """Name and full name. The address changes by `/users/me/email`, the password by `/users/me/password`."""
    user = await users.get_for_update(session, me.user.id)
    if_match.check(user)
    changes = data.model_dump()
    await users.update(session, user, **changes)
    await record(session, Action.USER_CHANGED, device, actor_id=user.id, fields=sorted(changes))
    return etag.tag(user)


@router.delete(
    "/me",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete your account",
    responses=responses(403, 409, 412),
)
async def delete_me(
    data: AccountDeletion, me: CurrentUser, accounts: AccountsDep, device: DeviceDep, if_match: IfMatchDep
) -> None:
    """And all that belongs to it, for good. The last administrator cannot leave."""
    await accounts.delete(me.user.id, data.password.get_secret_value(), device, if_match.check)


@router.put(
    "/me/password",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Change your password",
    responses=responses(403),
)
async def change_password(data: PasswordChange, me: CurrentUser, accounts: AccountsDep, device: DeviceDep) -> None:
    """Your other devices are signed out."""
    current, new = data.current_password.get_secret_value(), data.new_password.get_secret_value()
    await accounts.passwords.change(me.user.id, me.session_id, current, new, device)


@router.post(
    "/me/email",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Message,
    summary="Change your address",
    dependencies=[MailLimit],
    responses=responses(403, 409),
)
async def change_email(data: EmailChange, me: CurrentUser, accounts: AccountsDep) -> dict[str, str]:
    """A mail to the new address has a token for `/auth/verify-email`; until then the old address stays."""
    await accounts.addresses.request_change(me.user.id, data.email, data.password.get_secret_value())
    return {"message": "A mail with a link is on its way to the new address."}


@router.get("/me/export", response_model=Export, summary="Get all your data")
async def export_me(me: CurrentUser, session: SessionDep, device: DeviceDep) -> dict[str, Any]:
    """Everything that is stored about you, as JSON."""
    await record(session, Action.DATA_EXPORTED, device, actor_id=me.user.id)
    return await export_account(session, await users.get(session, me.user.id), me.session_id)


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
    return paging.page(await users.search(session, paging.query(sort, filter_), filter_), sort, filter_)


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
    _: OnceDep,
    session: SessionDep,
    accounts: AccountsDep,
    device: DeviceDep,
    created: CreatedDep,
) -> User:
    fields = data.model_dump(exclude={"password"}) | {"role": Role(data.role)}
    user = await accounts.add(session, data.password.get_secret_value(), **fields)
    await record(session, Action.USER_CREATED, device, actor_id=me.user.id, subject_id=user.id, role=user.role.value)
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
    """A deactivated user is signed out everywhere; the last active administrator stays one."""
    changes = data.model_dump()
    if takes_an_admin_away(changes):
        await users.keep_an_admin(session, leaving_id=user_id)
    user = await users.get_for_update(session, user_id)
    if_match.check(user)
    return etag.tag(await accounts.change_by_admin(session, user, changes, device, actor_id=me.user.id))


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
    await accounts.remove(session, user_id, if_match.check)
    await record(session, Action.USER_DELETED, device, actor_id=me.user.id, subject_id=user_id)
