"""The first administrator of an installation, and those created by the command line."""

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

# The key of an advisory lock, released with the transaction.
LOCK = 7_305_201


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """`password` is the generated one, to be shown once; None if the settings provide it."""

    username: str
    password: str | None


def password_path(data_dir: Path) -> Path:
    return data_dir / "first-admin-password"


def keep_password(settings: Settings, password: str) -> None:
    """Write the password to a file that only its owner can read, since logs are read by many."""
    path = password_path(settings.data_dir)
    make_private_folder(path.parent)
    write_draft(path, f"{password}\n").replace(path)


async def ensure_first_admin(
    database: Database,
    hasher: PasswordHasher,
    settings: Settings,
    keep: Callable[[Settings, str], None] | None = None,
) -> FirstAdmin | None:
    """Create an administrator if there is none; one of several instances that start at once does it.

    `keep` receives the generated password before the commit: if it fails, there is no account.

    Returns None if there was one already.
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
    """Store an administrator; the caller checks the strength of the password.

    Raises:
        ValidationError: for an invalid name, address or password.
        ConflictError: if the name or the address is taken.
    """
    admin = await new_admin(hasher, username, email, password)
    async with database.transaction() as session:
        session.add(admin)
        await users.flush(session)
        return admin


async def new_admin(hasher: PasswordHasher, username: str, email: str, password: str) -> User:
    """A new administrator, validated as any account. No transaction is open while the password is hashed."""
    account = UserCreate(username=username, email=email, password=SecretStr(password))
    fields = account.model_dump(exclude={"password"})
    return User(**fields, hashed_password=await hasher.hash(password), role=Role.ADMIN, is_verified=True)
