"""The one place that commits."""

from types import TracebackType

from app.core.db.caller_check import CallerChangedError
from app.core.db.session import WriteSession, fetch
from app.core.errors import AppError


class Transaction:
    """Commits what a session did; an error takes it back unless it says that it keeps its changes."""

    def __init__(self, session: WriteSession) -> None:
        self.session = session

    async def __aenter__(self) -> WriteSession:
        return self.session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raises CallerChangedError: nothing has been done."""
        is_kept = error is None or (isinstance(error, AppError) and error.keeps_changes)
        try:
            if is_kept and self.session.is_open:
                await require_same_caller(self.session)
                await commit(self.session)
        finally:
            await self.session.__aexit__(kind, error, traceback)


async def require_same_caller(session: WriteSession) -> None:
    """Ask before COMMIT what has not been asked with BEGIN."""
    check = session.backend.caller_check
    if check is None or check is session.backend.checked_caller:
        return
    if not await fetch(session, check.condition.statement, **check.values):
        raise CallerChangedError


async def commit(session: WriteSession) -> None:
    try:
        await session.commit()
    except BaseException:
        # SQLAlchemy takes a COMMIT that failed for the end of the transaction; SQLite does not.
        await session.rollback()
        raise
