"""Administrators: the one that a new installation starts with, and those made by hand."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text

from app.core.config.private_files import make_private_folder, write_draft
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.security.passwords import PasswordHasher
from app.crud.user import users
from app.models.user import Role, User
from app.schemas.user import UserCreate

# Any number that nothing else locks; PostgreSQL releases it with the transaction.
LOCK = 7_305_201


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """`password` is the generated one, to be shown once; None when the settings gave it."""

    username: str
    password: str | None


def password_path(data_dir: Path) -> Path:
    return data_dir / "first-admin-password"


def keep_password(settings: Settings, password: str) -> None:
    """For its owner alone, in place of a log, which many read."""
    path = password_path(settings.data_dir)
    make_private_folder(path.parent)
    write_draft(path, f"{password}\n").replace(path)


async def ensure_first_admin(
    database: Database,
    hasher: PasswordHasher,
    settings: Settings,
    keep: Callable[[Settings, str], None] | None = None,
) -> FirstAdmin | None:
    """Make an administrator if there is none; of several instances starting at once one does.

    `keep` gets a generated password before the account is there for good: one that could not be kept opens nothing.

    Returns None when there was one already.
    """
    async with database.primary() as session:
        if await users.has_admin(session):
            return None
    given = settings.first_admin_password
    password = given.get_secret_value() if given else secrets.token_urlsafe(12)
    admin = await new_admin(hasher, settings.first_admin_username, settings.first_admin_email, password)
    async with database.transaction() as session:
        if database.engine.dialect.name == "postgresql":
            await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        if await users.has_admin(session):
            return None
        session.add(admin)
        await users.flush(session)
        if keep is not None and given is None:
            keep(settings, password)
    return FirstAdmin(admin.username, None if given else password)


async def add_admin(database: Database, hasher: PasswordHasher, username: str, email: str, password: str) -> User:
    """Store an administrator; the password's strength is the caller's to check.

    Raises:
        ValidationError: for a name, address or password that no account can have.
        ConflictError: when the name or the address is taken.
    """
    admin = await new_admin(hasher, username, email, password)
    async with database.transaction() as session:
        session.add(admin)
        await users.flush(session)
        return admin


async def new_admin(hasher: PasswordHasher, username: str, email: str, password: str) -> User:
    """An administrator to be stored, under the rules of any account. No transaction is open while it is hashed."""
    account = UserCreate(username=username, email=email, password=SecretStr(password))
    fields = account.model_dump(exclude={"password"})
    return User(**fields, hashed_password=await hasher.hash(password), role=Role.ADMIN, is_verified=True)
