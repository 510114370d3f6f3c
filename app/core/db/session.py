"""Sessions that also run what is `Prepared`, straight on the driver's connection where they can."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Never

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from app.core.db.driver.pool import DriverPool, Loan
from app.core.db.errors import is_worth_repeating
from app.core.db.prepared import Prepared, Row
from app.core.db.read_only import require_read


async def fetch(session: AsyncSession, prepared: Prepared, **values: Any) -> list[Row]:
    """All rows of a statement, in the session's transaction where it has one."""
    prepared.check(values)
    if isinstance(session, DriverSession) and session.is_on_driver and not prepared.needs_orm_events:
        return await session.fetch(prepared, values)
    return prepared.rows((await session.execute(prepared.statement, values)).all())


class ReadSession(AsyncSession):
    """Statements that read, each by itself. Its engine refuses all others, and mypy what is for writing alone."""

    if TYPE_CHECKING:
        # What a `WriteSession` is for.
        def add(self, instance: Never, *, _warn: bool = True) -> None: ...  # type: ignore[override] # on purpose
        def add_all(self, instances: Never) -> None: ...  # type: ignore[override] # on purpose
        async def delete(self, instance: Never) -> None: ...  # type: ignore[override] # on purpose
        async def merge(self, instance: Never, **options: Any) -> Any: ...  # type: ignore[override] # on purpose


class WriteSession(AsyncSession):
    """A transaction."""


class DriverSession(AsyncSession):
    """SQLAlchemy's session on PostgreSQL, until it has done something itself; then all goes its way.

    Most never do: what SQLAlchemy needs for it is made when somebody asks for it.
    """

    sync_session: "SharedConnectionSession"

    def __init__(self, bind: Any, *, pool: DriverPool, **options: Any) -> None:  # SQLAlchemy's own comes later
        self.bind_given = bind
        self.pool = pool
        self.options = options
        self.may_use_driver = isinstance(bind, AsyncEngine)
        self.is_materialized = False
        # Called with this before it holds something that has to be ended.
        self.on_first_use: Callable[[DriverSession], None] | None = None

    def materialize(self) -> None:
        self.begin_use()
        self.is_materialized = True
        super().__init__(self.bind_given, **{"sync_session_class": SharedConnectionSession, **self.options})

    def begin_use(self) -> None:
        if self.on_first_use is not None:
            self.on_first_use(self)
            self.on_first_use = None

    def __getattr__(self, name: str) -> Any:
        if self.is_materialized or name.startswith("__"):
            raise AttributeError(name)
        self.materialize()
        return getattr(self, name)

    async def fetch(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        raise NotImplementedError

    @property
    def is_on_driver(self) -> bool:
        return self.may_use_driver

    @property
    def holds_connection(self) -> bool:
        return self.is_materialized and self.sync_session.in_transaction()

    async def __aexit__(self, *error: object) -> None:
        # SQLAlchemy's own takes a task, and more time than many a statement.
        if self.holds_connection:
            await super().__aexit__(*error)
        elif self.is_materialized and self.sync_session.is_connected:
            self.sync_session.close()  # there is nothing to wait for


class DriverReads(DriverSession, ReadSession):
    """Each statement by itself, on a connection that is given back at once; one whose connection is lost, once more."""

    has_repeated = False

    @property
    def is_on_driver(self) -> bool:
        # Whoever holds one connection must not wait for a second: those who do so may all wait for each other.
        return self.may_use_driver and not self.holds_connection

    async def fetch(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        require_read(self.pool.form(prepared).sql)
        loan = await self.pool.acquire()
        try:
            return await self.pool.fetch(loan, prepared, values)
        except DBAPIError as error:
            if self.has_repeated or not is_worth_repeating(error):
                raise
        finally:
            await self.pool.release(loan)
        self.has_repeated = True
        return await self.fetch(prepared, values)


class SharedConnectionSession(Session):
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
