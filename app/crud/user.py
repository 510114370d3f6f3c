"""Accounts in the database."""

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.base import CRUD
from app.models.user import Role, User, identity_key


class UserCRUD(CRUD[User]):
    async def find_by_login(self, session: AsyncSession, login: str) -> User | None:
        """By name or e-mail address, in any letter case; a name has no `@`, so neither hides the other."""
        if "\0" in login:
            return None  # PostgreSQL refuses to look for what it could not store
        key = identity_key(login)
        column = User.email_key if "@" in key else User.username_key
        return await session.scalar(select(User).where(column == key))

    async def replace_hash(self, session: AsyncSession, id_: int, old: str, new: str) -> None:
        """Store a better hash of the same password, unless the password has changed meanwhile."""
        await session.execute(
            update(User).where(User.id == id_, User.hashed_password == old).values(hashed_password=new)
        )

    async def has_admin(self, session: AsyncSession) -> bool:
        found = await session.scalar(select(User.id).where(User.role == Role.ADMIN, User.is_active).limit(1))
        return found is not None


users = UserCRUD(
    User, "user", conflicts={"uq_users_username_key": "username_taken", "uq_users_email_key": "email_taken"}
)
