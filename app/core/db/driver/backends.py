"""Sessions on the driver: their prepared statements run past SQLAlchemy's layers."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util import await_only

from app.core.db.backend import Backend
from app.core.db.caller_check import CallerChangedError, CallerCheck
from app.core.db.driver.pool import DriverPool, Loan
from app.core.db.errors import is_worth_repeating, mark_as_commit
from app.core.db.prepared import Prepared, Row

FOUND = "SELECT 1"


class DriverReads(Backend):
    """Each statement by itself, on a connection that is given back at once; one whose connection is lost, once more."""

    def __init__(self, pool: DriverPool) -> None:
        super().__init__()
        self.pool = pool

    async def fetch(self, session: AsyncSession, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        # Whoever holds one connection must not wait for a second: those who do so may all wait for each other.
        if session.in_transaction():
            return await super().fetch(session, prepared, values)
        try:
            return await self.pool.fetch_once(prepared, values, only_reads=True)
        except DBAPIError as error:
            if not is_worth_repeating(error):
                raise
        return await self.pool.fetch_once(prepared, values, only_reads=True)


class DriverTransaction(Backend):
    """A transaction on one of the driver's connections, which SQLAlchemy joins when it is needed.

    BEGIN, sent with the first statement, and COMMIT are ours; SQLAlchemy, told that the connection commits by itself,
    sends neither. A single statement PostgreSQL commits by itself, with no round trips for that.
    """

    def __init__(self, pool: DriverPool) -> None:
        super().__init__()
        self.pool = pool
        self.loan: Loan | None = None
        self.joined: Connection | None = None
        self.has_autocommitted = False

    @property
    def is_open(self) -> bool:  # type: ignore[override] # here it depends
        return self.loan is not None

    async def fetch(self, session: AsyncSession, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        # What SQLAlchemy has begun may have to be flushed first, and savepoints are its own.
        if session.in_transaction() or prepared.needs_orm_events:
            return await super().fetch(session, prepared, values)
        if self.autocommits and self.loan is None:
            return await self.fetch_single(prepared, values)
        return await self.pool.fetch(self.loan or await self.begin(), prepared, values)

    async def fetch_single(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        """Raises CallerChangedError if the check fails."""
        self.require_nothing_written()
        check = self.caller_check if prepared.writes else None
        if check is not None:
            prepared, values = prepared.provided(check.condition.expression), {**values, **check.values}
        try:
            rows = await self.pool.fetch_once(prepared, values)
            # Nothing may have been found for another reason, but to insert.
            if not rows and check is not None and (prepared.inserts or not await self.holds(check)):
                raise CallerChangedError
        except DBAPIError as error:
            if prepared.writes:
                mark_as_commit(error)
            raise
        self.has_autocommitted = bool(rows) and prepared.writes
        return rows

    def require_nothing_written(self) -> None:
        if self.has_autocommitted:
            raise RuntimeError("a session for a single statement has written already; take SessionDep")

    async def holds(self, check: CallerCheck) -> bool:
        return bool(await self.pool.fetch_once(check.condition.statement, check.values))

    def bind(self, engine: Engine) -> Connection:
        loan = self.loan or await_only(self.begin())
        if self.joined is None:
            autocommitting = engine.execution_options(isolation_level="AUTOCOMMIT")
            self.joined = Connection(autocommitting, connection=loan.connection)
        return self.joined

    async def begin(self) -> Loan:
        """Once more where the connection is lost by that: nothing has been done on it."""
        self.require_nothing_written()
        try:
            return await self.begin_on(await self.pool.acquire())
        except DBAPIError as error:
            if not is_worth_repeating(error):
                raise
        await self.release()
        return await self.begin_on(await self.pool.acquire())

    async def begin_on(self, loan: Loan) -> Loan:
        """Raises CallerChangedError if the check fails."""
        self.loan = loan
        self.checked_caller = check = self.caller_check
        if check is None:
            await loan.execute("BEGIN")
        elif await loan.execute(f"BEGIN; {check.sql(loan.dialect)}") != FOUND:
            raise CallerChangedError
        return loan

    async def commit(self) -> None:
        if self.loan is not None:
            await self.loan.execute("COMMIT")

    async def rollback(self) -> None:
        loan = self.loan
        if loan is None:
            return
        try:
            if loan.connection.is_valid:  # else it was lost, and its transaction with it
                await loan.execute("ROLLBACK")
        except BaseException as error:
            # Whatever it was, nobody knows what is still open on it; PostgreSQL ends a transaction with its connection.
            loan.invalidate()
            if not isinstance(error, DBAPIError | OSError):
                raise

    async def release(self) -> None:
        loan, self.loan, self.joined = self.loan, None, None
        if loan is not None:
            await self.pool.release(loan)
