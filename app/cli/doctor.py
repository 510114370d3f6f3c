"""`strata doctor`: checks everything that a server needs, and says what to fix."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import typer

from app.cli.checks import (
    CheckFailedError,
    CheckWarningError,
    NotCreatedYetError,
    check_admin,
    check_connections,
    check_data_dir,
    check_database,
    check_fast_path,
    check_inventory,
    check_jobs,
    check_migrations,
    check_plugins,
    check_redis,
    check_replica,
    check_secret,
    has_plugins,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.core.config.settings import Settings
    from app.core.db.engine import Database

type Verdict = Literal["fit", "unfit", "unwise", "to be made"]

MARKS = {"fit": ("✓", "green"), "unfit": ("✗", "red"), "unwise": ("!", "yellow"), "to be made": ("·", "cyan")}


def doctor() -> None:
    """Check every setting and service, and say what to fix."""
    from app.core.config.settings import Settings

    settings = Settings.load()
    print_verdict("fit", "settings", f"{settings.environment}, no faults")
    for warning in unread(settings):
        print_verdict("unwise", "settings", warning)
    verdicts = asyncio.run(examine(settings))
    raise typer.Exit(1 if "unfit" in verdicts else 0)


def unread(settings: "Settings") -> list[str]:
    from app.core.config.unread_names import file_warnings, process_warnings

    return file_warnings(settings) + process_warnings(settings)


async def examine(settings: "Settings") -> list[Verdict]:
    from app.core.db.engine import Database

    database = Database(settings.model_copy(update={"db_retry_limit": 1}))
    try:
        verdicts = [
            await report("data directory", lambda: check_data_dir(settings)),
            await report("signing secret", lambda: check_secret(settings)),
            *await examine_database(settings, database),
        ]
        if settings.read_database is not None:
            verdicts.append(await report("replica", lambda: examine_replica(settings, database)))
    finally:
        await database.close()
    if settings.redis_url is not None:
        verdicts.append(await report("redis", lambda: check_redis(settings)))
    if has_plugins(settings):
        verdicts.append(await report("plugins", lambda: check_plugins(settings)))
    verdicts.append(await report("fast path", lambda: check_fast_path(settings)))
    if settings.inventory_url is not None:
        verdicts.append(await report("inventory", lambda: check_inventory(settings)))
    return verdicts


async def examine_database(settings: "Settings", database: "Database") -> list[Verdict]:
    """Each check depends on the success of the one before it."""

    async def with_session(check: Callable[["AsyncSession"], Awaitable[str]]) -> str:
        async with database.primary() as session:
            return await check(session)

    checks: dict[str, Callable[[AsyncSession], Awaitable[str]]] = {
        "database": partial(check_database, settings),
        "connections": partial(check_connections, settings),
        "migrations": check_migrations,
        "administrator": partial(check_admin, settings),
        "jobs": check_jobs,
    }
    if settings.database.get_backend_name() == "sqlite":
        del checks["connections"]
    verdicts: list[Verdict] = []
    for name, check in checks.items():
        verdicts.append(await report(name, partial(with_session, check)))
        if verdicts[-1] not in {"fit", "unwise"}:
            break
    return verdicts


async def examine_replica(settings: "Settings", database: "Database") -> str:
    async with database.read() as session:
        return await check_replica(settings, session)


async def report(name: str, check: Callable[[], Awaitable[str]]) -> Verdict:
    from app.cli.faults import explain

    verdict: Verdict
    try:
        verdict, text = "fit", await check()
    except CheckFailedError as error:
        verdict, text = "unfit", str(error)
    except CheckWarningError as error:
        verdict, text = "unwise", str(error)
    except NotCreatedYetError as error:
        verdict, text = "to be made", str(error)
    except Exception as error:
        lines = explain(error)
        if lines is None:
            raise
        verdict, text = "unfit", " ".join(lines)
    print_verdict(verdict, name, text)
    return verdict


def print_verdict(verdict: Verdict, name: str, text: str) -> None:
    mark, color = MARKS[verdict]
    typer.echo(f"{typer.style(mark, fg=color)} {name:<16}{text}")
