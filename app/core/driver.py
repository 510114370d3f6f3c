"""asyncpg's connections out of SQLAlchemy's pool, for statements that need none of its layers."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, cast

import asyncpg
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from app.core.prepared import Prepared, Row

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class DriverPool:
    """asyncpg's connections out of an engine's pool; as many at once as the pool keeps, so that it need not make more.

    Whoever finds none waits here, where waiting costs little, and not in a greenlet of SQLAlchemy's.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        pool: Any = engine.sync_engine.pool
        self.pool = pool
        self.places = asyncio.Semaphore(pool.size())

    async def take(self) -> PoolProxiedConnection:
        """A connection that is alive, as far as its socket knows.

        Raises:
            sqlalchemy.exc.TimeoutError: if none gets free in time.
            OSError, DBAPIError: if none can be made.
        """
        if self.places.locked():
            await self.wait()
        else:
            await self.places.acquire()  # at once
        try:
            while True:
                connection = await self.connect()
                if not driver_of(connection).is_closed():
                    return connection
                connection.invalidate()
        except BaseException:
            self.places.release()
            raise

    async def wait(self) -> None:
        try:
            async with asyncio.timeout(self.pool.timeout()):
                await self.places.acquire()
        except TimeoutError:
            raise PoolTimeoutError("no connection got free in time") from None

    async def connect(self) -> PoolProxiedConnection:
        try:
            return await self.engine.raw_connection()
        except ERRORS as error:
            raise wrapped(error, None, is_lost=True) from error

    async def give_back(self, connection: PoolProxiedConnection) -> None:
        self.places.release()
        if self.pool.checkedin() < self.pool.size():
            connection.close()
        else:
            # One too many, since SQLAlchemy has taken some itself: it is closed, which has to be awaited.
            await asyncio.shield(greenlet_spawn(connection.close))

    async def fetch(
        self, connection: PoolProxiedConnection, prepared: Prepared, values: Mapping[str, Any]
    ) -> list[Row]:
        form = prepared.for_driver(self.engine.dialect)
        answer = driver_of(connection).fetch(form.sql, *form.arguments(values))
        return prepared.driver_rows(await answered(connection, form.sql, answer), form.results)


async def execute(connection: PoolProxiedConnection, sql: str) -> str:
    """Run SQL without parameters; return what PostgreSQL says of the last statement, as in `SELECT 1`."""
    return cast(str, await answered(connection, sql, driver_of(connection).execute(sql)))


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
        raise wrapped(error, sql, is_lost=is_lost) from error


def wrapped(error: Exception, sql: str | None, *, is_lost: bool) -> DBAPIError:
    kind = IntegrityError if isinstance(error, asyncpg.IntegrityConstraintViolationError) else OperationalError
    return kind(sql, None, error, hide_parameters=True, connection_invalidated=is_lost)
