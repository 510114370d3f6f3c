"""Connections that die without a word: the service is back within seconds, and slow statements go on meanwhile."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from app.core.db.engine import Database
from app.core.db.session import fetch
from tests.conftest import POSTGRES_URL, connected, run_on_server, running, settings_for
from tests.core.test_driver import ADD, SLEEP, stored
from tests.e2e.test_cut_connections import CALLS, Call
from tests.factories import Factory
from tests.pgbouncer import pgbouncer
from tests.proxy import Proxy, before

DEAD = 5
# Longer than it takes on a busy machine to find out; a minute and more it would be without that.
BACK_SECONDS = 6
SLOW_SECONDS = 1.5

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL"),
]

type Work = Callable[[Database], Coroutine[None, None, None]]


@dataclass
class Service:
    client: httpx.AsyncClient
    database: Database
    headers: dict[str, str]
    proxy: Proxy

    async def ask(self, path: str, call: Call | None = None) -> tuple[int, float]:
        """The status, and how many seconds it took."""
        began = time.monotonic()
        answer = await (call(self.client, self.headers) if call else self.client.get(path, headers=self.headers))
        return answer.status_code, time.monotonic() - began

    async def ask_twice_a_second(self, seconds: float, *names: str) -> tuple[list[tuple[int, float]], int]:
        """What was answered in the end, in the order of the questions, and how many are still without an answer.

        `names` are of calls, or paths, which take turns.
        """
        tasks = []
        for name in islice(cycle(names), int(2 * seconds)):
            tasks.append(asyncio.create_task(self.ask(name, CALLS.get(name))))
            await asyncio.sleep(0.5)
        unanswered = [task for task in tasks if not task.done()]
        for task in unanswered:
            task.cancel()
        await asyncio.gather(*unanswered, return_exceptions=True)
        return [task.result() for task in tasks if task not in unanswered], len(unanswered)


async def sleep(database: Database, seconds: float) -> None:
    async with database.primary() as session:
        await fetch(session, SLEEP, seconds=seconds)


@asynccontextmanager
async def service(url: URL, folder: Path, *, is_pooled: bool = False, pool_size: int = 2) -> AsyncIterator[Service]:
    """With connections that are idle, and known to be alive."""
    with pgbouncer(url, folder, pool_size) if is_pooled else nullcontext(url) as there:
        async with before(there) as (proxied, proxy):
            settings = settings_for(proxied, folder, db_pgbouncer=is_pooled)
            async with running(settings) as (_, manager, services), connected(manager.app) as client:
                factory = Factory(services)
                headers = await factory.bearer(await factory.user(username="alice"))
                database = services.database
                await asyncio.gather(*(sleep(database, 0.2) for _ in range(DEAD)))
                yield Service(client, database, headers, proxy)


@pytest.mark.parametrize(
    ("names", "is_pooled"),
    [(["/api/v1/items"], False), (["/api/v1/auth/sessions"], False), (["login", "items", "create", "books"], True)],
)
async def test_the_service_is_back_seconds_after_all_connections_went_silent(
    real_url: URL, tmp_path: Path, names: list[str], is_pooled: bool
) -> None:
    async with service(real_url, tmp_path, is_pooled=is_pooled) as it:
        it.proxy.silence()
        answers, unanswered = await it.ask_twice_a_second(BACK_SECONDS, *names)
    assert all(status in {200, 201} for status, _ in answers[-3:])
    slow = [seconds for _, seconds in answers if seconds > SLOW_SECONDS]
    assert len(slow) + unanswered <= DEAD + 1, "at most one for each connection that died"


async def test_so_it_is_where_the_connections_of_the_pooler_itself_went_silent(real_url: URL, tmp_path: Path) -> None:
    async with (
        before(real_url) as (behind, proxy),
        service(behind.set(query={}), tmp_path, is_pooled=True, pool_size=20) as it,
    ):
        proxy.silence()
        answers, unanswered = await it.ask_twice_a_second(BACK_SECONDS, "login", "items", "create", "books")
    assert all(status in {200, 201} for status, _ in answers[-3:])
    assert unanswered == 0


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_a_rush_of_requests_onto_silent_connections_does_not_keep_the_next_out(
    real_url: URL, tmp_path: Path, is_pooled: bool
) -> None:
    async with service(real_url, tmp_path, is_pooled=is_pooled) as it:
        await asyncio.gather(*(sleep(it.database, 0.3) for _ in range(10)))
        it.proxy.silence()
        async with asyncio.timeout(BACK_SECONDS + 2 * is_pooled):
            answers = await asyncio.gather(*(it.ask("/api/v1/items") for _ in range(30)))
        assert {status for status, _ in answers} <= {200, 503}
        assert (await it.ask("/api/v1/items"))[0] == 200


@pytest.mark.parametrize("is_pooled", [False, True])
async def test_a_slow_statement_on_a_healthy_connection_goes_on(real_url: URL, tmp_path: Path, is_pooled: bool) -> None:
    async with service(real_url, tmp_path, is_pooled=is_pooled) as it:
        slow = asyncio.create_task(sleep(it.database, 5))
        await asyncio.sleep(0.2)
        others = await it.ask_twice_a_second(4.5, "/api/v1/items")
        await slow
    assert {status for status, _ in others[0]} == {200}


async def test_so_does_one_that_waits_for_its_turn_in_the_pooler(real_url: URL, tmp_path: Path) -> None:
    async with service(real_url, tmp_path, is_pooled=True) as it:
        await asyncio.gather(*(sleep(it.database, 2.5) for _ in range(6)))


async def on_the_driver(database: Database) -> None:
    await sleep(database, 30)


async def in_a_transaction(database: Database) -> None:
    async with database.transaction() as session:
        await fetch(session, ADD, resource="silent")
        await fetch(session, SLEEP, seconds=30)


async def on_sqlalchemy(database: Database) -> None:
    async with database.engine.connect() as connection:
        await connection.execute(select(func.pg_sleep(30)))


async def add_and(then: Callable[[], None], database: Database) -> None:
    async with database.transaction() as session:
        await fetch(session, ADD, resource="lost")
        then()


@asynccontextmanager
async def one_connection(url: URL, folder: Path, *, is_pooled: bool = False) -> AsyncIterator[tuple[Database, Proxy]]:
    async with before(url) as (proxied, proxy):
        settings = settings_for(proxied, folder, db_pool_size=1, db_max_overflow=0, db_pgbouncer=is_pooled)
        database = Database(settings)
        async with database.primary() as session:
            await session.execute(select(1))
        yield database, proxy
        await database.close()


@pytest.mark.parametrize("is_pooled", [False, True])
@pytest.mark.parametrize("work", [on_the_driver, in_a_transaction, on_sqlalchemy])
async def test_a_connection_whose_statement_was_given_up_is_not_used_again(
    real_url: URL, tmp_path: Path, work: Work, is_pooled: bool
) -> None:
    async with one_connection(real_url, tmp_path, is_pooled=is_pooled) as (database, proxy):
        task = asyncio.create_task(work(database))
        await asyncio.sleep(0.2)
        proxy.silence()
        task.cancel()
        async with asyncio.timeout(4):
            with suppress(asyncio.CancelledError, DBAPIError):
                await task
            assert await stored(database) == set()


async def test_nor_is_one_whose_commit_was_given_up(real_url: URL, tmp_path: Path) -> None:
    async with one_connection(real_url, tmp_path) as (database, proxy), asyncio.timeout(6):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(add_and(proxy.silence, database), 1)
        assert await stored(database) == set()


async def test_what_is_given_up_here_the_server_does_not_go_on_with(real_url: URL, tmp_path: Path) -> None:
    async with one_connection(real_url, tmp_path) as (database, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await sleep(database, 30)
        running_still = f"datname = '{real_url.database}' AND state = 'active' AND query LIKE '%pg_sleep(%'"
        find = f"SELECT 1 / (1 - least(count(*), 1)) FROM pg_stat_activity WHERE {running_still}"
        await asyncio.sleep(1)
        await run_on_server(find)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
async def test_the_kernel_tells_of_a_host_that_is_gone(real_url: URL, tmp_path: Path) -> None:
    async with one_connection(real_url, tmp_path) as (database, _):
        connection = await database.engine.raw_connection()
        assert connection.driver_connection is not None
        client = connection.driver_connection._transport.get_extra_info("socket")
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        connection.close()


async def test_connections_that_cannot_be_made_leave_those_that_work_alone(real_url: URL, tmp_path: Path) -> None:
    async with service(real_url, tmp_path) as it:
        it.proxy.mutes = True
        answers = await asyncio.gather(*(it.ask("/api/v1/items") for _ in range(DEAD)))
        assert {status for status, _ in answers} == {200}
        assert max(seconds for _, seconds in answers) < 5, "half of what connecting may take"
