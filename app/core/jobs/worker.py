"""Runs jobs: claims them, watches over their time, and tells what became of them."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.core import clock
from app.core.jobs.kinds import JobError, JobKind, PermanentJobError
from app.core.jobs.store import (
    ClaimedJob,
    Done,
    Failed,
    Interrupted,
    JobStore,
    LostRegistrationError,
    Outcome,
)

log = structlog.get_logger()

# A worker that has shown no sign of life for longer is taken for dead, and its jobs run elsewhere.
LIFE_SIGN_SECONDS = 1.5
DEAD_AFTER_SECONDS = 6.0
IDLE_SIGN_SECONDS = 20.0
# Where nobody wakes it, a worker looks by itself.
POLL_SECONDS = 0.5
FIRST_WAIT, MAX_WAIT = 0.1, 2.0
GRACE_SECONDS = 0.5
MAX_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Handler:
    """What runs jobs of a kind; it gets the payload, and what else is known of the job."""

    kind: JobKind[Any]
    call: Callable[[Any, ClaimedJob], Awaitable[None]]


@dataclass(slots=True)
class Worker:
    """Runs at most `concurrency` jobs at once, in this event loop.

    One loop does all that a store is needed for, so that what has ended meanwhile is told with the next claim.
    Nobody's clock decides who is dead: each worker watches the others' signs of life by its own.
    """

    store: JobStore
    handlers: Mapping[str, Handler]
    concurrency: int = 10
    poll_seconds: float = POLL_SECONDS
    life_sign_seconds: float = LIFE_SIGN_SECONDS
    dead_after_seconds: float = DEAD_AFTER_SECONDS
    id: int = 0
    running: dict[ClaimedJob, asyncio.Task[None]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    is_stopping: bool = False
    # There may be more jobs than were claimed last time.
    may_have_more: bool = True
    # When jobs are to be looked for that waited for their time.
    promotes_at: float = 0
    # The last exchange failed: it may have claimed jobs all the same.
    is_unsure: bool = False
    # Others' signs of life, and when they were first seen; and when they were looked at.
    seen: dict[int, tuple[int, float]] = field(default_factory=dict)
    looked_at: float = 0
    # When to show one without a job.
    signs_at: float = 0

    def wake(self) -> None:
        """There may be jobs."""
        self.may_have_more = True
        self.happened.set()

    async def run(self) -> None:
        """Until it is cancelled, or `stop` was called; jobs that still run are given back then."""
        life = asyncio.create_task(self.show_life(), name="job worker's signs of life")
        try:
            await self.work()
        finally:
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life
            await asyncio.shield(self.give_back())

    async def run_all(self) -> None:
        """Until nothing is ready."""
        while self.may_have_more or self.outcomes:
            await self.exchange()
            await asyncio.gather(*self.running.values())
        await self.store.leave(self.id)

    def stop(self) -> None:
        """Claim no more, and end with the jobs that run."""
        self.is_stopping = True
        self.happened.set()

    async def work(self) -> None:
        wait = FIRST_WAIT
        while not (self.is_stopping and not self.running and not self.outcomes):
            self.happened.clear()
            try:
                await self.exchange()
                wait = FIRST_WAIT
            except LostRegistrationError:
                self.abandon()
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, the store may be back later
                self.is_unsure = self.may_have_more = True
                log.warning("jobs cannot be claimed; trying again", error=type(error).__name__)
                await asyncio.sleep(wait)
                wait = min(2 * wait, MAX_WAIT)
                continue
            await self.rest()

    async def exchange(self) -> None:
        if not self.id:
            self.id = await self.store.register()
        worker = self.id
        if self.is_unsure:
            await self.store.return_unknown(worker, [*self.running, *(outcome.job for outcome in self.outcomes)])
            self.is_unsure = False
        free = 0 if self.is_stopping else self.concurrency - len(self.running)
        if not self.outcomes and not (free and self.may_have_more):
            return
        told = self.outcomes[:]
        # Whoever wakes us from here on may tell of what this claim does not see.
        self.may_have_more = self.may_have_more and not free
        suspects = not any(job.crashes for job in self.running)
        promotes = clock.seconds() >= self.promotes_at
        claimed = await self.store.exchange(worker, told, free, suspects=suspects, promotes=promotes)
        if promotes:
            self.promotes_at = clock.seconds() + self.poll_seconds
        if worker != self.id:
            return  # abandoned meanwhile, with what was claimed
        del self.outcomes[: len(told)]
        self.may_have_more = self.may_have_more or (bool(free) and len(claimed) == free)
        for job in claimed:
            self.running[job] = asyncio.create_task(self.attempt(job), name=f"job {job.kind}")

    async def rest(self) -> None:
        """Until a job ended, somebody says that there are others, or there may be."""
        if self.may_have_more and len(self.running) < self.concurrency and not self.is_stopping:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self.poll_seconds):
                await self.happened.wait()
                return
        self.may_have_more = True

    async def attempt(self, job: ClaimedJob) -> None:
        handler = self.handlers[job.kind]
        try:
            with structlog.contextvars.bound_contextvars(request_id=job.request_id, job_id=job.id, job=job.kind):
                outcome = await self.outcome_of(job, handler)
        except asyncio.CancelledError:
            outcome = Interrupted(job)
        # Of those that were abandoned others tell.
        if self.running.pop(job, None) is not None:
            self.outcomes.append(outcome)
            self.happened.set()

    async def outcome_of(self, job: ClaimedJob, handler: Handler) -> Outcome:
        kind = handler.kind
        attempt = job.attempts + 1
        try:
            payload = kind.payload.model_validate(job.payload)
            async with asyncio.timeout(kind.timeout.total_seconds()):
                await handler.call(payload, job)
        except Exception as error:  # noqa: BLE001 - the next attempt may succeed
            wait = None if isinstance(error, PermanentJobError) else kind.retries.wait_after(attempt)
            report(error, attempt, is_last=wait is None)
            return Failed(job, text_of(error), wait)
        return Done(job)

    async def show_life(self) -> None:
        """And look after those who show none."""
        while True:
            await asyncio.sleep(self.life_sign_seconds)
            if not self.id:
                continue
            try:
                await self.sign()
                await self.bury_dead(await self.store.signs_of_life())
                await self.store.enqueue_periodic()
            except LostRegistrationError:
                self.abandon()
            except Exception as error:  # noqa: BLE001 - the store may be back with the next one
                log.debug("no sign of life could be shown", error=str(error))

    async def sign(self) -> None:
        """An idle worker has nothing that others could want, and signs for the doctor alone."""
        if self.running or clock.seconds() >= self.signs_at:
            self.signs_at = clock.seconds() + IDLE_SIGN_SECONDS
            await self.store.sign_of_life(self.id)

    async def bury_dead(self, signs: Mapping[int, int]) -> None:
        now = clock.seconds()
        if now - self.looked_at > 2 * self.life_sign_seconds + GRACE_SECONDS:
            self.seen = {}  # the store, or this process, stood still: whoever seems dead may have waited as well
        self.looked_at = now
        self.seen = {
            worker: self.seen[worker] if worker in self.seen and self.seen[worker][0] == count else (count, now)
            for worker, count in signs.items()
            if worker != self.id
        }
        for worker, (count, since) in self.seen.items():
            if now - since >= self.dead_after_seconds:
                returned = await self.store.bury(worker, count)
                log.warning("a job worker died; its jobs run again", worker=worker, jobs=returned)
                self.wake()

    def abandon(self) -> None:
        """Others have our jobs: end them, tell nothing of them, and begin anew."""
        log.warning("taken for dead by other job workers: jobs were abandoned", jobs=len(self.running))
        tasks = [*self.running.values()]
        self.running.clear()
        self.outcomes.clear()
        self.id = 0
        for task in tasks:
            task.cancel()
        self.wake()

    async def give_back(self) -> None:
        tasks = [*self.running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LIFE_SIGN_SECONDS)
        self.outcomes += [Interrupted(job) for job in self.running]
        if self.id:
            # Else others find out, once there are no more signs of life.
            with suppress(Exception):
                async with asyncio.timeout(LIFE_SIGN_SECONDS):
                    await self.store.exchange(self.id, self.outcomes, 0, suspects=False, promotes=False)
                    await self.store.leave(self.id)


def text_of(error: Exception) -> str:
    """What is stored: the text of our own errors alone, since others' may hold an address or a token."""
    if isinstance(error, TimeoutError):
        return "TimeoutError: it took too long"
    name = type(error).__name__
    return f"{name}: {error}"[:MAX_ERROR_LENGTH] if isinstance(error, JobError) else name


def report(error: Exception, attempt: int, *, is_last: bool) -> None:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    facts = {"attempt": attempt, "error": text_of(error), "where": f"{frame.filename}:{frame.lineno}"}
    if is_last:
        log.error("a job failed for good", **facts)
    else:
        log.warning("a job failed and will be retried", **facts)
