"""Idempotency keys in the database."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from app.core.clock import utc_now
from app.core.db.errors import LOCK_TIMED_OUT, sqlstate
from app.core.db.session import WriteSession
from app.core.db.upsert import insert
from app.core.errors import ConflictError
from app.crud.base import ExpiringCRUD
from app.crud.typed import StoredRow
from app.models.idempotency import IdempotencyKey

WAIT_MS = 2000


class InProgressError(ConflictError):
    code = "idempotency_in_progress"
    detail = "A request with this Idempotency-Key is still running; ask again shortly."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class IdempotencyKeyCRUD(ExpiringCRUD[IdempotencyKey, StoredRow]):
    async def claim(
        self, session: WriteSession, user_id: int, operation: str, key: str, fingerprint: str, expires_at: datetime
    ) -> IdempotencyKey:
        """The key's row: a new one without a status, or the one with the response given before.

        While another transaction holds the same key this waits for it to end.

        Raises:
            InProgressError: if that takes more than two seconds. (SQLite knows one writer at a time and waits longer.)
        """
        values = {"user_id": user_id, "operation": operation, "key": key}
        new = insert(session, IdempotencyKey).values(**values, fingerprint=fingerprint, expires_at=expires_at)
        # A change that changes nothing: it locks the row that is there, and finds it whatever happens meanwhile.
        claimed = new.on_conflict_do_update(index_elements=list(values), set_={"status": IdempotencyKey.status})
        await self.limit_waiting(session, WAIT_MS)
        try:
            row = (await session.scalars(claimed.returning(IdempotencyKey))).one()
        except DBAPIError as error:
            if sqlstate(error) == LOCK_TIMED_OUT:
                raise InProgressError from error
            raise
        await self.limit_waiting(session, 0)
        if row.expires_at <= utc_now():
            row.fingerprint, row.expires_at, row.status = fingerprint, expires_at, None
            await self.flush(session)
        return row

    async def limit_waiting(self, session: WriteSession, milliseconds: int) -> None:
        """For how long a statement of this transaction waits for a lock; 0 for as long as any statement may take."""
        if session.get_bind().dialect.name == "postgresql":
            await session.execute(select(func.set_config("lock_timeout", str(milliseconds), True)))


idempotency_keys = IdempotencyKeyCRUD(IdempotencyKey, StoredRow, "idempotency_key")
