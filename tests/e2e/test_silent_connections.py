"""Connections that die without a word: the service is back within seconds, and slow statements go on meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from app.core.config import Settings
from app.core.database import Database
from app.core.database_errors import is_connection_failure
from app.core.prepared import Prepared
from app.core.session import fetch
from tests.api.calls import login
from tests.conftest import POSTGRES_URL, connected, running, settings_for
from tests.factories import Factory
from tests.pgbouncer import pgbouncer
from tests.proxy import Proxy, before

BACK_SECONDS = 10
SLOW_SECONDS = 0.9
SLEEP = Prepared(select(func.pg_sleep(bindparam("seconds")).label("slept")))
PID = Prepared(select(func.pg_backend_pid().label("pid")))

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL"),
]


@dataclass
class Service:
    client: httpx.AsyncClient
    database: Database
    headers: dict[str, str]
    proxy: Proxy

    async def ask(self, path: str) -> tuple[int, float]:
        """The status, and how many seconds it took."""
        began = time.monotonic()
        answer = await self.client.get(path, headers=self.headers)
        return answer.status_code, time.monotonic() - began

    async def open_connections(self, number: int = 6) -> None:
        """All of them are idle afterwards, and known to be alive."""
        await asyncio.gather(*(self.sleep(0.3) for _ in range(number)))

    async def sleep(self, seconds: float) -> None:
        async with self.database.primary() as session:
            await fetch(session, SLEEP, seconds=seconds)


@asynccontextmanager
async def service(url: URL, folder: Path, **changes: object) -> AsyncIterator[Service]:
    async with before(url) as (proxied, proxy):
        settings = settings_for(proxied, folder, **changes)
        async with running(settings) as (_, manager, resources), connected(manager.app) as client:
            factory = Factory(resources)
            headers = await factory.bearer(await factory.user(username="alice"))
            yield Service(client, resources.database, headers, proxy)


async def asked_twice_a_second(service: Service, path: str, seconds: float) -> list[tuple[int, float]]:
    calls = []
    for _ in range(int(2 * seconds)):
        calls.append(asyncio.create_task(service.ask(path)))
        await asyncio.sleep(0.5)
    return list(await asyncio.gather(*calls))


@pytest.mark.parametrize("path", ["/api/v1/items", "/api/v1/books", "/api/v1/auth/sessions"])
@pytest.mark.parametrize("is_pooled", [False, True])
async def test_the_service_is_back_seconds_after_all_connections_went_silent(
    real_url: URL, tmp_path: Path, path: str, is_pooled: bool
) -> None:
    async with service(real_url, tmp_path, cache_enabled=False) as it:
        await it.open_connections()
        it.proxy.silence()
        answers = await asked_twice_a_second(it, path, 6)
        print(answers)
