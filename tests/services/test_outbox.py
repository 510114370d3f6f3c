"""Jobs: when they run, when they do not, and what is said about those that fail."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.contextvars import bound_contextvars, get_contextvars

from app.api.deps import Resources
from app.core.config.settings import Settings
from app.services.outbox import Outbox
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
async def outbox() -> AsyncIterator[Outbox]:
    outbox = Outbox(capacity=3, first_wait=0.001, close_timeout=0.2)
    yield outbox
    await outbox.close()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def settle() -> None:
    """Give whatever has been started, and should not have been, the time to run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_job_runs_once_after_the_commit(resources: Resources, outbox: Outbox, ledger: Ledger) -> None:
    async with resources.database.transaction() as session:
        await session.execute(text("SELECT 1"))
        await outbox.enqueue(session, partial(ledger.note, "mail"))
        await settle()
        assert not ledger.done
    await outbox.join()
    assert ledger.done == ["mail"]


async def test_a_job_runs_after_the_commit_of_a_real_transaction(
    real_settings: Settings, outbox: Outbox, ledger: Ledger
) -> None:
    async with running(real_settings) as (_, _, resources):
        async with resources.database.transaction() as session:
            await outbox.enqueue(session, partial(ledger.note, "mail"))
            await settle()
            assert not ledger.done
        await outbox.join()
    assert ledger.done == ["mail"]


async def test_a_job_does_not_run_after_a_rollback(resources: Resources, outbox: Outbox, ledger: Ledger) -> None:
    async def use_case() -> None:
        async with resources.database.transaction() as session:
            await outbox.enqueue(session, partial(ledger.note, "mail"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use_case()
    await settle()
    assert not outbox.tasks
    assert not ledger.done


async def test_a_job_does_not_run_when_a_statement_fails(resources: Resources, outbox: Outbox, ledger: Ledger) -> None:
    async def use_case() -> None:
        async with resources.database.transaction() as session:
            await outbox.enqueue(session, partial(ledger.note, "mail"))
            await session.execute(text("INSERT INTO items (title) VALUES (NULL)"))

    with pytest.raises(IntegrityError):
        await use_case()
    await settle()
    assert not ledger.done


async def test_one_session_serves_several_transactions(resources: Resources, outbox: Outbox, ledger: Ledger) -> None:
    async with resources.database.write() as session:
        async with session.begin():
            await outbox.enqueue(session, partial(ledger.note, "first"))
        await session.begin()
        await outbox.enqueue(session, partial(ledger.note, "rolled back"))
        await session.rollback()
        await session.begin()
        await outbox.enqueue(session, partial(ledger.note, "closed without a commit"))
        await session.close()
        async with session.begin():
            await outbox.enqueue(session, partial(ledger.note, "second"))
    await outbox.join()
    assert ledger.done == ["first", "second"]


async def test_a_savepoint_is_no_commit(resources: Resources, outbox: Outbox, ledger: Ledger) -> None:
    async def use_case() -> None:
        async with resources.database.transaction() as session:
            async with session.begin_nested():
                await outbox.enqueue(session, partial(ledger.note, "inside"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use_case()
    await settle()
    assert not ledger.done


async def test_what_a_savepoint_takes_back_takes_its_jobs_along(
    resources: Resources, outbox: Outbox, ledger: Ledger
) -> None:
    async def part_of_it(session: AsyncSession) -> None:
        async with session.begin_nested():
            async with session.begin_nested():
                await outbox.enqueue(session, partial(ledger.note, "inside"))
            raise ZeroDivisionError

    async with resources.database.transaction() as session:
        await outbox.enqueue(session, partial(ledger.note, "before"))
        with pytest.raises(ZeroDivisionError):
            await part_of_it(session)
        async with session.begin_nested():
            await outbox.enqueue(session, partial(ledger.note, "kept"))
    await outbox.join()
    assert ledger.done == ["before", "kept"]


async def test_a_posted_job_needs_no_transaction(outbox: Outbox, ledger: Ledger) -> None:
    await outbox.post(partial(ledger.note, "look-up"))
    assert not ledger.done  # the answer does not wait for it
    await outbox.join()
    assert ledger.done == ["look-up"]


async def test_a_job_that_fails_is_tried_again(outbox: Outbox, ledger: Ledger, logs: Logs) -> None:
    await outbox.post(partial(ledger.fail, 4))
    await outbox.join()
    assert ledger.tries == 5
    assert [entry["level"] for entry in logs()] == ["warning"] * 4


async def test_a_job_that_keeps_failing_is_given_up_without_telling_its_data(
    outbox: Outbox, ledger: Ledger, logs: Logs
) -> None:
    await outbox.post(partial(ledger.fail, 99))
    await outbox.join()
    assert ledger.tries == 5
    last = logs()[-1]
    assert (last["level"], last["job"], last["error"], last["attempt"]) == (
        "error",
        "Ledger.fail",
        "ConnectionError",
        5,
    )
    assert "test_outbox.py" in last["where"]
    assert not any(word in str(logs()) for word in SECRET.split())


async def test_waits_grow(ledger: Ledger) -> None:
    outbox = Outbox(attempts=3, first_wait=0.02)
    began = asyncio.get_running_loop().time()
    await outbox.post(partial(ledger.fail, 2))
    await outbox.join()
    assert asyncio.get_running_loop().time() - began >= 0.02 * 0.5 + 0.08 * 0.5


async def test_one_failing_job_holds_up_no_other(ledger: Ledger) -> None:
    outbox = Outbox(concurrency=1, first_wait=60, close_timeout=0)
    await outbox.post(partial(ledger.fail, 99))
    await outbox.post(partial(ledger.note, "next"))
    await settle()
    assert ledger.done == ["next"]
    await outbox.close()


async def test_only_some_jobs_run_at_a_time() -> None:
    outbox = Outbox(concurrency=2)
    running_now = most = 0

    async def job() -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.001)
        running_now -= 1

    for _ in range(10):
        await outbox.post(job)
    await outbox.join()
    assert most == 2


async def test_a_full_outbox_drops_jobs_and_fails_no_request(
    resources: Resources, outbox: Outbox, ledger: Ledger, logs: Logs
) -> None:
    for _ in range(3):
        await outbox.post(ledger.hang)
    async with resources.database.transaction() as session:
        await outbox.enqueue(session, partial(ledger.note, SECRET))
    await settle()
    assert not ledger.done
    assert [(entry["level"], entry["job"], entry["waiting"]) for entry in logs()] == [("error", "Ledger.note", 3)]
    assert "example.com" not in str(logs())
    await outbox.close()


async def test_closing_finishes_jobs_and_those_that_they_make(outbox: Outbox, ledger: Ledger) -> None:
    async def look_up() -> None:
        await asyncio.sleep(0.001)
        await outbox.post(partial(ledger.note, "mail"))

    await outbox.post(look_up)
    await outbox.close()
    assert ledger.done == ["mail"]


async def test_closing_does_not_wait_for_ever(outbox: Outbox, ledger: Ledger, logs: Logs) -> None:
    await outbox.post(ledger.hang)
    await outbox.close()
    await outbox.post(partial(ledger.note, "too late"))
    assert [(entry["level"], entry.get("count")) for entry in logs()] == [("error", 1), ("error", None)]
    assert logs()[0]["jobs"] == ["Ledger.hang"]
    assert not ledger.done
    assert not outbox.tasks


async def test_a_job_logs_with_the_id_of_its_request(outbox: Outbox) -> None:
    seen = {}

    async def job() -> None:
        seen.update(get_contextvars())

    with bound_contextvars(request_id="r-1"):
        await outbox.post(job)
    await outbox.join()
    assert seen == {"request_id": "r-1"}


async def test_the_application_drains_its_outbox_at_the_shutdown(settings: Settings, ledger: Ledger) -> None:
    async with running(settings) as (_, _, resources):
        await resources.outbox.post(partial(ledger.note, "mail"))
    assert ledger.done == ["mail"]
    assert resources.outbox.is_closed
