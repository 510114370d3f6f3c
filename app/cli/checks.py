"""The checks of `strata doctor`: each returns what it found, or raises one of the errors below."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.core.config.settings import Settings


class CheckFailedError(Exception):
    """A check failed; the message says what to fix."""


class CheckWarningError(Exception):
    """A check passed with a recommendation, which is the message."""


class NotCreatedYetError(Exception):
    """Nothing is wrong; the message says what `strata serve` will create."""


async def check_data_dir(settings: "Settings") -> str:
    from app.cli.exposed_files import advice, exposed_files

    path = settings.data_dir
    check_folder(path)
    if paths := exposed_files(settings):
        raise CheckWarningError(advice(paths))
    return f"{path} can be written"


def check_folder(path: "Path") -> None:
    """If it is missing, check that it can be created."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise CheckFailedError(f"{there} is no directory: remove it, or change DATA_DIR")
    if not os.access(there, os.W_OK | os.X_OK):
        raise CheckFailedError(f"{there} cannot be written: change its owner, or DATA_DIR")
    if there != path:
        raise NotCreatedYetError(f"{path} is not there yet: `strata serve` makes it")


async def check_secret(settings: "Settings") -> str:
    from app.core.config.private_files import is_read_by_others
    from app.core.security.keys import Keyring
    from app.core.security.secret_file import replaced_path, secret_path

    if settings.jwt_algorithm != "HS256":
        return check_key_files(settings)
    if settings.jwt_secret_key is not None:
        return "from JWT_SECRET_KEY"
    path = secret_path(settings.data_dir)
    if not path.exists():
        raise NotCreatedYetError(f"there is none yet: `strata serve` makes it, in {path}")
    for file in (path, replaced_path(settings.data_dir)):
        if file.exists() and is_read_by_others(file):
            raise CheckFailedError(f"{file} can be read by others: chmod 600 {file}")
    Keyring.from_settings(settings)  # raises SettingsError for a truncated secret
    return f"generated, in {path}"


def check_key_files(settings: "Settings") -> str:
    """Only warn of files that others can read: secrets mounted into a container often are."""
    from pathlib import Path

    from app.core.config.home_folder import expand_home
    from app.core.config.private_files import is_read_by_others
    from app.core.security.pem import is_private_key

    paths = [expand_home(Path(path)) for _, path in settings.named_keys()]
    exposed = [str(path) for path in paths if is_private_key(path) and is_read_by_others(path)]
    if exposed:
        raise CheckWarningError(f"private keys that others can read: chmod 600 {' '.join(exposed)}")
    return f"{settings.jwt_algorithm}, in {paths[0]}"


async def check_database(settings: "Settings", session: "AsyncSession") -> str:
    from app.core.db.fitness import check_fitness
    from app.core.db.sqlite_files import database_path
    from app.core.db.url.database_url import shown_url

    url = settings.database
    # Before any connection, which would create the file.
    if url.get_backend_name() == "sqlite" and not (path := database_path(url)).exists():
        check_parent(path)
        raise NotCreatedYetError(f"{path} is not there yet: `strata serve` makes it")
    await check_fitness(await session.connection(), url)
    return f"{shown_url(url)} answers"


async def check_replica(settings: "Settings", session: "AsyncSession") -> str:
    from app.core.db.fitness import check_fitness
    from app.core.db.url.database_url import shown_url

    assert settings.read_database is not None
    await check_fitness(await session.connection(), settings.read_database)
    return f"{shown_url(settings.read_database)} answers"


def check_parent(path: "Path") -> None:
    with suppress(NotCreatedYetError):
        check_folder(path.parent)


async def check_connections(settings: "Settings", session: "AsyncSession") -> str:
    """Whether max_connections suffices for all workers together, not counting `strata serve --workers`."""
    from sqlalchemy import text

    workers, each = settings.web_concurrency, settings.db_pool_size + settings.db_max_overflow
    wanted = f"{workers} {'worker' if workers == 1 else 'workers'} with up to {each} each"
    if settings.db_pgbouncer:
        return f"{wanted}, to PgBouncer"
    names = ("max_connections", "superuser_reserved_connections")
    most, reserved = [int(await session.scalar(text(f"SHOW {name}")) or 0) for name in names]
    if workers * each > most - reserved:
        raise CheckWarningError(
            f"{wanted}, but the server has {most - reserved}: lower WEB_CONCURRENCY, DB_POOL_SIZE or "
            "DB_MAX_OVERFLOW, or raise max_connections"
        )
    return f"{wanted}; the server has {most - reserved}"


async def check_redis(settings: "Settings") -> str:
    from redis.exceptions import RedisError

    from app.core.limits.ratelimit import RateLimiter

    assert settings.redis_url is not None
    limiter = RateLimiter(settings.redis_url.get_secret_value())
    try:
        await limiter.ping()
    except (RedisError, OSError) as error:
        raise CheckWarningError(
            f"does not respond ({error}): start it, or fix or unset REDIS_URL. "
            "The server runs without it; each process then counts its rate limits alone"
        ) from None
    finally:
        await limiter.close()
    return "answers"


async def check_inventory(settings: "Settings") -> str:
    from app.core.errors import UnavailableError
    from app.services.items.inventory import Inventory

    inventory = Inventory.from_settings(settings)
    assert inventory is not None
    try:
        lets_us_in = await inventory.ping()
    except UnavailableError:
        raise CheckWarningError(
            "does not respond: start it, or fix or unset INVENTORY_URL. "
            "The server runs without it; the stock of items is then answered with 503"
        ) from None
    finally:
        await inventory.close()
    if not lets_us_in:
        raise CheckFailedError("refuses us: check the user and the password in INVENTORY_URL")
    return "answers"


async def check_migrations(session: "AsyncSession") -> str:
    from app.core.db.migrations import database_revision, known_revisions, migration_head

    at, head = await database_revision(await session.connection()), migration_head()
    if at is not None and at not in known_revisions():
        raise CheckFailedError(
            f"at {at}, which this code does not know: run the newer code that made it, "
            "or take it back with that (`strata db downgrade`)"
        )
    if at != head:
        now = at or "none"
        raise NotCreatedYetError(f"at {now}, needs {head}: `strata serve` makes it so, as does `strata db upgrade`")
    return f"at {at}, up to date"


async def check_admin(settings: "Settings", session: "AsyncSession") -> str:
    from app.crud.user import users
    from app.services.accounts.admins import password_path

    if not await users.has_admin(session):
        raise NotCreatedYetError("there is none yet: `strata serve` makes it, and so does `strata admin create`")
    if (path := password_path(settings.data_dir)).exists():
        raise CheckWarningError(f"the first one's generated password is still in {path}: sign in, then delete the file")
    return "there is one"


async def check_jobs(session: "AsyncSession") -> str:
    from datetime import timedelta

    from app.core.clock import utc_now
    from app.crud.job import jobs

    since = utc_now() - timedelta(minutes=1)
    late, workers = await jobs.count_late(session, since), await jobs.count_workers(session, since)
    if late and not workers:
        raise CheckWarningError(f"{late} have waited for more than a minute, and no worker runs: start `strata worker`")
    if late:
        raise CheckWarningError(f"{late} have waited for more than a minute: start another `strata worker`")
    return f"none is late; {workers} {'worker runs' if workers == 1 else 'workers run'}"


def has_plugins(settings: "Settings") -> bool:
    from app.core.plugins import installed_plugins

    return bool(settings.modules or installed_plugins())


async def check_plugins(settings: "Settings") -> str:
    """Load the plugins as a server would: an installed one may still fail."""
    from app.core.plugins import listed_plugins, unlisted_plugins
    from app.main import create_app

    create_app(settings)
    parts = {
        "loaded": listed_plugins(settings.modules),
        "installed but not listed in MODULES": unlisted_plugins(settings.modules),
    }
    return "; ".join(f"{how}: {', '.join(map(str, modules))}" for how, modules in parts.items() if modules)


async def check_fast_path(settings: "Settings") -> str:
    """Without plugins: one that fails has been told of already."""
    from app.api.fastpath.status import describe
    from app.main import create_app

    told = describe(create_app(settings.model_copy(update={"modules": ()})), settings.fast_path)
    if told.startswith("off") and settings.fast_path != "off":
        raise CheckWarningError(told)
    return told
