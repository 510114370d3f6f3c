"""The identity of the deployment, shared by its instances only."""

from hashlib import sha256

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.config.settings import Settings
from app.core.db.sqlite_files import database_path

PREFIX = "strata"
# Identifies cluster and database, whatever the host name, port and signing key.
IDENTITY = text(
    "SELECT (SELECT system_identifier FROM pg_control_system()), oid "
    "FROM pg_database WHERE datname = current_database()"
)


async def redis_prefix(settings: Settings, engine: AsyncEngine) -> str:
    """The prefix of this deployment's keys on Redis.

    Derived from the database, not from a signing key: during a rotation instances with the old and the new key share
    counters. The environment is included, since a physical copy of a database has the identity of the original.
    """
    if settings.redis_url is None or settings.redis_prefix is not None:
        return settings.redis_prefix or PREFIX
    identity = f"{settings.environment} {await database_identity(engine)}"
    return f"{PREFIX}:{sha256(identity.encode()).hexdigest()[:16]}"


async def database_identity(engine: AsyncEngine) -> str:
    if engine.url.get_backend_name() == "sqlite":
        path = database_path(engine.url).resolve()
        # Every container may have its SQLite file at the same path.
        return f"{path} {path.stat().st_ino}" if path.exists() else str(path)
    try:
        async with engine.connect() as connection:
            return " ".join(map(str, (await connection.execute(IDENTITY)).one()))
    except DBAPIError:  # services compatible with PostgreSQL may lack this function
        return f"{engine.url.host} {engine.url.port} {engine.url.database}"
