"""Work after the commit: in-process jobs, the only way to leave work behind a request."""

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from app.core.db.session import WriteSession

log = structlog.get_logger()

type Job = Callable[[], Awaitable[None]]

WAITING = "after_commit_waiting"
WAIT_FACTOR = 4


class AfterCommit:
    """Runs jobs in this process with bounded concurrency and retries.

    A job holds data, as in `partial(mailer.send, message)`, never a request's session or rows. It may run more than
    once, and a crash loses pending jobs. `enqueue` and `post` are coroutines so that a durable queue, written in the
    session's transaction, can replace this one without a change to callers.
    """

    def __init__(
        self,
        *,
        capacity: int = 1000,
        concurrency: int = 4,
        attempts: int = 5,
        first_wait: float = 1,
        close_timeout: float = 10,
    ) -> None:
        """Times are in seconds. Each wait is about four times the previous one: 1, 4, 16 and 64."""
        self.capacity = capacity
        self.attempts = attempts
        self.first_wait = first_wait
        self.close_timeout = close_timeout
        self.slots = asyncio.Semaphore(concurrency)
        self.tasks: set[asyncio.Task[None]] = set()
        self.is_closed = False

    async def enqueue(self, session: WriteSession, job: Job) -> None:
        """Run the job after the session's transaction commits; discard it on rollback."""
        waiting = session.info.get(WAITING)
        if waiting is None:
            waiting = session.info[WAITING] = PendingJobs(session.sync_session, self.start)
        waiting.add(session.sync_session, job)

    async def post(self, job: Job) -> None:
        """Run the job soon, for work outside of a transaction."""
        self.start(job)

    def start(self, job: Job) -> None:
        """Never waits and never raises: a failure here must not undo a request that succeeded."""
        if self.is_closed or len(self.tasks) >= self.capacity:
            log.error("the queue of jobs is closed or full: a job was dropped", job=kind(job), waiting=len(self.tasks))
            return
        # One task per job, so that a job's wait for its next attempt does not delay others.
        task = asyncio.create_task(self.run(job), name=kind(job))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self, job: Job) -> None:
        for attempt in range(1, self.attempts + 1):
            try:
                async with self.slots:
                    await job()
            except Exception as error:  # noqa: BLE001 - the next attempt may succeed
                self.report(job, attempt, error)
            else:
                return
            if attempt < self.attempts:
                # Jitter: jobs that failed together should not retry together.
                wait = self.first_wait * WAIT_FACTOR ** (attempt - 1)
                await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets

    def report(self, job: Job, attempt: int, error: Exception) -> None:
        """Log where it failed, and the error's type without its text, which may hold an address or a token."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        facts = {
            "job": kind(job),
            "attempt": attempt,
            "error": type(error).__name__,
            "code": getattr(error, "code", None),
            "where": f"{frame.filename}:{frame.lineno}",
        }
        if attempt < self.attempts:
            log.warning("a job failed and will be retried", **facts)
        else:
            log.error("a job failed for the last time", **facts)

    async def join(self) -> None:
        """Wait until no job is left, those started by jobs included."""
        while self.tasks:
            await asyncio.wait(self.tasks)

    async def close(self) -> None:
        """Finish pending jobs within `close_timeout`, then accept no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.close_timeout):
                await self.join()
        if self.tasks:
            lost = sorted(task.get_name() for task in self.tasks)
            log.error("jobs were lost at shutdown", count=len(lost), jobs=lost[:10])
        self.is_closed = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class PendingJobs:
    """The pending jobs of one session until its transaction ends.

    It listens to events of that session only, so it works with any transaction and costs other sessions nothing.
    """

    def __init__(self, session: Session, start: Callable[[Job], None]) -> None:
        self.start = start
        self.jobs: list[tuple[SessionTransaction, Job]] = []
        event.listen(session, "after_commit", self.start_all)
        event.listen(session, "after_soft_rollback", self.forget_those_of)
        event.listen(session, "after_transaction_end", self.forget_the_rest)

    def add(self, session: Session, job: Job) -> None:
        # Nothing of SQLAlchemy's own has begun yet where all statements were prepared ones.
        began = session.get_nested_transaction() or session.get_transaction() or session.begin()
        self.jobs.append((began, job))

    def start_all(self, session: Session) -> None:
        if session.in_nested_transaction():
            return  # a savepoint was released; the enclosing transaction may still roll back
        jobs, self.jobs = self.jobs, []
        for _, job in jobs:
            self.start(job)

    def forget_those_of(self, _: Session, rolled_back: SessionTransaction) -> None:
        self.jobs = [(began, job) for began, job in self.jobs if rolled_back not in lineage(began)]

    def forget_the_rest(self, _: Session, ended: SessionTransaction) -> None:
        """Closing a session without a commit rolls back silently."""
        if ended.parent is None:
            self.jobs.clear()


def lineage(transaction: SessionTransaction) -> Iterator[SessionTransaction]:
    """A savepoint and its enclosing transactions."""
    yield transaction
    if transaction.parent is not None:
        yield from lineage(transaction.parent)


def kind(job: Any) -> str:
    """The name of a job's function, without its data."""
    function = job.func if isinstance(job, partial) else job
    return str(getattr(function, "__qualname__", type(function).__name__))
