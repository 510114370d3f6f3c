"""Jobs: when they run, when they do not, and what is said about those that fail."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from structlog.contextvars import bound_contextvars, get_contextvars

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.core.db.session import WriteSession
from app.services.after_commit import AfterCommit
from tests.conftest import running

type Logs = Callable[[], list[dict[str, Any]]]

SECRET = "bob@example.com token-0123456789"


class Ledger:
    """Real jobs that leave a trace."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.tries = 0

    async def note(self, name: str) -> None:
        self.done.append(name)

    async def fail(self, times: int) -> None:
        self.tries += 1
        if self.tries <= times:
            raise ConnectionError(SECRET)

    async def hang(self) -> None:
        self.tries += 1
        await asyncio.Event().wait()


@pytest.fixture
async def after_commit() -> AsyncIterator[AfterCommit]:
    after_commit = AfterCommit(capacity=3, first_wait=0.001, close_timeout=0.2)
    yield after_commit
    await after_commit.close()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def freeze_gc() -> None:
    """Give whatever has been started, and should not have been, the time to run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_job_runs_once_after_the_commit(
    services: AppServices, after_commit: AfterCommit, ledger: Ledger
) -> None:
    async with services.database.transaction() as session:
        await session.execute(text("SELECT 1"))
        await after_commit.enqueue(session, partial(ledger.note, "mail"))
        await freeze_gc()
        assert not ledger.done
    await after_commit.join()
    assert ledger.done == ["mail"]


async def test_a_job_runs_after_the_commit_of_a_real_transaction(
    real_settings: Settings, after_commit: AfterCommit, ledger: Ledger
) -> None:
    async with running(real_settings) as (_, _, services):
        async with services.database.transaction() as session:
            await after_commit.enqueue(session, partial(ledger.note, "mail"))
            await freeze_gc()
            assert not ledger.done
        await after_commit.join()
    assert ledger.done == ["mail"]


async def test_a_job_does_not_run_after_a_rollback(
    services: AppServices, after_commit: AfterCommit, ledger: Ledger
) -> None:
    async def use_case() -> None:
        async with services.database.transaction() as session:
            await after_commit.enqueue(session, partial(ledger.note, "mail"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use_case()
    await freeze_gc()
    assert not after_commit.tasks
    assert not ledger.done


async def test_a_job_does_not_run_when_a_statement_fails(
    services: AppServices, after_commit: AfterCommit, ledger: Ledger
) -> None:
    async def use_case() -> None:
        async with services.database.transaction() as session:
            await after_commit.enqueue(session, partial(ledger.note, "mail"))
            await session.execute(text("INSERT INTO items (title) VALUES (NULL)"))

    with pytest.raises(IntegrityError):
        await use_case()
    await freeze_gc()
    assert not ledger.done


async def test_one_session_serves_several_transactions(
    services: AppServices, after_commit: AfterCommit, ledger: Ledger
) -> None:
    async with services.database.write() as session:
        async with session.begin():
            await after_commit.enqueue(session, partial(ledger.note, "first"))
        await session.begin()
        await after_commit.enqueue(session, partial(ledger.note, "rolled back"))
        await session.rollback()
        await session.begin()
        await after_commit.enqueue(session, partial(ledger.note, "closed without a commit"))
        await session.close()
        async with session.begin():
            await after_commit.enqueue(session, partial(ledger.note, "second"))
    await after_commit.join()
    assert ledger.done == ["first", "second"]


async def test_a_savepoint_is_no_commit(services: AppServices, after_commit: AfterCommit, ledger: Ledger) -> None:
    async def use_case() -> None:
        async with services.database.transaction() as session:
            async with session.begin_nested():
                await after_commit.enqueue(session, partial(ledger.note, "inside"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use_case()
    await freeze_gc()
    assert not ledger.done


async def test_what_a_savepoint_takes_back_takes_its_jobs_along(
    services: AppServices, after_commit: AfterCommit, ledger: Ledger
) -> None:
    async def part_of_it(session: WriteSession) -> None:
        async with session.begin_nested():
            async with session.begin_nested():
                await after_commit.enqueue(session, partial(ledger.note, "inside"))
            raise ZeroDivisionError

    async with services.database.transaction() as session:
        await after_commit.enqueue(session, partial(ledger.note, "before"))
        with pytest.raises(ZeroDivisionError):
            await part_of_it(session)
        async with session.begin_nested():
            await after_commit.enqueue(session, partial(ledger.note, "kept"))
    await after_commit.join()
    assert ledger.done == ["before", "kept"]


async def test_a_posted_job_needs_no_transaction(after_commit: AfterCommit, ledger: Ledger) -> None:
    await after_commit.post(partial(ledger.note, "look-up"))
    assert not ledger.done  # the answer does not wait for it
    await after_commit.join()
    assert ledger.done == ["look-up"]


async def test_a_job_that_fails_is_tried_again(after_commit: AfterCommit, ledger: Ledger, logs: Logs) -> None:
    await after_commit.post(partial(ledger.fail, 4))
    await after_commit.join()
    assert ledger.tries == 5
    assert [entry["level"] for entry in logs()] == ["warning"] * 4


async def test_a_job_that_keeps_failing_is_given_up_without_telling_its_data(
    after_commit: AfterCommit, ledger: Ledger, logs: Logs
) -> None:
    await after_commit.post(partial(ledger.fail, 99))
    await after_commit.join()
    assert ledger.tries == 5
    last = logs()[-1]
    assert (last["level"], last["job"], last["error"], last["attempt"]) == (
        "error",
        "Ledger.fail",
        "ConnectionError",
        5,
    )
    assert "test_after_commit.py" in last["where"]
    assert not any(word in str(logs()) for word in SECRET.split())


async def test_waits_grow(ledger: Ledger) -> None:
    after_commit = AfterCommit(attempts=3, first_wait=0.02)
    began = asyncio.get_running_loop().time()
    await after_commit.post(partial(ledger.fail, 2))
    await after_commit.join()
    assert asyncio.get_running_loop().time() - began >= 0.02 * 0.5 + 0.08 * 0.5


async def test_one_failing_job_holds_up_no_other(ledger: Ledger) -> None:
    after_commit = AfterCommit(concurrency=1, first_wait=60, close_timeout=0)
    await after_commit.post(partial(ledger.fail, 99))
    await after_commit.post(partial(ledger.note, "next"))
    await freeze_gc()
    assert ledger.done == ["next"]
    await after_commit.close()


async def test_only_some_jobs_run_at_a_time() -> None:
    after_commit = AfterCommit(concurrency=2)
    running_now = most = 0

    async def job() -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.001)
        running_now -= 1

    for _ in range(10):
        await after_commit.post(job)
    await after_commit.join()
    assert most == 2


async def test_a_full_outbox_drops_jobs_and_fails_no_request(
    services: AppServices, after_commit: AfterCommit, ledger: Ledger, logs: Logs
) -> None:
    for _ in range(3):
        await after_commit.post(ledger.hang)
    async with services.database.transaction() as session:
        await after_commit.enqueue(session, partial(ledger.note, SECRET))
    await freeze_gc()
    assert not ledger.done
    assert [(entry["level"], entry["job"], entry["waiting"]) for entry in logs()] == [("error", "Ledger.note", 3)]
    assert "example.com" not in str(logs())
    await after_commit.close()


async def test_closing_finishes_jobs_and_those_that_they_make(after_commit: AfterCommit, ledger: Ledger) -> None:
    async def look_up() -> None:
        await asyncio.sleep(0.001)
        await after_commit.post(partial(ledger.note, "mail"))

    await after_commit.post(look_up)
    await after_commit.close()
    assert ledger.done == ["mail"]


async def test_closing_does_not_wait_for_ever(after_commit: AfterCommit, ledger: Ledger, logs: Logs) -> None:
    await after_commit.post(ledger.hang)
    await after_commit.close()
    await after_commit.post(partial(ledger.note, "too late"))
    assert [(entry["level"], entry.get("count")) for entry in logs()] == [("error", 1), ("error", None)]
    assert logs()[0]["jobs"] == ["Ledger.hang"]
    assert not ledger.done
    assert not after_commit.tasks


async def test_a_job_logs_with_the_id_of_its_request(after_commit: AfterCommit) -> None:
    seen = {}

    async def job() -> None:
        seen.update(get_contextvars())

    with bound_contextvars(request_id="r-1"):
        await after_commit.post(job)
    await after_commit.join()
    assert seen == {"request_id": "r-1"}


async def test_the_application_drains_its_outbox_at_the_shutdown(settings: Settings, ledger: Ledger) -> None:
    async with running(settings) as (_, _, services):
        await services.after_commit.post(partial(ledger.note, "mail"))
    assert ledger.done == ["mail"]
    assert services.after_commit.is_closed
