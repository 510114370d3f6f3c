"""`/ready` is asked by anybody as often as they like, and asks the database once a second."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event, text

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.observability.readiness import MAX_AGE
from app.main import create_app, open_app_services
from tests.api.test_conventions import assert_problem
from tests.conftest import SECRET, connected, running

FORTY = 40


@pytest.fixture
def questions(services: AppServices) -> Iterator[list[str]]:
    """The statements that ask at which migration the database is."""
    asked: list[str] = []

    def listen(*args: Any) -> None:
        if "FROM alembic_version" in args[2]:
            asked.append(args[2])

    engine = services.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", listen)
    yield asked
    event.remove(engine, "before_cursor_execute", listen)


async def ask(client: httpx.AsyncClient, number: int = FORTY) -> list[httpx.Response]:
    return await asyncio.gather(*(client.get("/ready") for _ in range(number)))


def expire(services: AppServices) -> None:
    """As if the last verdict were a second old."""
    services.readiness.asked_at -= MAX_AGE.total_seconds()


async def test_forty_who_ask_at_once_cost_one_question(client: httpx.AsyncClient, questions: list[str]) -> None:
    assert {answer.status_code for answer in await ask(client)} == {200}
    assert len(questions) == 1


async def test_within_a_second_nobody_asks_again_and_after_it_one_does(
    client: httpx.AsyncClient, services: AppServices, questions: list[str]
) -> None:
    for _ in range(2):
        for _ in range(10):
            assert (await client.get("/ready")).status_code == 200
        expire(services)
    assert len(questions) == 2


@pytest.mark.real_database
async def test_a_database_that_is_not_ready_any_more_is_told_after_a_second_at_most(real_settings: Settings) -> None:
    async with running(real_settings) as (_, manager, services), connected(manager.app) as client:
        assert (await client.get("/ready")).status_code == 200
        async with services.database.transaction() as session:
            await session.execute(text("UPDATE alembic_version SET version_num = 'older'"))
        expire(services)
        for _ in range(2):
            assert_problem(await client.get("/ready"), 503, "migrations_pending")


async def test_forty_who_ask_a_database_that_is_gone_wait_for_one_attempt(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = Settings.model_validate(
        {
            "environment": "test",
            "data_dir": tmp_path,
            "database_url": "postgresql://nobody@127.0.0.1:1/nothing",
            "jwt_secret_key": SECRET,
            "max_concurrent_requests": 1,
        }
    )
    app, services = create_app(gone), open_app_services(gone, Database(gone))

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"services": services}}, receive, send)

    async with connected(with_state) as client:
        answers = await ask(client)
    for answer in answers:
        assert_problem(answer, 503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert capfd.readouterr().err.count("database unavailable") == 1
    await services.database.close()


@pytest.mark.real_database
async def test_who_leaves_while_they_wait_takes_nobody_with_them(real_settings: Settings) -> None:
    async with running(real_settings) as (_, manager, _), connected(manager.app) as client:
        tasks = [asyncio.create_task(client.get("/ready")) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, httpx.Response) and result.status_code for result in results] == [False, 200, 200]
