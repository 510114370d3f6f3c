"""What a session runs prepared statements on, and what begins and ends its transaction."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.caller_check import CallerCheck
from app.core.db.prepared import Prepared, Row


class Backend:
    """SQLAlchemy's own session does all of it: SQLite, and PostgreSQL behind a pooler.

    The driver's are in `app/core/db/driver/backends.py`; `Database` chooses.
    """

    # Whether this side has begun something that must be ended.
    is_open = False

    def __init__(self) -> None:
        # What must hold for the transaction to do anything, and what has been checked of that.
        self.caller_check: CallerCheck | None = None
        self.checked_caller: CallerCheck | None = None
        # Whether the first statement that writes is also the last.
        self.autocommits = False

    async def fetch(self, session: AsyncSession, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        return prepared.rows((await session.execute(prepared.statement, values)).all())

    def bind(self, engine: Engine) -> Engine | Connection:
        """What SQLAlchemy runs its own statements on; called in its greenlet."""
        return engine

    async def commit(self) -> None:
        """Before SQLAlchemy's own commit, whose events tell of it."""

    async def rollback(self) -> None:
        """Before SQLAlchemy's own rollback."""

    async def release(self) -> None:
        """After SQLAlchemy's own commit or rollback."""
