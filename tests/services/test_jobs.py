"""Jobs and what runs them, on a database of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import IntegrityError

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.session import WriteSession
from app.core.errors import NotFoundError
from app.core.jobs.kinds import JobError, JobKind, NoPayload, Payload, PermanentJobError, Retries
from app.core.jobs.store import ClaimedJob, Done, LostRegistrationError
from app.core.jobs.worker import Handler, Worker
from app.crud.job import NotCancellableError, NotRetryableError, jobs
from app.crud.job_queue import JobQueue
from app.models.job import Job, JobStatus, JobWorker
from app.models.user import User
from app.services.jobs import Jobs
from app.tasks.maintenance import PURGE

pytestmark = pytest.mark.real_database

AT_ONCE = Retries(attempts=3, first_wait=timedelta(), factor=1)


class Word(Payload):
    text: str = ""


NOTE = JobKind("test.note", Word, AT_ONCE)
OTHER = JobKind("test.other", Word, AT_ONCE)


@dataclass
class Bench:
    """Kinds of job, and workers for them, in this process."""

    database: Database
    jobs: Jobs = field(default_factory=Jobs)
    handlers: dict[str, Handler] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def runs(self, kind: JobKind[Any], call: Callable[[Word, ClaimedJob], Awaitable[None]] | None = None) -> None:
        async def note(word: Word, _: ClaimedJob) -> None:
            self.ran.append(word.text)

        self.handlers[kind.name] = Handler(kind, call or note)

    def queue(self) -> JobQueue:
        return JobQueue(self.database, {name: handler.kind for name, handler in self.handlers.items()})

    def worker(self, **options: Any) -> Worker:
        return Worker(self.queue(), self.handlers, **options)

    async def run_all(self) -> None:
        await self.worker().run_all()

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[Worker]:
        worker = self.worker(**options)
        self.jobs.wakers.append(worker.wake)
        task = asyncio.create_task(worker.run())
        yield worker
        self.jobs.wakers.remove(worker.wake)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def enqueue(self, kind: JobKind[Any], *texts: str, **options: Any) -> list[int]:
        async with self.database.transaction() as session:
            return [await self.jobs.enqueue(session, kind, kind.payload(text=word), **options) for word in texts]

    async def rows(self) -> list[Job]:
        async with self.database.read() as session:
            return list(await session.scalars(select(Job).order_by(Job.id)))

    async def only(self) -> Job:
        (row,) = await self.rows()
        return row

    async def change(self, **values: Any) -> None:
        async with self.database.transaction() as session:
            await session.execute(update(Job).values(**values))

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.005)


@pytest.fixture
async def bench(real_settings: Settings) -> AsyncIterator[Bench]:
    bench = Bench(Database(real_settings))
    bench.runs(NOTE)
    yield bench
    await bench.database.close()


async def test_a_job_runs_once_after_the_commit(bench: Bench) -> None:
    async with bench.running():
        async with bench.database.transaction() as session:
            await bench.jobs.enqueue(session, NOTE, Word(text="mail"))
            await asyncio.sleep(0.05)
            assert bench.ran == []
        await bench.until(lambda: bench.ran)
    assert bench.ran == ["mail"]
    job = await bench.only()
    assert (job.status, job.attempts, job.error, job.payload) == (JobStatus.DONE, 1, None, {})


async def test_without_the_commit_there_is_no_job(bench: Bench) -> None:
    with suppress(KeyError):
        async with bench.database.transaction() as session:
            await bench.jobs.enqueue(session, NOTE, Word(text="mail"))
            raise KeyError
    await bench.run_all()
    assert bench.ran == []
    assert await bench.rows() == []


async def test_a_savepoint_that_is_rolled_back_takes_its_jobs_along(bench: Bench) -> None:
    async with bench.database.transaction() as session:
        await bench.jobs.enqueue(session, NOTE, Word(text="kept"))
        with suppress(KeyError):
            async with bench.database.savepoint(session):
                await bench.jobs.enqueue(session, NOTE, Word(text="lost"))
                raise KeyError
    await bench.run_all()
    assert bench.ran == ["kept"]


async def test_a_commit_that_fails_leaves_no_job(bench: Bench, is_postgresql: bool) -> None:
    if not is_postgresql:
        pytest.skip("SQLite checks constraints with each statement")
    table = "CREATE TABLE late (id int, other int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    async with bench.database.engine.begin() as connection:
        await connection.exec_driver_sql(table)

    async def break_a_constraint_late() -> None:
        async with bench.database.transaction() as session:
            await bench.jobs.enqueue(session, NOTE, Word(text="mail"))
            await session.execute(text("INSERT INTO late VALUES (1, 1), (2, 1)"))

    with pytest.raises(IntegrityError):
        await break_a_constraint_late()
    await bench.run_all()
    assert await bench.rows() == []


async def test_what_fails_is_tried_again_and_then_failed_for_good(bench: Bench) -> None:
    async def fail(word: Word, _: ClaimedJob) -> None:
        bench.ran.append(word.text)
        raise JobError(f"no luck with attempt {len(bench.ran)}")

    bench.runs(OTHER, fail)
    await bench.enqueue(OTHER, "x")
    async with bench.running(poll_seconds=0.01):
        await bench.until(lambda: len(bench.ran) == 3)
        await asyncio.sleep(0.1)
    job = await bench.only()
    assert bench.ran == ["x"] * 3
    assert (job.status, job.attempts, job.error) == (JobStatus.FAILED, 3, "JobError: no luck with attempt 3")
    assert job.payload == {"text": "x"}, "it may be run again"


async def test_what_no_other_attempt_mends_fails_at_once(bench: Bench) -> None:
    async def fail(_: Word, __: ClaimedJob) -> None:
        raise PermanentJobError("refused: 550")

    bench.runs(OTHER, fail)
    await bench.enqueue(OTHER, "x")
    await bench.run_all()
    job = await bench.only()
    assert (job.status, job.attempts, job.error) == (JobStatus.FAILED, 1, "PermanentJobError: refused: 550")


async def test_of_others_errors_the_kind_alone_is_stored_and_logged(
    bench: Bench, logs: Callable[[], list[dict[str, Any]]]
) -> None:
    async def fail(_: Word, __: ClaimedJob) -> None:
        raise ValueError("alice@example.com")

    bench.runs(JobKind("test.other", Word, Retries(attempts=1)), fail)
    await bench.enqueue(OTHER, "x")
    await bench.run_all()
    assert (await bench.only()).error == "ValueError"
    assert "alice" not in str(logs())
    (line,) = [line for line in logs() if line["event"] == "a job failed for good"]
    assert "test_jobs.py" in line["where"]


def test_waits_grow_and_are_scattered() -> None:
    retries = Retries(attempts=5, first_wait=timedelta(seconds=10), factor=3, max_wait=timedelta(seconds=100))
    waits = [{retries.wait_after(attempt) for _ in range(20)} for attempt in range(1, 5)]
    for found, middle in zip(waits, (10, 30, 90, 100), strict=True):
        seconds = [wait.total_seconds() for wait in found if wait is not None]
        assert len(seconds) > 10
        assert 0.75 * middle <= min(seconds) <= max(seconds) <= 1.25 * middle
    assert retries.wait_after(5) is None


async def test_a_job_that_takes_too_long_is_stopped(bench: Bench) -> None:
    async def hang(_: Word, __: ClaimedJob) -> None:
        await asyncio.Future()

    bench.runs(JobKind("test.other", Word, Retries(attempts=1), timeout=timedelta(milliseconds=20)), hang)
    await bench.enqueue(OTHER, "x")
    await bench.run_all()
    job = await bench.only()
    assert (job.status, job.error) == (JobStatus.FAILED, "TimeoutError: it took too long")


async def test_a_delayed_job_waits_for_its_time(bench: Bench) -> None:
    await bench.enqueue(NOTE, "later", delay=timedelta(hours=1))
    await bench.enqueue(NOTE, "now")
    await bench.run_all()
    assert bench.ran == ["now"]
    await bench.change(run_at=utc_now() - timedelta(seconds=1))
    await bench.run_all()
    assert bench.ran == ["now", "later"]


async def test_jobs_run_by_priority_and_then_in_their_order(bench: Bench) -> None:
    urgent = JobKind("test.urgent", Word, priority=-1)
    bench.runs(urgent)
    await bench.enqueue(NOTE, "first", "second")
    await bench.enqueue(urgent, "urgent")
    await bench.worker(concurrency=1).run_all()
    assert bench.ran == ["urgent", "first", "second"]


async def test_of_unique_jobs_one_waits_or_runs(bench: Bench) -> None:
    unique = JobKind("test.unique", Word, unique_by=lambda word: word.text)
    bench.runs(unique)
    ids = await bench.enqueue(unique, "a", "a", "b")
    assert ids[0] == ids[1] != ids[2]
    await bench.run_all()
    assert sorted(bench.ran) == ["a", "b"]
    (again,) = await bench.enqueue(unique, "a")
    assert again not in ids


async def test_within_its_window_a_unique_job_is_not_enqueued_again(bench: Bench) -> None:
    unique = JobKind("test.unique", Word, unique_by=lambda word: word.text, unique_for=timedelta(days=9999))
    bench.runs(unique)
    (first,) = await bench.enqueue(unique, "a")
    await bench.run_all()
    assert await bench.enqueue(unique, "a") == [first]
    await bench.run_all()
    assert bench.ran == ["a"]


async def test_the_key_of_a_window_outlives_what_is_kept_for_less(bench: Bench) -> None:
    unique = JobKind(
        "test.unique", Word, unique_by=lambda word: word.text, unique_for=timedelta(days=9999), keep=timedelta(0)
    )
    bench.runs(unique)
    (first,) = await bench.enqueue(unique, "a")
    await bench.run_all()
    async with bench.database.transaction() as session:
        assert await jobs.end_expired(session, utc_now() + timedelta(days=100), 10) == 0
    assert await bench.enqueue(unique, "a") == [first]


async def test_many_that_enqueue_a_unique_job_at_once_get_one(bench: Bench) -> None:
    unique = JobKind("test.unique", Word, unique_by=lambda word: word.text)
    found = await asyncio.gather(*(bench.enqueue(unique, "a") for _ in range(8)))
    assert len({id_ for ids in found for id_ in ids}) == 1


async def test_a_periodic_job_runs_once_in_each_period_on_any_number_of_workers(bench: Bench) -> None:
    periodic = JobKind("test.periodic", NoPayload, every=timedelta(hours=1))
    bench.runs(periodic)
    queues = [bench.queue() for _ in range(3)]
    for _ in range(2):
        await asyncio.gather(*(queue.enqueue_periodic() for queue in queues))
    assert len(await bench.rows()) == 1
    await bench.change(unique_key="@1", status=JobStatus.DONE)  # of another hour
    await bench.queue().enqueue_periodic()
    assert len(await bench.rows()) == 2


def test_the_purge_is_periodic() -> None:
    assert PURGE.every == timedelta(hours=1)


async def test_what_is_done_is_kept_as_long_as_its_kind_says(bench: Bench) -> None:
    bench.runs(JobKind("test.other", Word, keep=timedelta(0)))
    await bench.enqueue(NOTE, "kept")
    await bench.enqueue(OTHER, "gone")
    await bench.run_all()
    job = await bench.only()
    assert job.delete_at is not None
    assert timedelta(hours=23) < job.delete_at - utc_now() < timedelta(hours=25)
    async with bench.database.transaction() as session:
        assert await jobs.end_expired(session, utc_now(), 10) == 0
        assert await jobs.end_expired(session, utc_now() + timedelta(days=2), 10) == 1
    assert await bench.rows() == []


async def test_a_kind_that_no_worker_knows_waits_for_one_that_does(bench: Bench) -> None:
    await bench.enqueue(OTHER, "x")
    await bench.run_all()
    assert (await bench.only()).status is JobStatus.QUEUED
    bench.runs(OTHER)
    await bench.run_all()
    assert bench.ran == ["x"]


async def test_a_worker_that_ends_gives_its_jobs_back_and_nothing_has_failed(bench: Bench) -> None:
    began = asyncio.Event()

    async def hang(_: Word, __: ClaimedJob) -> None:
        began.set()
        await asyncio.Future()

    bench.runs(OTHER, hang)
    await bench.enqueue(OTHER, "x")
    async with bench.running():
        await began.wait()
        assert (await bench.only()).status is JobStatus.RUNNING
    job = await bench.only()
    assert (job.status, job.attempts, job.crashes, job.worker_id) == (JobStatus.QUEUED, 0, 0, None)
    async with bench.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(JobWorker)) == 0


async def test_what_an_earlier_run_tells_is_ignored(bench: Bench) -> None:
    await bench.enqueue(NOTE, "x")
    queue = bench.queue()
    first, second = await queue.register(), await queue.register()
    (stale,) = await queue.exchange(first, [], 1, suspects=True, promotes=False)
    assert await queue.bury(first, 0) == 1
    (own,) = await queue.exchange(second, [], 1, suspects=True, promotes=False)
    assert (own.run, own.crashes) == (2, 1)
    third = await queue.register()
    await queue.exchange(third, [Done(stale)], 0, suspects=True, promotes=False)
    assert (await bench.only()).status is JobStatus.RUNNING
    await queue.exchange(second, [Done(own)], 0, suspects=True, promotes=False)
    assert (await bench.only()).status is JobStatus.DONE


async def test_a_worker_that_shows_life_is_not_buried(bench: Bench) -> None:
    queue = bench.queue()
    worker = await queue.register()
    assert await queue.signs_of_life() == {}, "it has no jobs"
    await bench.enqueue(NOTE, "x")
    await queue.exchange(worker, [], 1, suspects=True, promotes=False)
    assert await queue.signs_of_life() == {worker: 0}
    await queue.sign_of_life(worker)
    assert await queue.bury(worker, 0) == 0
    assert await queue.signs_of_life() == {worker: 1}
    assert await queue.bury(worker, 1) == 1
    with pytest.raises(LostRegistrationError):
        await queue.sign_of_life(worker)


async def test_workers_that_died_without_jobs_are_forgotten(bench: Bench) -> None:
    await bench.enqueue(NOTE, "x")
    queue = bench.queue()
    busy, _ = await queue.register(), await queue.register()
    await queue.exchange(busy, [], 1, suspects=True, promotes=False)
    async with bench.database.transaction() as session:
        assert await jobs.end_silent_workers(session, utc_now(), 10) == 0
        assert await jobs.end_silent_workers(session, utc_now() + timedelta(days=2), 10) == 1
        assert list(await session.scalars(select(JobWorker.id))) == [busy]


async def test_a_worker_that_others_have_buried_begins_anew(bench: Bench) -> None:
    async with bench.running() as worker:
        await bench.until(lambda: worker.id)
        before = worker.id
        async with bench.database.transaction() as session:
            await session.execute(delete(JobWorker).where(JobWorker.id == before))
        await bench.enqueue(NOTE, "x")
        await bench.until(lambda: bench.ran)
        assert worker.id not in {0, before}


async def test_one_suspect_runs_at_a_time(bench: Bench) -> None:
    await bench.enqueue(NOTE, "a", "b", "c")
    await bench.change(crashes=1)
    await bench.enqueue(NOTE, "fresh")
    queue = bench.queue()
    worker = await queue.register()
    claimed = await queue.exchange(worker, [], 10, suspects=True, promotes=False)
    assert sorted(job.crashes for job in claimed) == [0, 1]
    assert await queue.exchange(worker, [], 10, suspects=False, promotes=False) == []
    await bench.run_all()
    assert sorted(bench.ran) == ["b", "c"]


async def test_jobs_that_were_claimed_without_an_answer_are_given_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = JobQueue.exchange
    lost: list[bool] = []

    async def unanswered(queue: JobQueue, *arguments: Any, **options: Any) -> list[ClaimedJob]:
        claimed = await exchange(queue, *arguments, **options)
        if claimed and not lost:
            lost.append(True)
            raise OSError("the connection was lost when all was committed")
        return claimed

    monkeypatch.setattr(JobQueue, "exchange", unanswered)
    await bench.enqueue(NOTE, "a", "b")
    async with bench.running():
        await bench.until(lambda: sorted(bench.ran) == ["a", "b"])
    assert {job.crashes for job in await bench.rows()} == {0}


async def test_a_store_that_was_away_has_nobody_taken_for_dead(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = bench.worker(life_sign_seconds=1, dead_after_seconds=3)
    buried: list[int] = []

    async def bury(_: JobQueue, dead: int, __: int) -> int:
        buried.append(dead)
        return 0

    now = 0.0
    monkeypatch.setattr(JobQueue, "bury", bury)
    monkeypatch.setattr("app.core.jobs.worker.clock.seconds", lambda: now)
    await worker.bury_dead({7: 1})
    now = 60.0  # seconds in which nobody could show a sign
    await worker.bury_dead({7: 1})
    assert buried == []
    for now in (61.0, 62.0, 63.0):  # noqa: B007 - the clock reads it
        await worker.bury_dead({7: 1})
    assert buried == [7]


async def test_a_job_logs_with_the_id_of_its_request(bench: Bench) -> None:
    found: list[Any] = []

    async def look(_: Word, __: ClaimedJob) -> None:
        found.append(structlog.contextvars.get_contextvars())

    bench.runs(OTHER, look)
    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        (id_,) = await bench.enqueue(OTHER, "x")
    await bench.run_all()
    assert found == [{"request_id": "req-1", "job_id": id_, "job": "test.other"}]


async def test_a_users_jobs_go_with_the_account(bench: Bench) -> None:
    async with bench.database.transaction() as session:
        user = await new_user(session)
        await bench.jobs.enqueue(session, NOTE, Word(text="for them"), user_id=user.id)
        await bench.jobs.enqueue(session, NOTE, Word(text="for all"))
    async with bench.database.transaction() as session:
        await session.execute(delete(User).where(User.id == user.id))
    await bench.run_all()
    assert bench.ran == ["for all"]


async def new_user(session: WriteSession) -> User:
    user = User(username="alice", email="alice@example.com", hashed_password="x")
    session.add(user)
    await session.flush()
    return user


async def test_a_job_that_waits_can_be_cancelled(bench: Bench) -> None:
    (id_,) = await bench.enqueue(NOTE, "x")
    async with bench.database.transaction() as session:
        await jobs.cancel(session, id_)
    await bench.run_all()
    assert bench.ran == []
    assert (await bench.only()).status is JobStatus.CANCELLED
    with pytest.raises(NotCancellableError):
        async with bench.database.transaction() as session:
            await jobs.cancel(session, id_)
    with pytest.raises(NotFoundError):
        async with bench.database.transaction() as session:
            await jobs.cancel(session, id_ + 1)


async def test_what_failed_can_be_run_again(bench: Bench) -> None:
    (id_,) = await bench.enqueue(NOTE, "x")
    with pytest.raises(NotRetryableError):
        async with bench.database.transaction() as session:
            await jobs.retry(session, id_)
    await bench.change(status=JobStatus.FAILED, attempts=3, crashes=3, error="x", delete_at=utc_now())
    async with bench.database.transaction() as session:
        await jobs.retry(session, id_)
    await bench.run_all()
    job = await bench.only()
    assert (bench.ran, job.status, job.attempts, job.crashes) == (["x"], JobStatus.DONE, 1, 0)
