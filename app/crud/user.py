"""Accounts in the database."""

from typing import Any

from sqlalchemy import case, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.session import WriteSession
from app.core.errors import ConflictError
from app.crud.base import CRUD
from app.crud.filters import Filter, contains, equals, where
from app.crud.one_time_token import one_time_tokens
from app.crud.typed import VersionedRow
from app.models.user import HAS_BCRYPT, Role, User, identity_key, login_keys

# Where one of these changes, the links that were mailed before end.
CREDENTIALS = {"email", "hashed_password", "role", "is_active"}


class LastAdminError(ConflictError):
    code = "last_admin"
    detail = "This is the last active administrator; make another one first."


class UserFilter(Filter):
    """`q` is looked for in name, address and full name."""

    q: str | None = where(
        lambda text: or_(*(contains(column, text) for column in (User.username, User.email, User.full_name)))
    )
    role: Role | None = equals(User.role)
    is_active: bool | None = equals(User.is_active)


class UserRow(VersionedRow):
    """All but what nobody is to see."""

    username: str
    username_key: str
    email: str
    email_key: str
    full_name: str | None
    role: Role
    is_active: bool
    is_verified: bool


class UserCRUD(CRUD[User, UserRow]):
    async def change_locked(self, session: WriteSession, row: User, **changes: Any) -> User:
        """Change columns of a row that is locked; with credentials or standing, all pending links end."""
        ends_links = any(getattr(row, name) != changes[name] for name in CREDENTIALS & changes.keys())
        for name, value in changes.items():
            setattr(row, name, value)
        await self.flush(session)
        if ends_links:
            await one_time_tokens.end_all(session, row.id)
        return row

    async def find_by_login(self, session: AsyncSession, login: str, *, for_update: bool = False) -> User | None:
        """By name or e-mail address, in any letter case; a name has no `@`, so neither hides the other."""
        if "\0" in login:
            return None  # PostgreSQL refuses to look for what it could not store
        keys = login_keys(login)
        column = User.email_key if "@" in keys[0] else User.username_key
        likeliest_first = case((column == keys[0], 0), else_=1)
        found = select(User).where(column.in_(keys)).order_by(likeliest_first).limit(1)
        return await session.scalar(found.with_for_update() if for_update else found)

    async def lock_admins(self, session: WriteSession) -> list[int]:
        """The active administrators, locked.

        Two of them will do: then one stays who cannot leave before this transaction ends. Call it before the row of one
        who may leave is locked: of two who leave at once the second waits here, and then sees that the first is gone.
        """
        active = select(User.id).where(User.role == Role.ADMIN, User.is_active).order_by(User.id).limit(2)
        return list(await session.scalars(active.with_for_update()))

    def require_another(self, admins: list[int], leaving_id: int) -> None:
        """Raises LastAdminError if the one who leaves is the only one of those locked."""
        if admins == [leaving_id]:
            raise LastAdminError

    async def refuse_taken_email(self, session: AsyncSession, email: str, *, but: int) -> None:
        """Say at once what the constraint would say when the address is confirmed."""
        taken = select(User.id).where(User.email_key == identity_key(email), User.id != but)
        if await session.scalar(taken) is not None:
            raise ConflictError("This email is already in use.", code="email_taken")

    async def find_bcrypt_hash(self, session: AsyncSession) -> str | None:
        """Any of those that imported accounts have; read from an index of nothing else."""
        return await session.scalar(select(User.hashed_password).where(HAS_BCRYPT).limit(1))

    async def has_admin(self, session: AsyncSession) -> bool:
        found = await session.scalar(select(User.id).where(User.role == Role.ADMIN, User.is_active).limit(1))
        return found is not None


users = UserCRUD(
    User,
    UserRow,
    "user",
    sorts={"id": User.id, "username": User.username, "created_at": User.created_at},
    conflicts={"uq_users_username_key": "username_taken", "uq_users_email_key": "email_taken"},
)
