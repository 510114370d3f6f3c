"""Readiness of the database, checked at most once a second."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core import clock
from app.core.db.engine import Database
from app.core.db.errors import code_name, is_connection_failure
from app.core.db.migrations import database_revision
from app.core.db.retry import retried
from app.core.errors import DatabaseUnavailableError, UnavailableError

log = structlog.get_logger()

MAX_AGE = timedelta(seconds=1)
READ_ONLY = "The database takes no writes at the moment."


class Readiness:
    """Cached, since probes are not rate-limited, and each check takes a connection and a query."""

    def __init__(self, database: Database, migration_head: str | None) -> None:
        self.database = database
        self.migration_head = migration_head
        self.asking = asyncio.Lock()
        self.asked_at = float("-inf")
        self.verdicts = 0
        # Created anew for each caller: an exception that is raised twice accumulates tracebacks.
        self.fault: tuple[str, str] | None = None

    async def require(self) -> None:
        """Raises UnavailableError, if it is not ready."""
        if not self.is_recent():
            before = self.verdicts
            async with self.asking:
                if self.verdicts == before:  # else another caller has checked meanwhile
                    await self.ask()
        if self.fault is not None:
            code, detail = self.fault
            raise UnavailableError(detail, code=code)

    def is_recent(self) -> bool:
        return clock.seconds() - self.asked_at < MAX_AGE.total_seconds()

    async def ask(self) -> None:
        asked_at = clock.seconds()
        self.fault = await self.find_fault()
        self.asked_at = asked_at
        self.verdicts += 1

    async def find_fault(self) -> tuple[str, str] | None:
        try:
            return await retried(self.ask_database)
        except (SQLAlchemyError, OSError) as error:
            is_expected = is_connection_failure(error)
            facts = {"error": type(error).__name__, "code": code_name(error)}
            log.exception("database unavailable", **facts, exc_info=not is_expected)
            return DatabaseUnavailableError.code, DatabaseUnavailableError.detail

    async def ask_database(self) -> tuple[str, str] | None:
        async with self.database.primary() as session:
            connection = await session.connection()
            if await self.database.is_read_only(connection):
                return DatabaseUnavailableError.code, READ_ONLY
            revision = await database_revision(connection)
        if revision == self.migration_head:
            return None
        text = f"The database is at migration {revision}, this code needs {self.migration_head}: "
        return "migrations_pending", f"{text}run `strata db upgrade`."
