"""Waiting for the database when a process starts."""

import stamina
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.config.private_files import make_private_folder
from app.core.config.settings import Settings
from app.core.db.engine import create_engine
from app.core.db.errors import Meaning, is_hopeless, meaning
from app.core.db.fitness import check_fitness
from app.core.db.sqlite_files import database_path

log = structlog.get_logger()


async def wait_for_database(engine: AsyncEngine, settings: Settings) -> None:
    """Connect once, trying again with growing pauses while the database comes up.

    The folder of an SQLite file is made where it is missing.

    Raises:
        OSError, SQLAlchemyError: the last failure, when the database stays out of reach.
        UnfitDatabaseError: if it is none that Strata can use.
    """
    if engine.dialect.name == "sqlite":
        make_private_folder(database_path(engine.url).parent)
    attempts = stamina.retry_context(
        on=is_worth_retrying,
        attempts=settings.db_retry_limit,
        timeout=None,
        wait_initial=settings.db_retry_interval,
        wait_max=max(settings.db_retry_interval, 10),
        wait_jitter=settings.db_retry_interval / 2,
    )
    async for attempt in attempts:
        if attempt.num > 1:
            log.warning("waiting for the database", attempt=attempt.num, of=settings.db_retry_limit)
        with attempt:
            async with engine.connect() as connection:
                await check_fitness(connection, settings.database)


async def check_replica(settings: Settings) -> None:
    """Look at the replica, if there is one. It may be away while a server starts, and come back.

    Raises:
        UnfitDatabaseError: if it is none that Strata can use.
    """
    if (url := settings.read_database) is None or url.get_backend_name() == "sqlite":
        return
    engine = create_engine(url, settings)
    try:
        async with engine.connect() as connection:
            await check_fitness(connection, url)
    except (OSError, SQLAlchemyError) as error:
        log.warning("the replica does not respond", error=type(error).__name__)
    finally:
        await engine.dispose()


def is_worth_retrying(error: Exception) -> bool:
    return meaning(error) is not Meaning.OUR_BUG and not is_hopeless(error)
