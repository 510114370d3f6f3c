"""asyncpg's connections out of SQLAlchemy's pool, for statements that need none of its layers."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

import asyncpg
from sqlalchemy import Dialect, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from app.core import clock
from app.core.db.driver.lending_pool import LendingPool
from app.core.db.errors import Meaning, meaning
from app.core.db.liveness.watch import FRESH_SECONDS, Watch, driver_of
from app.core.db.prepared import Prepared, Row
from app.core.db.read_only import ReadOnlySessionError

# SQLAlchemy looks after the age of its connections when they are given to it.
LOAN_SECONDS = 60
ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Loan:
    """A connection of SQLAlchemy's pool while a `DriverPool` has it."""

    __slots__ = ("connection", "driver", "pool", "taken_at")

    def __init__(self, pool: "DriverPool", connection: PoolProxiedConnection) -> None:
        self.pool = pool
        self.connection = connection
        self.driver = driver_of(connection)
        self.taken_at = clock.seconds()

    @property
    def dialect(self) -> Dialect:
        return self.pool.engine.dialect

    async def execute(self, sql: str) -> str:
        """Run SQL without parameters; return what PostgreSQL says of the last statement, as in `SELECT 1`."""
        said: str = await self.translating_errors(sql, self.driver.execute(sql))
        return said

    async def translating_errors[T](self, sql: str, answer: Awaitable[T]) -> T:
        """What the driver says, its errors in the form that SQLAlchemy gives them."""
        driver = self.driver
        driver.owes = answer
        try:
            return await answer
        except (*ERRORS, OSError) as error:
            if meaning(error) is Meaning.PLAN_AGAIN:
                await self.pool.watch.forget_plans()
            raise self.to_dbapi_error(error, sql) from error
        finally:
            driver.owes = None

    def to_dbapi_error(self, error: Exception, sql: str) -> DBAPIError:
        is_lost = self.pool.watch.is_lost(error) or self.driver.is_closed()
        if is_lost:
            self.invalidate()
        return to_dbapi_error(error, sql, is_lost=is_lost)

    def invalidate(self) -> None:
        if self.connection.is_valid:  # else SQLAlchemy has done so
            self.connection.invalidate()


class DriverPool:
    """asyncpg's connections out of an engine's pool; as many at once as the pool keeps, so that it need not make more.

    To take one from SQLAlchemy and to give it back each time would cost more than many a statement: a free one stays
    here for a while. Whoever finds none waits here, where waiting costs little, and not in a greenlet of SQLAlchemy's.
    """

    def __init__(self, engine: AsyncEngine, watch: Watch) -> None:
        self.engine = engine
        self.watch = watch
        self.slow = watch.slow
        self.semaphore = asyncio.Semaphore(self.pool.size())

    @property
    def pool(self) -> LendingPool:
        """The engine has another one after it was disposed of."""
        pool: LendingPool = self.engine.sync_engine.pool  # type: ignore[assignment] # `create_engine` says so
        return pool

    async def acquire(self) -> Loan:
        """A connection that is alive: it was used a moment ago, or has been asked.

        Raises:
            sqlalchemy.exc.TimeoutError: if none gets free in time.
            OSError, DBAPIError: if none can be made.
        """
        pool = self.pool
        try:
            if self.semaphore.locked():
                async with asyncio.timeout(pool.timeout()):
                    await self.semaphore.acquire()
            else:
                await self.semaphore.acquire()  # at once: it needs no timer, which costs more
        except TimeoutError:
            raise PoolTimeoutError("no connection got free in time") from None
        try:
            while True:
                loan = pool.idle.pop() if pool.idle else await self.connect()
                driver = loan.driver
                driver.is_lent = True
                is_fresh = clock.seconds() - driver.heard_at < FRESH_SECONDS and not driver.is_closed()
                if is_fresh or await self.asked(loan):
                    if self.slow.timer is None:
                        self.slow.look_later()
                    return loan
        except BaseException:
            self.semaphore.release()
            raise

    async def asked(self, loan: Loan) -> bool:
        is_alive = False
        try:
            is_alive = await self.watch.answers(loan.driver)
        finally:
            if not is_alive:
                loan.invalidate()
        return is_alive

    async def connect(self) -> Loan:
        try:
            connection = await self.engine.raw_connection()
        # SQLAlchemy has its own form of them here, which it wraps where it connects for itself.
        except (*ERRORS, self.engine.dialect.loaded_dbapi.Error) as error:
            self.watch.is_lost(error)
            raise to_dbapi_error(error, None, is_lost=True) from error
        return Loan(self, connection)

    async def release(self, loan: Loan) -> None:
        self.semaphore.release()
        pool, driver = self.pool, loan.driver
        if driver.is_unwanted:
            loan.invalidate()
            return
        driver.is_lent = False
        driver.heard_at = now = clock.seconds()
        if now - loan.taken_at < LOAN_SECONDS and not pool.wanted:
            pool.idle.append(loan)
        elif pool.checkedin() < pool.size():
            loan.connection.close()
        else:
            # One too many, since SQLAlchemy has taken some itself: it is closed, which has to be awaited.
            await asyncio.shield(greenlet_spawn(loan.connection.close))

    async def fetch(
        self, loan: Loan, prepared: Prepared, values: Mapping[str, Any], *, only_reads: bool = False
    ) -> list[Row]:
        form = prepared.for_driver(self.engine.dialect, asyncpg.Record)
        if only_reads and not form.is_read:
            raise ReadOnlySessionError
        answer = loan.driver.fetch(form.sql, *form.arguments(values), record_class=form.row)
        return prepared.driver_rows(await loan.translating_errors(form.sql, answer), form.results)

    async def fetch_once(self, prepared: Prepared, values: Mapping[str, Any], *, only_reads: bool = False) -> list[Row]:
        """On a connection that is given back at once."""
        loan = await self.acquire()
        try:
            return await self.fetch(loan, prepared, values, only_reads=only_reads)
        finally:
            await self.release(loan)


def to_dbapi_error(error: Exception, sql: str | None, *, is_lost: bool) -> DBAPIError:
    kind = IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else OperationalError
    return kind(sql, None, error, hide_parameters=True, connection_invalidated=is_lost)
