"""Which deployment this is: what its instances have in common, and no two deployments."""

from hashlib import sha256

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.config.settings import Settings
from app.core.db.sqlite_files import database_path

PREFIX = "strata"
# The cluster and the database in it: whatever name and port it is reached by, and whoever signs its tokens.
IDENTITY = text(
    "SELECT (SELECT system_identifier FROM pg_control_system()), oid "
    "FROM pg_database WHERE datname = current_database()"
)


async def redis_prefix(settings: Settings, engine: AsyncEngine) -> str:
    """What the names of all that this deployment keeps in Redis begin with.

    By its database, and not by a key: keys are exchanged while instances with the old one and with the new one share
    what is counted. By the environment too, for a physical copy of a database has the identity of the first.
    """
    if settings.redis_url is None or settings.redis_prefix is not None:
        return settings.redis_prefix or PREFIX
    identity = f"{settings.environment} {await database_identity(engine)}"
    return f"{PREFIX}:{sha256(identity.encode()).hexdigest()[:16]}"


async def database_identity(engine: AsyncEngine) -> str:
    if engine.url.get_backend_name() == "sqlite":
        path = database_path(engine.url).resolve()
        # Every container may have its file at the same path.
        return f"{path} {path.stat().st_ino}" if path.exists() else str(path)
    try:
        async with engine.connect() as connection:
            return " ".join(map(str, (await connection.execute(IDENTITY)).one()))
    except DBAPIError:  # a service that is like PostgreSQL need not have this
        return f"{engine.url.host} {engine.url.port} {engine.url.database}"
