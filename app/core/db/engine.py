"""Engines and sessions: how Strata talks to PostgreSQL and SQLite, and what their errors mean."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import stamina
import structlog
from sqlalchemy import Connection, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.config.private_files import make_private_folder
from app.core.config.settings import Settings
from app.core.db.backend import Backend
from app.core.db.driver.backends import DriverReads, DriverTransaction
from app.core.db.driver.connection import WatchedConnection
from app.core.db.driver.lending_pool import LendingPool
from app.core.db.driver.pool import DriverPool
from app.core.db.driver.watch import Watch
from app.core.db.errors import Meaning, is_hopeless, meaning, replace_spoiled_connection
from app.core.db.fitness import check_fitness
from app.core.db.read_only import read_only
from app.core.db.session import ReadSession, WriteSession
from app.core.db.sqlite_files import database_path, make_database_file
from app.core.db.transaction import Transaction
from app.core.db.url.driver_arguments import driver_arguments
from app.core.db.url.postgresql_options import read_seconds

log = structlog.get_logger()

BEGIN = "strata_begin"
SQLITE_BUSY_TIMEOUT_MS = 30_000
# A standby says so too.
READ_ONLY = "SELECT current_setting('transaction_read_only')::bool"
IDLE_IN_TRANSACTION_SECONDS = 60


class Sessions[Kind: AsyncSession](async_sessionmaker[Kind]):
    """SQLAlchemy's own looks at each of its options each time."""

    def __init__(self, engine: AsyncEngine, kind: type[Kind], backend: Callable[[], Backend]) -> None:
        super().__init__(engine, class_=kind, expire_on_commit=False, backend=backend)

    def __call__(self, **options: Any) -> Kind:
        return self.class_(**self.kw, **options)


class Database:
    """The kinds of session on the engines of one process.

    `write` begins a transaction; `read` runs each statement by itself, on the replica where
    one is set; `primary` does so on the primary, for reads that must see the latest write.
    """

    def __init__(self, settings: Settings) -> None:
        self.engine = create_engine(settings.database, settings)
        replica = settings.read_database
        self.read_engine = create_engine(replica, settings) if replica else self.engine
        # Through PgBouncer a statement prepared by the driver might meet a server that does not know it.
        is_direct = self.engine.dialect.name == "postgresql" and not settings.db_pgbouncer
        is_direct &= settings.fast_path != "off"
        self.watch = watch_over(self.engine, settings)
        # A replica is read-only as it should be.
        self.read_watch = watch_over(self.read_engine, settings, has_primary=False) if replica else self.watch
        self.pool = DriverPool(self.engine, self.watch) if self.watch and is_direct else None
        has_own_pool = replica and self.pool
        read_pool = DriverPool(self.read_engine, self.read_watch) if has_own_pool and self.read_watch else self.pool
        reading, primary = (read_only(autocommitting(engine, settings)) for engine in (self.read_engine, self.engine))
        self.write = Sessions(
            self.engine, WriteSession, partial(DriverTransaction, self.pool) if self.pool else Backend
        )
        self.primary = Sessions(primary, ReadSession, partial(DriverReads, self.pool) if self.pool else Backend)
        self.read = Sessions(reading, ReadSession, partial(DriverReads, read_pool) if read_pool else Backend)

    def transaction(self) -> Transaction:
        """A session whose work is kept when it ends, unless an error ends it."""
        return Transaction(self.write())

    @asynccontextmanager
    async def savepoint(self, session: AsyncSession) -> AsyncIterator[None]:
        """What an error takes back within a transaction that goes on."""
        async with session.begin_nested():
            yield

    async def is_read_only(self, connection: AsyncConnection) -> bool:
        """Whether the primary takes no writes; then its connections are given up, to find the one that does."""
        if self.watch is None:
            return False
        is_read_only: bool = await connection.scalar(text(READ_ONLY)) or False
        if is_read_only:
            self.watch.leave_server()
        return is_read_only

    async def close(self) -> None:
        for watch in filter(None, (self.watch, self.read_watch)):
            watch.slow.close()
        await self.engine.dispose()
        await self.read_engine.dispose()


def watch_over(engine: AsyncEngine, settings: Settings, *, has_primary: bool = True) -> Watch | None:
    """SQLite has no connections that could be lost."""
    if engine.dialect.name != "postgresql":
        return None
    arguments = asyncpg_arguments(engine.url, settings)
    return Watch(engine, arguments, has_primary=has_primary, is_pooled=settings.db_pgbouncer)


def create_engine(url: URL, settings: Settings) -> AsyncEngine:
    """Make an engine that connects on first use."""
    if url.get_backend_name() == "sqlite":
        return create_sqlite_engine(url, settings)
    engine = create_async_engine(
        url.set(query={}),  # which the arguments have; the dialect would pass it on as it is
        echo=settings.db_echo,
        hide_parameters=not settings.db_echo,  # errors are logged; hashes and addresses are not
        poolclass=LendingPool,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_timeout=settings.db_pool_timeout,
        pool_recycle=settings.db_pool_recycle,
        pool_use_lifo=True,
        connect_args=asyncpg_arguments(url, settings),
    )
    event.listen(engine.sync_engine, "handle_error", replace_spoiled_connection)
    return engine


def asyncpg_arguments(url: URL, settings: Settings) -> dict[str, Any]:
    """What the URL's parameters say, and the settings where it says nothing."""
    named = driver_arguments(url)
    asked = named.pop("server_settings")
    seconds = (
        read_seconds(asked["statement_timeout"]) if "statement_timeout" in asked else settings.db_statement_timeout
    )
    arguments: dict[str, Any] = {
        "connection_class": WatchedConnection,
        "timeout": settings.db_connect_timeout,
        "command_timeout": seconds + 5 if seconds else None,
        "server_settings": {"application_name": "strata"},
    }
    if settings.db_pgbouncer:
        # A pooled transaction may meet another client's prepared statements: keep none, share no name.
        # PgBouncer refuses unknown start-up parameters, so only the client's own time-out applies.
        arguments["statement_cache_size"] = 0
        arguments["prepared_statement_cache_size"] = 0
        arguments["prepared_statement_name_func"] = lambda: f"__strata_{uuid4()}__"
        asked.pop("statement_timeout", None)
    else:
        # The last line: whatever holds a transaction and does nothing in it loses its connection.
        idle_timeout = max(settings.db_statement_timeout, IDLE_IN_TRANSACTION_SECONDS)
        arguments["server_settings"] |= {
            "statement_timeout": f"{settings.db_statement_timeout * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{idle_timeout * 1000:.0f}",
        }
    arguments["server_settings"] |= asked
    return arguments | named


def autocommitting(engine: AsyncEngine, settings: Settings) -> AsyncEngine:
    """The same pool, without BEGIN and ROLLBACK around each read."""
    if engine.dialect.name == "sqlite":
        # Not the driver's isolation level: resetting that would undo what `connect_sqlite` sets.
        return engine.execution_options(**{BEGIN: None})
    if settings.db_pgbouncer:
        # Outside a transaction PREPARE and EXECUTE could meet different servers.
        return engine
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def create_sqlite_engine(url: URL, settings: Settings) -> AsyncEngine:
    engine = create_async_engine(url, echo=settings.db_echo, hide_parameters=not settings.db_echo)
    event.listen(engine.sync_engine, "do_connect", lambda *_: make_database_file(url))
    event.listen(engine.sync_engine, "connect", connect_sqlite)
    event.listen(engine.sync_engine, "begin", begin_sqlite)
    event.listen(engine.sync_engine, "handle_error", replace_spoiled_connection)
    return engine


def connect_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver must not guess where transactions begin: `begin_sqlite` says so.
    connection.isolation_level = None
    # SQLite's own folds ASCII alone, and the search is to find "Äpfel" by "äpfel" as PostgreSQL does.
    connection.create_function("lower", 1, lower, deterministic=True)
    cursor = connection.cursor()
    # The time-out first: turning WAL on waits for other processes that do the same.
    for pragma in (f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}", "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once and queue; a read that turns into a write would fail as "locked"."""
    statement = connection.get_execution_options().get(BEGIN, "BEGIN IMMEDIATE")
    if statement is not None:
        connection.exec_driver_sql(statement)


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
        log.warning("the replica does not answer", error=type(error).__name__)
    finally:
        await engine.dispose()


def is_worth_retrying(error: Exception) -> bool:
    return meaning(error) is not Meaning.OUR_BUG and not is_hopeless(error)


def insert(session: AsyncSession, model: type[Any]) -> postgresql.Insert | sqlite.Insert:
    """INSERT with the database's own ON CONFLICT, which the two write alike."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return sqlite.insert(model) if is_sqlite else postgresql.insert(model)
