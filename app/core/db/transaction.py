"""Transactions: where they begin and end."""

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.caller_check import CallerChangedError, CallerCheck
from app.core.db.driver.pool import Loan
from app.core.db.errors import is_worth_repeating, mark_as_commit
from app.core.db.prepared import Prepared, Row
from app.core.db.session import DriverSession, WriteSession
from app.core.errors import AppError

FOUND = "SELECT 1"


class DriverTransaction(DriverSession, WriteSession):
    """A transaction that the first of its prepared statements begins, and that SQLAlchemy joins when it is needed.

    BEGIN and COMMIT are then ours; SQLAlchemy, told that its connection commits by itself, sends neither. Where a
    single statement is all that there will be, PostgreSQL begins and commits by itself, with no round trips for that.
    """

    def __init__(self, bind: Any, **options: Any) -> None:
        super().__init__(bind, **options)
        self.loan: Loan | None = None
        # It costs no round trip of its own.
        self.find_caller_check: Callable[[], CallerCheck | None] = no_caller_check
        self.checked_caller: CallerCheck | None = None
        # Whether the first statement that writes is the only one, and whether it has done so.
        self.autocommits = False
        self.has_ended = False
        # As far as SQLAlchemy's events are concerned; the database hears of it with the first statement.
        self.is_begun = False

    def materialize(self) -> None:
        self.require_more()
        super().materialize()
        self.sync_session.loan = self.loan
        if self.is_begun:
            self.sync_session.begin()

    @property
    def holds_connection(self) -> bool:
        return self.loan is not None or super().holds_connection

    @property
    def is_on_driver(self) -> bool:
        if not self.is_materialized:
            return super().is_on_driver
        session = self.sync_session
        # Savepoints are SQLAlchemy's.
        is_free = not session.is_connected and not session.in_nested_transaction()
        return is_free and super().is_on_driver

    def require_more(self) -> None:
        if self.has_ended:
            raise RuntimeError("a session for a single statement has written already; take SessionDep")

    async def fetch(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        loan = self.loan
        if loan is None:
            if self.autocommits and not self.is_materialized:
                return await self.fetch_single(prepared, values)
            self.begin_use()
            loan = await self.begin_loan()
        return await self.pool.fetch(loan, prepared, values)

    async def fetch_single(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        """Raises CallerChangedError if the claim does not hold."""
        self.require_more()
        claim = self.find_caller_check() if prepared.writes else None
        if claim is not None:
            prepared, values = prepared.provided(claim.condition.expression), {**values, **claim.values}
        loan = await self.pool.acquire()
        try:
            rows = await self.pool.fetch(loan, prepared, values)
            # Nothing may have been found for another reason, but to insert.
            if not rows and claim is not None and (prepared.inserts or not await holds(loan, claim)):
                raise CallerChangedError
        except DBAPIError as error:
            if prepared.writes:
                mark_as_commit(error)
            raise
        finally:
            await self.pool.release(loan)
        if rows and prepared.writes:
            self.has_ended, self.checked_caller = True, claim
        return rows

    def hold(self, loan: Loan | None) -> None:
        self.loan = loan
        if self.is_materialized:
            self.sync_session.loan = loan

    async def begin_loan(self) -> Loan:
        """Once more where the connection is lost by that: nothing has been done on it."""
        loan = await self.acquire()
        try:
            await self.begin_on(loan)
        except DBAPIError as error:
            if not is_worth_repeating(error):
                raise
            await self.release()
            loan = await self.acquire()
            await self.begin_on(loan)
        return loan

    async def acquire(self) -> Loan:
        loan = await self.pool.acquire()
        self.hold(loan)
        return loan

    async def begin_on(self, loan: Loan) -> None:
        """Raises CallerChangedError if the claim does not hold."""
        self.checked_caller = self.find_caller_check()
        if self.checked_caller is None:
            await loan.execute("BEGIN")
        elif await loan.execute(f"BEGIN; {self.checked_caller.sql(loan.dialect)}") != FOUND:
            raise CallerChangedError

    async def commit(self) -> None:
        loan = self.loan
        if loan is None:
            if self.is_materialized:
                await super().commit()
            return
        if self.is_materialized and (self.sync_session.is_connected or self.sync_session.new):
            await self.flush()
        await loan.execute("COMMIT")
        # Only now: what listens for it must see what has been committed.
        if self.is_materialized and self.sync_session.is_connected:
            await super().commit()
        elif self.is_materialized:
            self.sync_session.commit()  # there is nothing to wait for
        await self.release()

    async def rollback(self) -> None:
        loan = self.loan
        if loan is None:
            if self.is_materialized:
                await super().rollback()
            return
        try:
            if loan.connection.is_valid:  # else it was lost, and its transaction with it
                await loan.execute("ROLLBACK")
        except BaseException as error:
            # Whatever it was, nobody knows what is still open on it; PostgreSQL ends a transaction with its connection.
            loan.invalidate()
            if not isinstance(error, DBAPIError | OSError):
                raise
        finally:
            if self.is_materialized:
                await super().rollback()
            await self.release()

    async def close(self) -> None:
        if self.loan is not None:
            await self.rollback()
        if self.is_materialized:
            await super().close()

    async def release(self) -> None:
        loan = self.loan
        assert loan is not None
        self.hold(None)
        await self.pool.release(loan)


class Transaction:
    """The one place that commits what a session did; an error takes it back unless it says that it keeps its changes.

    `before_commit` may still raise what takes it back.
    """

    def __init__(self, session: WriteSession, before_commit: Callable[[], Awaitable[None]] | None = None) -> None:
        self.session = session
        self.before_commit = before_commit

    async def __aenter__(self) -> WriteSession:
        if isinstance(self.session, DriverTransaction):
            self.session.is_begun = True
        else:
            self.session.sync_session.begin()
        return self.session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None or (isinstance(error, AppError) and error.keeps_changes):
                await self.commit()
        finally:
            await self.session.__aexit__(kind, error, traceback)

    async def commit(self) -> None:
        if self.before_commit is not None:
            await self.before_commit()
        try:
            await self.session.commit()
        except BaseException:
            # SQLAlchemy takes a COMMIT that failed for the end of the transaction; SQLite does not.
            await self.session.rollback()
            raise


def no_caller_check() -> None:
    return None


async def holds(loan: Loan, claim: CallerCheck) -> bool:
    return await loan.execute(claim.sql(loan.dialect)) == FOUND


def require_transaction(session: AsyncSession) -> None:
    """More than one statement is to come, or something that may take the first one back."""
    if isinstance(session, DriverTransaction):
        session.require_more()
        session.autocommits = False
