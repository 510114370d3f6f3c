"""Engines and sessions: how Strata talks to PostgreSQL and SQLite."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from app.core.config.settings import Settings
from app.core.db import postgresql, sqlite
from app.core.db.backend import Backend
from app.core.db.driver.backends import DriverReads, DriverTransaction
from app.core.db.driver.pool import DriverPool
from app.core.db.liveness.watch import Watch
from app.core.db.read_only import read_only
from app.core.db.session import ReadSession, WriteSession
from app.core.db.transaction import Transaction

# A standby says so too.
READ_ONLY = "SELECT current_setting('transaction_read_only')::bool"


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
        self.watch = watch_over(self.engine, settings)
        # A replica is read-only as it should be.
        self.read_watch = watch_over(self.read_engine, settings, has_primary=False) if replica else self.watch
        self.pool = driver_pool(self.engine, self.watch, settings)
        read_pool = driver_pool(self.read_engine, self.read_watch, settings) if replica else self.pool
        reading, primary = (read_only(autocommitting(engine, settings)) for engine in (self.read_engine, self.engine))
        write = partial(DriverTransaction, self.pool) if self.pool else Backend
        self.write = Sessions(self.engine, WriteSession, write)
        self.primary = Sessions(primary, ReadSession, reads(self.pool))
        self.read = Sessions(reading, ReadSession, reads(read_pool))

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


def create_engine(url: URL, settings: Settings) -> AsyncEngine:
    """Make an engine that connects on first use."""
    is_sqlite = url.get_backend_name() == "sqlite"
    return sqlite.create_engine(url, settings) if is_sqlite else postgresql.create_engine(url, settings)


def autocommitting(engine: AsyncEngine, settings: Settings) -> AsyncEngine:
    """The same pool, without BEGIN and ROLLBACK around each read."""
    is_sqlite = engine.dialect.name == "sqlite"
    return sqlite.autocommitting(engine) if is_sqlite else postgresql.autocommitting(engine, settings)


def watch_over(engine: AsyncEngine, settings: Settings, *, has_primary: bool = True) -> Watch | None:
    """SQLite has no connections that could be lost."""
    is_sqlite = engine.dialect.name == "sqlite"
    return None if is_sqlite else postgresql.watch_over(engine, settings, has_primary=has_primary)


def driver_pool(engine: AsyncEngine, watch: Watch | None, settings: Settings) -> DriverPool | None:
    """None where SQLAlchemy runs all statements: through PgBouncer one that the driver prepared might meet a server
    that does not know it.
    """
    is_direct = not settings.db_pgbouncer and settings.fast_path != "off"
    return DriverPool(engine, watch) if watch is not None and is_direct else None


def reads(pool: DriverPool | None) -> Callable[[], Backend]:
    """One for all sessions: it holds nothing of theirs."""
    backend = DriverReads(pool) if pool else Backend()
    return lambda: backend
