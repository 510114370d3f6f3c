"""asyncpg's connections out of SQLAlchemy's pool, for statements that need none of its layers."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

import asyncpg
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import greenlet_spawn

from app.core import clock
from app.core.database_errors import Meaning, meaning
from app.core.places import Places
from app.core.plans import forget_plans
from app.core.prepared import Prepared, Row

# SQLAlchemy looks after the age of its connections when they are given to it.
LOAN_SECONDS = 60
TAKEN_AT = "strata_taken_at"
ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class LendingPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool, with connections on loan to a `DriverPool`; whoever else needs one gets it back from there."""

    # Which SQLAlchemy's own pools log to, and which is quiet.
    _sqla_logger_namespace = "sqlalchemy.pool.LendingPool"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The last one first: those that are not needed get old.
        self.idle: list[PoolProxiedConnection] = []
        self.wanted = 0

    def _do_get(self) -> Any:
        if self.idle and not super().checkedin():
            self.idle.pop().close()
        # Whoever waits here does not see what gets idle: it has to come back to the pool.
        self.wanted += 1
        try:
            return super()._do_get()
        finally:
            self.wanted -= 1

    def checkedin(self) -> int:
        return super().checkedin() + len(self.idle)

    def checkedout(self) -> int:
        return super().checkedout() - len(self.idle)

    def dispose(self) -> None:
        while self.idle:
            self.idle.pop().close()
        super().dispose()


class DriverPool:
    """asyncpg's connections out of an engine's pool; as many at once as the pool keeps, so that it need not make more.

    To take one from SQLAlchemy and to give it back each time would cost more than many a statement: a free one stays
    here for a while. Whoever finds none waits here, where waiting costs little, and not in a greenlet of SQLAlchemy's.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.places = Places(self.pool.size())

    @property
    def pool(self) -> LendingPool:
        """The engine has another one after it was disposed of."""
        pool: LendingPool = self.engine.sync_engine.pool  # type: ignore[assignment] # `create_engine` says so
        return pool

    async def take(self) -> PoolProxiedConnection:
        """A connection that is alive, as far as its socket knows.

        Raises:
            sqlalchemy.exc.TimeoutError: if none gets free in time.
            OSError, DBAPIError: if none can be made.
        """
        pool = self.pool
        try:
            await self.places.take(pool.timeout())
        except TimeoutError:
            raise PoolTimeoutError("no connection got free in time") from None
        try:
            while True:
                connection = pool.idle.pop() if pool.idle else await self.connect()
                if not driver_of(connection).is_closed():
                    return connection
                connection.invalidate()
        except BaseException:
            self.places.give_back()
            raise

    async def connect(self) -> PoolProxiedConnection:
        try:
            connection = await self.engine.raw_connection()
        # SQLAlchemy has its own form of them here, which it wraps where it connects for itself.
        except (*ERRORS, self.engine.dialect.loaded_dbapi.Error) as error:
            raise wrapped(error, None, is_lost=True) from error
        connection.info[TAKEN_AT] = clock.seconds()
        return connection

    async def give_back(self, connection: PoolProxiedConnection) -> None:
        self.places.give_back()
        pool = self.pool
        is_young = connection.is_valid and clock.seconds() - connection.info[TAKEN_AT] < LOAN_SECONDS
        if is_young and not pool.wanted:
            pool.idle.append(connection)
        elif pool.checkedin() < pool.size():
            connection.close()
        else:
            # One too many, since SQLAlchemy has taken some itself: it is closed, which has to be awaited.
            await asyncio.shield(greenlet_spawn(connection.close))

    async def fetch(
        self, connection: PoolProxiedConnection, prepared: Prepared, values: Mapping[str, Any]
    ) -> list[Row]:
        form = prepared.for_driver(self.engine.dialect, asyncpg.Record)
        answer = driver_of(connection).fetch(form.sql, *form.arguments(values), record_class=form.row)
        return prepared.driver_rows(await answered(connection, form.sql, answer), form.results)


async def execute(connection: PoolProxiedConnection, sql: str) -> str:
    """Run SQL without parameters; return what PostgreSQL says of the last statement, as in `SELECT 1`."""
    said: str = await answered(connection, sql, driver_of(connection).execute(sql))
    return said


def driver_of(connection: PoolProxiedConnection) -> Any:
    return connection.driver_connection


async def answered[T](connection: PoolProxiedConnection, sql: str, answer: Awaitable[T]) -> T:
    """What the driver says, its errors in the form that SQLAlchemy gives them."""
    try:
        return await answer
    except ERRORS as error:
        is_lost = driver_of(connection).is_closed()
        if is_lost:
            connection.invalidate()
        elif meaning(error) is Meaning.PLAN_AGAIN:
            await forget_plans(connection)
        raise wrapped(error, sql, is_lost=is_lost) from error


def wrapped(error: Exception, sql: str | None, *, is_lost: bool) -> DBAPIError:
    kind = IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else OperationalError
    return kind(sql, None, error, hide_parameters=True, connection_invalidated=is_lost)
