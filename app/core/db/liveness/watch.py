"""Whether the connections of a pool are alive: those that died are found before they cost more than one request."""

import math
from typing import Any
from weakref import WeakSet

import asyncpg
import structlog
from sqlalchemy import Connection, ExceptionContext, PoolProxiedConnection, event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExecutionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from app.core import clock
from app.core.db.errors import is_wrong_server, loses_connection
from app.core.db.liveness.connection import WatchedConnection
from app.core.db.liveness.slow_statements import SlowStatements

log = structlog.get_logger()

# One that has been idle for longer is asked whether it is alive; under load none is.
FRESH_SECONDS = 5
ASK_SECONDS = 2
# While the server stays read-only, it is found out again and again.
LOG_SECONDS = 10


class Watch:
    """Over the connections of one engine, whoever has them.

    A connection that has died without a word (its host is gone, a firewall has forgotten it) is known by its silence
    alone. An idle one is asked before it is used; of those that have a statement to answer see `SlowStatements`.
    """

    def __init__(
        self, engine: AsyncEngine, arguments: dict[str, Any], *, has_primary: bool = True, is_pooled: bool = False
    ) -> None:
        """`arguments` are what the driver connects with, beside the engine's URL."""
        self.engine = engine
        self.arguments = arguments
        self.has_primary = has_primary
        self.connections: WeakSet[WatchedConnection] = WeakSet()
        self.left_at = -math.inf
        self.slow = SlowStatements(self, is_pooled=is_pooled)
        for name, listener in (
            ("connect", self.on_connect),
            ("checkout", self.on_checkout),
            ("checkin", self.on_checkin),
            ("invalidate", self.on_invalidate),
            ("before_cursor_execute", self.on_statement),
            ("after_cursor_execute", self.on_answer),
            ("handle_error", self.on_error),
        ):
            event.listen(engine.sync_engine, name, listener)

    def on_connect(self, connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        self.connections.add(driver_of(connection))

    def on_checkout(self, connection: DBAPIConnection, _: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
        driver = driver_of(connection)
        # SQLAlchemy does what awaits in a greenlet.
        if not is_fresh(driver) and not connection.run_async(self.answers):
            raise DisconnectionError
        driver.is_lent = True
        if self.slow.timer is None:
            self.slow.look_later()

    def on_checkin(self, connection: DBAPIConnection | None, _: ConnectionPoolEntry) -> None:
        if connection is None:
            return
        driver = driver_of(connection)
        if driver.is_lent:  # a `DriverPool` may have had it back long ago
            driver.is_lent, driver.heard_at = False, clock.seconds()
        if driver.is_unwanted:
            driver.terminate()

    def on_invalidate(self, connection: DBAPIConnection, *_: Any) -> None:
        driver_of(connection).is_unwanted = True

    def on_statement(
        self, connection: Connection, _: object, __: str, ___: object, context: ExecutionContext, ____: bool
    ) -> None:
        driver_of(connection.connection).owes = context

    def on_answer(self, connection: Connection, *_: Any) -> None:
        driver_of(connection.connection).owes = None

    def on_error(self, context: ExceptionContext) -> None:
        # SQLAlchemy would give up all connections because of one.
        context.invalidate_pool_on_disconnect = False
        connection = context.connection
        if connection is not None and not connection.invalidated and not connection.closed:
            driver = driver_of(connection.connection)
            driver.owes = None
            if driver.is_closed():
                context.is_disconnect = True
        if self.is_lost(context.original_exception):
            context.is_disconnect = True

    def is_lost(self, error: BaseException) -> bool:
        """Whether an error is the end of its connection; what it says of the others is done to them."""
        if is_wrong_server(error) and self.has_primary:
            self.leave_server()
            return True
        if loses_connection(error):
            self.doubt()
            return True
        return False

    async def answers(self, connection: WatchedConnection) -> bool:
        """Whether a connection that nobody uses is alive; it is closed if not."""
        if connection.is_closed() or connection.is_unwanted:
            connection.terminate()
            return False
        try:
            await connection.execute("SELECT 1", timeout=ASK_SECONDS)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            connection.terminate()
            if isinstance(error, TimeoutError):
                self.drop_idle(1)
            return False
        return True

    def doubt(self) -> None:
        """Ask the idle connections before they are used."""
        for connection in self.connections:
            if not connection.is_lent:
                connection.heard_at = -math.inf

    def drop_idle(self, dead: int) -> None:
        """Others have died without a word: it would cost more to ask these than to do without them."""
        idle = [connection for connection in self.connections if not connection.is_lent and not connection.is_closed()]
        for connection in idle:
            connection.terminate()
        log.warning("database connections did not respond and were closed", count=dead + len(idle))

    async def forget_plans(self) -> None:
        """asyncpg does so for the one connection where it has failed; each of the others would fail once as well.

        SQLAlchemy does the same for what it prepares itself.
        """
        for connection in [*self.connections]:
            if not connection.is_closed():
                await connection.reload_schema_state()

    def leave_server(self) -> None:
        """It is not the primary any more, or not yet: the next connections are to find the one that is."""
        wanted = [connection for connection in self.connections if not connection.is_unwanted]
        for connection in wanted:
            connection.is_unwanted = True
            if not connection.is_lent:
                connection.terminate()
        if clock.seconds() - self.left_at > LOG_SECONDS:
            self.left_at = clock.seconds()
            log.warning("the database is read-only: its connections are closed", count=len(wanted))


def is_fresh(connection: WatchedConnection) -> bool:
    return clock.seconds() - connection.heard_at < FRESH_SECONDS and not connection.is_closed()


def driver_of(connection: Any) -> WatchedConnection:
    """`connection` is SQLAlchemy's, of the pool or adapted."""
    driver: WatchedConnection = connection.driver_connection
    return driver
