"""SQLAlchemy's sessions, whole, with `fetch` beside them for what is `Prepared`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Never

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from app.core.db.backend import Backend
from app.core.db.prepared import Prepared, Row


async def fetch(session: AsyncSession, prepared: Prepared, **values: Any) -> list[Row]:
    """All rows of a statement, in the session's transaction where it has one."""
    prepared.check(values)
    return await backend_of(session).fetch(session, prepared, values)


def backend_of(session: AsyncSession) -> Backend:
    return session.backend if isinstance(session, ReadSession | WriteSession) else Backend()


class ReadSession(AsyncSession):
    """Statements that read, each by itself. Its engine refuses all others, and mypy what is for writing alone."""

    def __init__(self, bind: Any, *, backend: Callable[[], Backend] = Backend, **options: Any) -> None:
        super().__init__(bind, **options)
        self.backend = backend()

    async def __aexit__(self, *error: object) -> None:
        # SQLAlchemy's own takes a task, and more time than many a statement.
        if self.in_transaction():
            await super().__aexit__(*error)

    if TYPE_CHECKING:
        # What a `WriteSession` is for.
        def add(self, instance: Never, *, _warn: bool = True) -> None: ...  # type: ignore[override] # on purpose
        def add_all(self, instances: Never) -> None: ...  # type: ignore[override] # on purpose
        async def delete(self, instance: Never) -> None: ...  # type: ignore[override] # on purpose
        async def merge(self, instance: Never, **options: Any) -> Any: ...  # type: ignore[override] # on purpose


class SharedConnectionSession(Session):
    """Runs SQLAlchemy's statements where the prepared ones run, in one transaction with them."""

    backend = Backend()

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        bind = super().get_bind(*arguments, **options)
        return bind if isinstance(bind, Connection) else self.backend.bind(bind)


class WriteSession(AsyncSession):
    """A transaction, which begins with its first statement."""

    sync_session_class = SharedConnectionSession
    sync_session: SharedConnectionSession
    # What is called once the transaction is committed.
    on_commit: Sequence[Callable[[], None]] = ()

    def __init__(self, bind: Any, *, backend: Callable[[], Backend] = Backend, **options: Any) -> None:
        super().__init__(bind, **options)
        self.backend = self.sync_session.backend = backend()

    @property
    def is_open(self) -> bool:
        return self.backend.is_open or self.in_transaction()

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        """Begins nothing."""
        return Session.get_bind(self.sync_session, *arguments, **options)

    def require_transaction(self) -> None:
        """More than one statement is to come, or something that may take the first one back."""
        self.backend.autocommits = False

    async def commit(self) -> None:
        if self.in_transaction():
            await self.flush()
        await self.backend.commit()
        if self.in_transaction():
            await super().commit()
        await self.backend.release()
        for callback in self.on_commit:
            callback()

    async def rollback(self) -> None:
        try:
            await self.backend.rollback()
            if self.in_transaction():
                await super().rollback()
        finally:
            await self.backend.release()

    async def close(self) -> None:
        await self.rollback()
        await super().close()

    async def __aexit__(self, *error: object) -> None:
        if self.is_open:
            await super().__aexit__(*error)
        elif self.identity_map:
            self.expunge_all()  # there is nothing to wait for
