"""Background jobs in the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.db.upsert import insert
from app.core.errors import AppError, ConflictError
from app.crud.base import CRUD
from app.crud.filters import Filter, equals
from app.crud.typed import UNSET, Insert, StoredRow
from app.models.job import HAS_KEY, Job, JobStatus, JobWorker

KEEP_CANCELLED = KEEP_SILENT = timedelta(days=1)


class JobFilter(Filter):
    status: JobStatus | None = equals(Job.status)
    kind: str | None = equals(Job.kind)


class JobRow(StoredRow):
    kind: str
    status: JobStatus
    attempts: int
    error: str | None
    user_id: int | None


class TaskRow(StoredRow):
    status: JobStatus
    attempts: int
    error: str | None


class JobInsert(Insert[Job]):
    kind: str
    payload: dict[str, Any]
    priority: int = UNSET
    run_at: datetime | None = UNSET
    request_id: str | None = UNSET
    user_id: int | None = UNSET


class NotCancellableError(ConflictError):
    code = "not_cancellable"
    detail = "Only a job that waits can be cancelled."


class NotRetryableError(ConflictError):
    code = "not_retryable"
    detail = "Only a job that failed or was cancelled can be run again."


class JobCRUD(CRUD[Job, JobRow]):
    async def insert_unique(self, session: WriteSession, new: JobInsert, unique_key: str) -> int:
        """Unless there is one of its kind with this key; the id of the one that there is then."""
        found = {"kind": new.kind, "unique_key": unique_key}
        added = insert(session, Job).values(**new.values(), unique_key=unique_key)
        unless_found = added.on_conflict_do_nothing(index_elements=[*found], index_where=HAS_KEY)
        same = select(Job.id).filter_by(**found)
        id_: int | None = await session.scalar(unless_found.returning(Job.id)) or await session.scalar(same)
        # What was there a moment ago may have ended since.
        return id_ if id_ is not None else await self.insert_unique(session, new, unique_key)

    async def cancel(self, session: WriteSession, id_: int) -> str:
        """The kind of what was cancelled. Raises NotFoundError, NotCancellableError."""
        end = {"status": JobStatus.CANCELLED, "unique_key": None, "delete_at": utc_now() + KEEP_CANCELLED}
        return await self.turn(session, id_, (JobStatus.QUEUED,), end, NotCancellableError())

    async def retry(self, session: WriteSession, id_: int) -> str:
        """The kind of what will run again. Raises NotFoundError, NotRetryableError."""
        anew = {"status": JobStatus.QUEUED, "run_at": None, "attempts": 0, "crashes": 0, "delete_at": None}
        return await self.turn(session, id_, (JobStatus.FAILED, JobStatus.CANCELLED), anew, NotRetryableError())

    async def turn(
        self, session: WriteSession, id_: int, before: Sequence[JobStatus], values: Mapping[str, Any], refusal: AppError
    ) -> str:
        turned = update(Job).where(Job.id == id_, Job.status.in_(before)).values(**values).returning(Job.kind)
        kind: str | None = await session.scalar(turned)
        if kind is None:
            await self.read_row(session, id_)
            raise refusal
        return kind

    async def count_late(self, session: AsyncSession, since: datetime) -> int:
        """How many have been ready for so long, and nobody has claimed them."""
        is_ready = or_(and_(Job.run_at.is_(None), Job.updated_at < since), Job.run_at < since)
        late = select(func.count()).select_from(Job).where(Job.status == JobStatus.QUEUED, is_ready)
        return await session.scalar(late) or 0

    async def count_workers(self, session: AsyncSession, since: datetime) -> int:
        """How many have shown a sign of life."""
        alive = select(func.count()).select_from(JobWorker).where(JobWorker.updated_at >= since)
        return await session.scalar(alive) or 0

    async def end_expired(self, session: WriteSession, now: datetime, limit: int) -> int:
        """Delete some of those that were kept for long enough; return how many."""
        expired = select(Job.id).where(Job.delete_at <= now).limit(limit).with_for_update(skip_locked=True)
        return len(list(await session.scalars(delete(Job).where(Job.id.in_(expired)).returning(Job.id))))

    async def end_silent_workers(self, session: WriteSession, now: datetime, limit: int) -> int:
        """Forget those that died without jobs: nobody else looks after them."""
        has_jobs = exists().where(Job.worker_id == JobWorker.id)
        silent = select(JobWorker.id).where(JobWorker.updated_at < now - KEEP_SILENT, ~has_jobs).limit(limit)
        return len(
            list(await session.scalars(delete(JobWorker).where(JobWorker.id.in_(silent)).returning(JobWorker.id)))
        )


jobs = JobCRUD(Job, JobRow, "job", sorts={"id": Job.id})
# As those see them who asked for them.
tasks = CRUD(Job, TaskRow, "task")
