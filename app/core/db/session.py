"""Sessions that also run what is `Prepared`, straight on the driver's connection where they can."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from app.core.db.driver.pool import DriverPool, Loan
from app.core.db.errors import is_worth_repeating
from app.core.db.prepared import Prepared, Row


async def fetch(session: AsyncSession, prepared: Prepared, **values: Any) -> list[Row]:
    """All rows of a statement, in the session's transaction where it has one."""
    prepared.check(values)
    if isinstance(session, DriverSession) and session.is_on_driver and not prepared.needs_orm_events:
        return await session.fetch(prepared, values)
    return prepared.rows((await session.execute(prepared.statement, values)).all())


class ReadSession(AsyncSession):
    """Statements that read, each by itself."""


class WriteSession(AsyncSession):
    """A transaction."""


class DriverSession(AsyncSession):
    """SQLAlchemy's session on PostgreSQL, until it has done something itself; then all goes its way.

    Most never do: what SQLAlchemy needs for it is made when somebody asks for it.
    """

    sync_session: "JoiningSession"

    def __init__(self, bind: Any, *, pool: DriverPool, **options: Any) -> None:  # SQLAlchemy's own comes later
        self.bind_given = bind
        self.pool = pool
        self.options = options
        self.may_use_driver = isinstance(bind, AsyncEngine)
        self.is_made = False
        # Called with this before it holds something that has to be ended.
        self.before_holding: Callable[[DriverSession], None] | None = None

    def make(self) -> None:
        self.prepare_to_hold()
        self.is_made = True
        super().__init__(self.bind_given, **{"sync_session_class": JoiningSession, **self.options})

    def prepare_to_hold(self) -> None:
        if self.before_holding is not None:
            self.before_holding(self)
            self.before_holding = None

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


class DriverReads(DriverSession, ReadSession):
    """Each statement by itself, on a connection that is given back at once; one whose connection is lost, once more."""

    has_repeated = False

    @property
    def is_on_driver(self) -> bool:
        # Whoever holds one connection must not wait for a second: those who do so may all wait for each other.
        return self.may_use_driver and not self.holds_connection

    async def fetch(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        loan = await self.pool.take()
        try:
            return await self.pool.fetch(loan, prepared, values)
        except DBAPIError as error:
            if self.has_repeated or not is_worth_repeating(error):
                raise
        finally:
            await self.pool.give_back(loan)
        self.has_repeated = True
        return await self.fetch(prepared, values)


class JoiningSession(Session):
    """What SQLAlchemy does in a `DriverSession`: on a connection of its own, or on the one that is there."""

    loan: Loan | None = None
    joined: Connection | None = None
    is_connected = False

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        bind = super().get_bind(*arguments, **options)
        self.is_connected = True
        if self.loan is None or isinstance(bind, Connection):
            return bind
        if self.joined is None:
            engine = bind.execution_options(isolation_level="AUTOCOMMIT")
            self.joined = Connection(engine, connection=self.loan.connection)
        return self.joined
