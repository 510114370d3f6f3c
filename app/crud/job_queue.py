"""The queue of jobs, as the workers see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, case, delete, exists, false, insert, null, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.core.clock import utc_now
from app.core.db.engine import Database
from app.core.db.session import WriteSession
from app.core.jobs.kinds import JobKind, period_of
from app.core.jobs.store import (
    MAX_CRASHES,
    ClaimedJob,
    Done,
    Interrupted,
    LostRegistrationError,
    Outcome,
)
from app.crud.job import JobInsert, jobs
from app.models.job import Job, JobStatus, JobWorker

KEEP_FAILED = timedelta(days=90)
# Of those whose time has come, so that no transaction gets long.
BATCH = 500
TABLE: Any = Job.__table__
# An outcome counts as long as nobody has claimed the job since.
OWN_RUN = TABLE.c.id == bindparam("job_id"), TABLE.c.run == bindparam("job_run"), TABLE.c.status == JobStatus.RUNNING
FREED_KEY = case((bindparam("frees_key"), null()), else_=TABLE.c.unique_key)
ENDED = update(TABLE).where(*OWN_RUN).values(worker_id=None, attempts=TABLE.c.attempts + 1, unique_key=FREED_KEY)
DONE = ENDED.values(status=JobStatus.DONE, payload={}, error=None, delete_at=bindparam("until"))
FAILED = ENDED.values(status=JobStatus.FAILED, error=bindparam("why"), delete_at=bindparam("until"))
RETRIED = ENDED.values(status=JobStatus.QUEUED, error=bindparam("why"), run_at=bindparam("next_at"))
INTERRUPTED = update(TABLE).where(*OWN_RUN).values(worker_id=None, status=JobStatus.QUEUED)
REMOVED = delete(TABLE).where(*OWN_RUN)
IS_READY = TABLE.c.status == JobStatus.QUEUED, TABLE.c.run_at.is_(None)
# One at a time: of several that were there when a worker died, one may be what it died of.
FIRST_SUSPECT = select(TABLE.c.id).where(*IS_READY, TABLE.c.crashes > 0).order_by(TABLE.c.id).limit(1)


@dataclass(slots=True)
class JobQueue:
    """The `JobStore` of a database."""

    database: Database
    kinds: Mapping[str, JobKind[Any]]
    # Periods, by their kinds, of which the jobs are there.
    begun: set[tuple[str, int]] = field(default_factory=set)

    async def register(self) -> int:
        async with self.database.transaction() as session:
            worker: int = (await session.scalars(insert(JobWorker).values(signs=0).returning(JobWorker.id))).one()
            return worker

    async def exchange(
        self, worker: int, outcomes: Sequence[Outcome], limit: int, *, suspects: bool, promotes: bool
    ) -> list[ClaimedJob]:
        try:
            async with self.database.transaction() as session:
                await self.settle(session, outcomes)
                if promotes:
                    await promote(session)
                return await self.claim(session, worker, limit, suspects=suspects) if limit else []
        except IntegrityError as error:
            raise LostRegistrationError from error

    async def settle(self, session: WriteSession, outcomes: Sequence[Outcome]) -> None:
        """Write down what became of jobs."""
        by_statement: dict[Any, list[dict[str, Any]]] = {}
        for outcome in outcomes:
            statement, values = self.ending(outcome)
            by_statement.setdefault(statement, []).append(
                {"job_id": outcome.job.id, "job_run": outcome.job.run, **values}
            )
        for statement, rows in by_statement.items():
            await (await session.connection()).execute(statement, rows)

    def ending(self, outcome: Outcome) -> tuple[Any, dict[str, Any]]:
        now, kind = utc_now(), self.kinds[outcome.job.kind]
        # Within its window, or its period, a key stays where it is.
        frees_key = kind.unique_for is None and kind.every is None
        if isinstance(outcome, Interrupted):
            return INTERRUPTED, {}
        if isinstance(outcome, Done):
            return (DONE, {"frees_key": frees_key, "until": now + kind.kept_for}) if kind.kept_for else (REMOVED, {})
        if outcome.wait is None:
            return FAILED, {
                "frees_key": frees_key,
                "why": outcome.error,
                "until": now + max(KEEP_FAILED, kind.kept_for),
            }
        return RETRIED, {"frees_key": False, "why": outcome.error, "next_at": now + outcome.wait}

    async def claim(self, session: WriteSession, worker: int, limit: int, *, suspects: bool) -> list[ClaimedJob]:
        """Some of those that are ready; others that do so at the same time get others."""
        is_suspect = TABLE.c.id == FIRST_SUSPECT.scalar_subquery() if suspects else false()
        ready = select(TABLE.c.id).where(*IS_READY, TABLE.c.kind.in_(self.kinds), or_(TABLE.c.crashes == 0, is_suspect))
        # Not a subquery: PostgreSQL might run that more than once.
        ids = ready.order_by(TABLE.c.priority, TABLE.c.id).limit(limit).with_for_update(skip_locked=True).cte("ready")
        values = {"status": JobStatus.RUNNING, "run": TABLE.c.run + 1, "worker_id": worker}
        shown = [TABLE.c[field.name] for field in fields(ClaimedJob)]
        claimed = update(TABLE).where(TABLE.c.id.in_(select(ids.c.id))).values(values).returning(*shown)
        return sorted((ClaimedJob(*row) for row in await session.execute(claimed)), key=lambda job: job.id)

    async def return_unknown(self, worker: int, known: Sequence[ClaimedJob]) -> None:
        mine = TABLE.c.worker_id == worker, TABLE.c.id.not_in([job.id for job in known])
        async with self.database.transaction() as session:
            await session.execute(update(TABLE).where(*mine).values(worker_id=None, status=JobStatus.QUEUED))

    async def sign_of_life(self, worker: int) -> None:
        async with self.database.transaction() as session:
            alive = update(JobWorker).where(JobWorker.id == worker).values(signs=JobWorker.signs + 1)
            if await session.scalar(alive.returning(JobWorker.id)) is None:
                raise LostRegistrationError

    async def signs_of_life(self) -> dict[int, int]:
        has_jobs = exists().where(TABLE.c.worker_id == JobWorker.id)
        async with self.database.primary() as session:
            found = await session.execute(select(JobWorker.id, JobWorker.signs).where(has_jobs))
            return {row.id: row.signs for row in found}

    async def bury(self, worker: int, signs: int) -> int:
        dead = select(JobWorker.id).where(JobWorker.id == worker, JobWorker.signs == signs).with_for_update()
        is_last = TABLE.c.crashes + 1 >= MAX_CRASHES
        returned = update(TABLE).where(TABLE.c.worker_id == worker)
        returned = returned.values(
            worker_id=None,
            crashes=TABLE.c.crashes + 1,
            status=case((is_last, JobStatus.FAILED), else_=JobStatus.QUEUED),
            error=case((is_last, f"its worker died {MAX_CRASHES} times"), else_=TABLE.c.error),
            delete_at=case((is_last, utc_now() + KEEP_FAILED), else_=null()),
            unique_key=case((is_last, null()), else_=TABLE.c.unique_key),
        )
        async with self.database.transaction() as session:
            if await session.scalar(dead) is None:
                return 0
            jobs = list(await session.scalars(returned.returning(TABLE.c.id)))
            await session.execute(delete(JobWorker).where(JobWorker.id == worker))
            return len(jobs)

    async def leave(self, worker: int) -> None:
        async with self.database.transaction() as session:
            has_jobs = exists().where(TABLE.c.worker_id == JobWorker.id)
            await session.execute(delete(JobWorker).where(JobWorker.id == worker, ~has_jobs))

    async def enqueue_periodic(self) -> None:
        now = utc_now()
        periods = {kind.name: period_of(kind.every, now) for kind in self.kinds.values() if kind.every is not None}
        for name, period in periods.items() - self.begun:
            async with self.database.transaction() as session:
                new = JobInsert(kind=name, payload={}, priority=self.kinds[name].priority)
                # Whoever comes first has it done; the key stays until the job is deleted.
                await jobs.insert_unique(session, new, f"@{period}")
        self.begun = set(periods.items())


async def promote(session: WriteSession) -> None:
    """Those that waited for their time, and then did not any more."""
    due = select(TABLE.c.id).where(TABLE.c.status == JobStatus.QUEUED, TABLE.c.run_at <= utc_now())
    ids = due.order_by(TABLE.c.run_at).limit(BATCH).with_for_update(skip_locked=True).cte("due")
    await session.execute(update(TABLE).where(TABLE.c.id.in_(select(ids.c.id))).values(run_at=None))
