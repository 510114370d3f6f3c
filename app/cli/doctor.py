"""`strata doctor`: is everything there that a server needs, and if not, what is to be done?"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.core.config import Settings


class UnfitError(Exception):
    """A check failed; the message says what to mend."""


class UnwiseError(Exception):
    """A check passed, but something had better be changed; the message says what."""


def doctor() -> None:
    """Check every setting and service, and say what to mend."""
    from app.core.config import Settings

    settings = Settings.load()
    tell(True, "settings", f"{settings.environment}, no faults")
    fit = asyncio.run(examine(settings))
    raise typer.Exit(0 if fit else 1)


async def examine(settings: "Settings") -> bool:
    from app.core.database import Database

    database = Database(settings.model_copy(update={"db_retry_limit": 1}))

    async def with_session(check: Callable[["AsyncSession"], Awaitable[str]]) -> str:
        async with database.primary() as session:
            return await check(session)

    try:
        has_files = [
            await report("data directory", lambda: check_data_dir(settings)),
            await report("signing secret", lambda: check_secret(settings)),
        ]
        # Each of these makes sense only when the one before it is fit.
        has_database = (
            await report("database", lambda: with_session(check_database))
            and (
                settings.database.get_backend_name() == "sqlite"
                or await report("connections", lambda: with_session(partial(check_connections, settings)))
            )
            and await report("migrations", lambda: with_session(check_migrations))
            and await report("administrator", lambda: with_session(check_admin))
        )
    finally:
        await database.close()
    has_redis = settings.redis_url is None or await report("redis", lambda: check_redis(settings))
    has_modules = await report("modules", lambda: check_modules(settings)) if has_any_module(settings) else True
    has_inventory = settings.inventory_url is None or await report("inventory", lambda: check_inventory(settings))
    return all(has_files) and has_database and has_redis and has_modules and has_inventory


async def report(name: str, check: Callable[[], Awaitable[str]]) -> bool:
    from app.cli.faults import explain

    try:
        tell(True, name, await check())
    except UnfitError as error:
        tell(False, name, str(error))
    except UnwiseError as error:
        tell(None, name, str(error))
        return True
    except Exception as error:
        lines = explain(error)
        if lines is None:
            raise
        tell(False, name, " ".join(lines))
    else:
        return True
    return False


def tell(is_fit: bool | None, name: str, text: str) -> None:
    """`None` is a warning."""
    marks = {True: typer.style("✓", fg="green"), False: typer.style("✗", fg="red"), None: typer.style("!", fg="yellow")}
    mark = marks[is_fit]
    typer.echo(f"{mark} {name:<16}{text}")


async def check_data_dir(settings: "Settings") -> str:
    path = settings.data_dir
    if not path.is_dir():
        raise UnfitError(f"{path} is not there; `strata serve` makes it")
    if not os.access(path, os.W_OK):
        raise UnfitError(f"{path} cannot be written: change its owner, or DATA_DIR")
    return f"{path} can be written"


async def check_secret(settings: "Settings") -> str:
    from app.core.keys import Keyring
    from app.core.pem import is_read_by_others
    from app.core.secret_file import replaced_path, secret_path

    if settings.jwt_algorithm != "HS256":
        return check_key_files(settings)
    if settings.jwt_secret_key is not None:
        return "from JWT_SECRET_KEY"
    path = secret_path(settings.data_dir)
    if not path.exists():
        raise UnfitError(f"none yet; `strata serve` makes one in {path}, or set JWT_SECRET_KEY")
    for file in (path, replaced_path(settings.data_dir)):
        if file.exists() and is_read_by_others(file):
            raise UnfitError(f"{file} can be read by others: chmod 600 {file}")
    Keyring.from_settings(settings)  # raises SettingsError for half a secret
    return f"generated, in {path}"


def check_key_files(settings: "Settings") -> str:
    """A warning alone for files that others can read: mounted secrets often are, in a container of their own."""
    from pathlib import Path

    from app.core.pem import is_private_key, is_read_by_others

    paths = [Path(path) for _, path in settings.named_keys()]
    exposed = [str(path) for path in paths if is_private_key(path) and is_read_by_others(path)]
    if exposed:
        raise UnwiseError(f"private keys that others can read: chmod 600 {' '.join(exposed)}")
    return f"{settings.jwt_algorithm}, in {paths[0]}"


async def check_database(session: "AsyncSession") -> str:
    from pathlib import Path

    from sqlalchemy import text

    url = session.get_bind().engine.url
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise UnfitError(f"{url.database} is not there yet; `strata serve` makes it")
    await session.execute(text("SELECT 1"))
    return f"{url.render_as_string()} answers"


async def check_connections(settings: "Settings", session: "AsyncSession") -> str:
    """Whether the server has as many as all workers together may open, `strata serve --workers` aside."""
    from sqlalchemy import text

    workers, each = settings.web_concurrency, settings.db_pool_size + settings.db_max_overflow
    wanted = f"{workers} {'worker' if workers == 1 else 'workers'} with up to {each} each"
    if settings.db_pgbouncer:
        return f"{wanted}, to PgBouncer"
    names = ("max_connections", "superuser_reserved_connections")
    most, reserved = [int(await session.scalar(text(f"SHOW {name}")) or 0) for name in names]
    if workers * each > most - reserved:
        raise UnwiseError(
            f"{wanted}, but the server has {most - reserved}: lower WEB_CONCURRENCY, DB_POOL_SIZE or "
            "DB_MAX_OVERFLOW, or raise max_connections"
        )
    return f"{wanted}; the server has {most - reserved}"


async def check_redis(settings: "Settings") -> str:
    from redis.exceptions import RedisError

    from app.core.ratelimit import RateLimiter

    assert settings.redis_url is not None
    limiter = RateLimiter(settings.redis_url.get_secret_value())
    try:
        await limiter.ping()
    except (RedisError, OSError) as error:
        raise UnwiseError(
            f"does not answer ({error}): start it, or mend or unset REDIS_URL. "
            "The server runs without it; each process then counts its rate limits alone"
        ) from None
    finally:
        await limiter.close()
    return "answers"


async def check_inventory(settings: "Settings") -> str:
    from app.core.errors import UnavailableError
    from app.services.inventory import Inventory

    inventory = Inventory.from_settings(settings)
    assert inventory is not None
    try:
        lets_us_in = await inventory.ping()
    except UnavailableError:
        raise UnwiseError(
            "does not answer: start it, or mend or unset INVENTORY_URL. "
            "The server runs without it; the stock of items is then answered with 503"
        ) from None
    finally:
        await inventory.close()
    if not lets_us_in:
        raise UnfitError("refuses us: check the user and the password in INVENTORY_URL")
    return "answers"


async def check_migrations(session: "AsyncSession") -> str:
    from app.core.migrations import database_revision, migration_head

    at, head = await database_revision(await session.connection()), migration_head()
    if at != head:
        raise UnfitError(f"at {at or 'none'}, needs {head}: run `strata db upgrade`")
    return f"at {at}, up to date"


async def check_admin(session: "AsyncSession") -> str:
    from app.crud.user import users

    if not await users.has_admin(session):
        raise UnfitError("there is none: run `strata admin create`")
    return "there is one"


def has_any_module(settings: "Settings") -> bool:
    from app.core.modules import installed_modules

    return bool(settings.modules or installed_modules())


async def check_modules(settings: "Settings") -> str:
    """Load them as a server would: what is installed may still fail."""
    from app.core.modules import listed_modules, unlisted_modules
    from app.main import create_app

    create_app(settings)
    parts = {
        "loaded": listed_modules(settings.modules),
        "installed but not listed in MODULES": unlisted_modules(settings.modules),
    }
    return "; ".join(f"{how}: {', '.join(map(str, modules))}" for how, modules in parts.items() if modules)
