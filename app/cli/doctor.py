"""`strata doctor`: is everything there that a server needs, and if not, what is to be done?"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.core.config import Settings


class UnfitError(Exception):
    """A check failed; the message says what to mend."""


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
            and await report("migrations", lambda: with_session(check_migrations))
            and await report("administrator", lambda: with_session(check_admin))
        )
    finally:
        await database.close()
    return all(has_files) and has_database


async def report(name: str, check: Callable[[], Awaitable[str]]) -> bool:
    from app.cli.faults import explain

    try:
        tell(True, name, await check())
    except UnfitError as error:
        tell(False, name, str(error))
    except Exception as error:
        lines = explain(error)
        if lines is None:
            raise
        tell(False, name, " ".join(lines))
    else:
        return True
    return False


def tell(is_fit: bool, name: str, text: str) -> None:
    mark = typer.style("✓", fg="green") if is_fit else typer.style("✗", fg="red")
    typer.echo(f"{mark} {name:<16}{text}")


async def check_data_dir(settings: "Settings") -> str:
    path = settings.data_dir
    if not path.is_dir():
        raise UnfitError(f"{path} is not there; `strata serve` makes it")
    if not os.access(path, os.W_OK):
        raise UnfitError(f"{path} cannot be written: change its owner, or DATA_DIR")
    return f"{path} can be written"


async def check_secret(settings: "Settings") -> str:
    if settings.jwt_secret_key is not None:
        return "from JWT_SECRET_KEY"
    path = settings.data_dir / "secret"
    if not path.exists():
        raise UnfitError(f"none yet; `strata serve` makes one in {path}, or set JWT_SECRET_KEY")
    if path.stat().st_mode & 0o077:
        raise UnfitError(f"{path} can be read by others: chmod 600 {path}")
    return f"generated, in {path}"


async def check_database(session: "AsyncSession") -> str:
    from pathlib import Path

    from sqlalchemy import text

    url = session.get_bind().engine.url
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise UnfitError(f"{url.database} is not there yet; `strata serve` makes it")
    await session.execute(text("SELECT 1"))
    return f"{url.render_as_string()} answers"


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
