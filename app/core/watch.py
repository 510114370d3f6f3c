"""Whether the connections of a pool are alive: those that died are found before they cost more than one request."""

import asyncio
import math
from typing import Any
from weakref import WeakSet

import asyncpg
import structlog
from sqlalchemy import Connection, ExceptionContext, PoolProxiedConnection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from app.core import clock
from app.core.connection import WatchedConnection
from app.core.database_errors import is_wrong_server, loses_connection

log = structlog.get_logger()

# One that has been idle for longer is asked whether it is alive; under load none is.
FRESH_SECONDS = 5
ASK_SECONDS = 1
# A statement that takes longer, to twice as long, makes the idle connections suspect.
LOOK_SECONDS = 1.5
# While the server stays read-only, it is found out again and again.
LOG_SECONDS = 10
# Which of these sessions PostgreSQL has answered, as far as it knows, and waits to hear from.
ANSWERED = """
SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1::int[]) AND usename = current_user AND datname = current_database()
AND state <> 'active' AND state_change < clock_timestamp() - interval '1 second'
"""


class Watch:
    """Over the connections of one engine, whoever has them.

    A connection that has died without a word (its host is gone, a firewall has forgotten it) is known by its silence
    alone, and so is a slow statement. An idle connection can be asked. Of one that has a statement to answer, the
    server tells on another connection whether it is still at work.
    """

    def __init__(self, engine: AsyncEngine, *, has_primary: bool = True, is_pooled: bool = False) -> None:
        self.engine = engine
        self.has_primary = has_primary
        # Behind a pooler nobody can tell which session of the server a connection has.
        self.is_pooled = is_pooled
        self.connections: WeakSet[WatchedConnection] = WeakSet()
        # What was owed at the last look.
        self.owed: dict[WatchedConnection, object] = {}
        self.left_at = -math.inf
        self.timer: asyncio.TimerHandle | None = None
        self.asking: asyncio.Task[None] | None = None
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
        self.look_later()

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

    def on_statement(self, connection: Connection, cursor: object, *_: Any) -> None:
        driver_of(connection.connection).owes = cursor

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
        log.warning("connections to the database gave no answer and were given up", count=dead + len(idle))

    def leave_server(self) -> None:
        """It is not the primary any more, or not yet: the next connections are to find the one that is."""
        wanted = [connection for connection in self.connections if not connection.is_unwanted]
        for connection in wanted:
            connection.is_unwanted = True
            if not connection.is_lent:
                connection.terminate()
        if clock.seconds() - self.left_at > LOG_SECONDS:
            self.left_at = clock.seconds()
            log.warning("the database is read-only: its connections are given up", count=len(wanted))

    def look_later(self) -> None:
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self.look)

    def look(self) -> None:
        """At what is lent, while something is."""
        self.timer = None
        lent = [connection for connection in self.connections if connection.is_lent and not connection.is_closed()]
        owed, self.owed = self.owed, {connection: connection.owes for connection in lent if connection.owes is not None}
        if lent:
            self.look_later()
        slow = {connection: owes for connection, owes in self.owed.items() if owed.get(connection) is owes}
        if slow:
            self.doubt()
            if not self.is_pooled and (self.asking is None or self.asking.done()):
                self.asking = asyncio.create_task(self.end_silent(slow), name="watch")

    async def end_silent(self, slow: dict[WatchedConnection, object]) -> None:
        """Close those of which the server thinks that it has answered; a slow statement goes on."""
        pids = {connection.get_server_pid(): connection for connection in slow}
        try:
            answered = [pids[pid] for pid in await self.ask_server(list(pids))]
        except (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return  # another look is to come
        dead = [connection for connection in answered if connection.owes is slow[connection]]
        for connection in dead:
            connection.terminate()
        if dead:
            self.drop_idle(len(dead))

    async def ask_server(self, pids: list[int]) -> list[int]:
        connection = await self.engine.raw_connection()
        try:
            assert connection.dbapi_connection is not None
            rows = await connection.driver_connection.fetch(ANSWERED, pids, timeout=ASK_SECONDS)  # type: ignore[union-attr]
        finally:
            connection.close()
        return [row["pid"] for row in rows]

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.asking is not None:
            self.asking.cancel()


def is_fresh(connection: WatchedConnection) -> bool:
    return clock.seconds() - connection.heard_at < FRESH_SECONDS and not connection.is_closed()


def driver_of(connection: Any) -> WatchedConnection:
    """`connection` is SQLAlchemy's, of the pool or adapted."""
    driver: WatchedConnection = connection.driver_connection
    return driver
