"""Sessions that also run what is `Prepared`, straight on the driver's connection where they can."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from app.core.driver import DriverPool, execute
from app.core.prepared import Prepared, Row

FOUND = "SELECT 1"


async def fetch(session: AsyncSession, prepared: Prepared, **values: Any) -> list[Row]:
    """All rows of a statement, in the session's transaction where it has one."""
    if isinstance(session, DriverSession) and session.is_on_driver and not prepared.is_heard:
        return await session.fetch(prepared, values)
    return prepared.rows((await session.execute(prepared.statement, values)).all())


class DriverSession(AsyncSession):
    """SQLAlchemy's session on PostgreSQL, until it has done something itself; then all goes its way.

    Most never do: what SQLAlchemy needs for it is made when somebody asks for it.
    """

    sync_session: "JoiningSession"

    def __init__(self, bind: Any, *, pool: DriverPool, **options: Any) -> None:  # SQLAlchemy's own comes later
        self.pool = pool
        self.may_use_driver = isinstance(bind, AsyncEngine)
        self.options = {"bind": bind, "sync_session_class": JoiningSession, **options}
        self.is_made = False

    def make(self) -> None:
        self.is_made = True
        super().__init__(**self.options)

    def __getattr__(self, name: str) -> Any:
        if self.is_made or name.startswith("__"):
            raise AttributeError(name)
        self.make()
        return getattr(self, name)

    async def fetch(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        raise NotImplementedError

    @property
    def is_on_driver(self) -> bool:
        return self.may_use_driver

    @property
    def holds_connection(self) -> bool:
        return self.is_made and self.sync_session.in_transaction()

    async def __aexit__(self, *error: object) -> None:
        # SQLAlchemy's own takes a task, and more time than many a statement.
        if self.holds_connection:
            await super().__aexit__(*error)
        elif self.is_made and self.sync_session.is_connected:
            self.sync_session.close()  # there is nothing to wait for


class DriverReads(DriverSession):
    """Each statement by itself, on a connection that is given back at once."""

    async def fetch(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        connection = await self.pool.take()
        try:
            return await self.pool.fetch(connection, prepared, values)
        finally:
            await self.pool.give_back(connection)


@dataclass(frozen=True, slots=True)
class Claim:
    """What has to be so for a transaction to do anything: as a condition with parameters, and as SQL without any.

    The SQL is a SELECT, free of what users have sent, that has to find one row.
    """

    condition: ColumnElement[bool]
    values: Mapping[str, Any]
    write_sql: Callable[[], str]


class ClaimError(Exception):
    """What a transaction claims is not so; nothing has been done in it."""


class DriverTransaction(DriverSession):
    """A transaction that the first of its prepared statements begins, and that SQLAlchemy joins when it is needed.

    BEGIN and COMMIT are then ours; SQLAlchemy, told that its connection commits by itself, sends neither. Where a
    single statement is all that there will be, PostgreSQL begins and commits by itself, with no round trips for that.
    """

    def __init__(self, bind: Any, **options: Any) -> None:
        super().__init__(bind, **options)
        self.connection_of_driver: PoolProxiedConnection | None = None
        # It costs no round trip of its own.
        self.find_claim: Callable[[], Claim | None] = lambda: None
        self.claimed: Claim | None = None
        # Whether the first statement that writes is the only one, and whether it has done so.
        self.is_single = False
        self.has_ended = False
        # As far as SQLAlchemy's events are concerned; the database hears of it with the first statement.
        self.is_begun = False

    def make(self) -> None:
        self.require_more()
        super().make()
        self.sync_session.connection_of_driver = self.connection_of_driver
        if self.is_begun:
            self.sync_session.begin()

    @property
    def holds_connection(self) -> bool:
        return self.connection_of_driver is not None or super().holds_connection

    @property
    def is_on_driver(self) -> bool:
        if not self.is_made:
            return super().is_on_driver
        session = self.sync_session
        # Savepoints are SQLAlchemy's.
        is_free = not session.is_connected and not session.in_nested_transaction()
        return is_free and super().is_on_driver

    def require_more(self) -> None:
        if self.has_ended:
            raise RuntimeError("a session for a single statement has written already; take SessionDep")

    async def fetch(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        connection = self.connection_of_driver
        if connection is None and self.is_single and not self.is_made:
            return await self.fetch_single(prepared, values)
        if connection is None:
            connection = await self.pool.take()
            self.hold(connection)
            await self.begin_on(connection)
        return await self.pool.fetch(connection, prepared, values)

    async def fetch_single(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        """Raises ClaimError if the claim does not hold."""
        self.require_more()
        claim = self.find_claim() if prepared.writes else None
        if claim is not None:
            prepared, values = prepared.provided(claim.condition), {**values, **claim.values}
        connection = await self.pool.take()
        try:
            rows = await self.pool.fetch(connection, prepared, values)
            # Nothing may have been found for another reason, but to insert.
            if not rows and claim is not None and (prepared.inserts or not await holds(connection, claim)):
                raise ClaimError
        finally:
            await self.pool.give_back(connection)
        if rows and prepared.writes:
            self.has_ended, self.claimed = True, claim
        return rows

    def hold(self, connection: PoolProxiedConnection | None) -> None:
        self.connection_of_driver = connection
        if self.is_made:
            self.sync_session.connection_of_driver = connection

    async def begin_on(self, connection: PoolProxiedConnection) -> None:
        """Raises ClaimError if the claim does not hold."""
        self.claimed = self.find_claim()
        if self.claimed is None:
            await execute(connection, "BEGIN")
        elif await execute(connection, f"BEGIN; {self.claimed.write_sql()}") != FOUND:
            raise ClaimError

    async def commit(self) -> None:
        connection = self.connection_of_driver
        if connection is None:
            if self.is_made:
                await super().commit()
            return
        if self.is_made and (self.sync_session.is_connected or self.sync_session.new):
            await self.flush()
        await execute(connection, "COMMIT")
        # Only now: what listens for it must see what has been committed.
        if self.is_made and self.sync_session.is_connected:
            await super().commit()
        elif self.is_made:
            self.sync_session.commit()  # there is nothing to wait for
        await self.give_back()

    async def rollback(self) -> None:
        connection = self.connection_of_driver
        if connection is None:
            if self.is_made:
                await super().rollback()
            return
        try:
            if connection.is_valid:  # else it was lost, and its transaction with it
                await execute(connection, "ROLLBACK")
        except BaseException as error:
            # Whatever it was, nobody knows what is still open on it; PostgreSQL ends a transaction with its connection.
            connection.invalidate()
            if not isinstance(error, DBAPIError | OSError):
                raise
        finally:
            if self.is_made:
                await super().rollback()
            await self.give_back()

    async def close(self) -> None:
        if self.connection_of_driver is not None:
            await self.rollback()
        if self.is_made:
            await super().close()

    async def give_back(self) -> None:
        connection = self.connection_of_driver
        assert connection is not None
        self.hold(None)
        await self.pool.give_back(connection)


class JoiningSession(Session):
    """What SQLAlchemy does in a `DriverSession`: on a connection of its own, or on the one that is there."""

    connection_of_driver: PoolProxiedConnection | None = None
    joined: Connection | None = None
    is_connected = False

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        bind = super().get_bind(*arguments, **options)
        self.is_connected = True
        if self.connection_of_driver is None or isinstance(bind, Connection):
            return bind
        if self.joined is None:
            engine = bind.execution_options(isolation_level="AUTOCOMMIT")
            self.joined = Connection(engine, connection=self.connection_of_driver)
        return self.joined


async def holds(connection: PoolProxiedConnection, claim: Claim) -> bool:
    return await execute(connection, claim.write_sql()) == FOUND


def expect_more(session: AsyncSession) -> None:
    """More than one statement is to come, or something that may take the first one back."""
    if isinstance(session, DriverTransaction):
        session.require_more()
        session.is_single = False
