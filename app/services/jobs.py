"""Enqueues jobs: work that happens after the commit of its cause, whatever dies in between."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from structlog.contextvars import get_contextvars

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.jobs.kinds import JobKind, Payload
from app.crud.job import JobInsert, jobs


@dataclass(frozen=True, slots=True)
class Jobs:
    """`wakers` tell the worker of this process; others are told by PostgreSQL, or look by themselves."""

    wakers: list[Callable[[], None]] = field(default_factory=list)

    def wake(self) -> None:
        for waker in self.wakers:
            waker()

    async def enqueue[P: Payload](
        self,
        session: WriteSession,
        kind: JobKind[P],
        payload: P,
        *,
        delay: timedelta | None = None,
        user_id: int | None = None,
    ) -> int:
        """A job's id. It runs after the commit of the session's transaction, and never without it.

        `user_id` is whose it is: with the account it goes, too. Of a kind that is unique this may be a job that waits
        or runs already.
        """
        now = utc_now()
        new = JobInsert(
            kind=kind.name,
            payload=payload.model_dump(mode="json"),
            priority=kind.priority,
            run_at=None if delay is None else now + delay,
            request_id=get_contextvars().get("request_id") or None,
            user_id=user_id,
        )
        key = kind.unique_key(payload, now)
        session.require_transaction()
        id_ = (await jobs.insert(session, new)).id if key is None else await jobs.insert_unique(session, new, key)
        self.wake_after(session)
        return id_

    async def retry(self, session: WriteSession, id_: int) -> str:
        """Let a job run again, after the commit; what kind it is.

        Raises:
            NotFoundError, NotRetryableError
        """
        kind = await jobs.retry(session, id_)
        self.wake_after(session)
        return kind

    def wake_after(self, session: WriteSession) -> None:
        if self.wake not in session.on_commit:
            session.on_commit = [*session.on_commit, self.wake]
