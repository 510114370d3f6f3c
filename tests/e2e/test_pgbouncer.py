"""Two workers behind a PgBouncer with few connections to the server: every request gets through."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL

from app.core.config.settings import Settings
from app.models.item import Item
from app.models.order import Order
from tests.api.calls import login
from tests.api.test_orders import basket
from tests.conftest import POSTGRES_URL, settings_for
from tests.pgbouncer import pgbouncer
from tests.process import factory_for, serve_process

ROUNDS = 40

type Headers = dict[str, str]

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL"),
]


async def mixed(
    client: httpx.AsyncClient, headers: Headers, theirs: Headers, item: Item, number: int
) -> list[httpx.Response]:
    """All kinds of session at once: a transaction, single reads, a download, locks, and what signs in."""
    path = f"/api/v1/items/{item.id}"
    once = headers | {"Idempotency-Key": f"{number}"}
    calls = [
        client.get("/api/v1/items", params={"q": "item", "limit": 5}, headers=headers),
        client.post("/api/v1/items", json={"title": f"new {number}"}, headers=once),
        client.patch(path, json={"title": f"changed {number}"}, headers=headers),
        client.get(path, headers=headers),
        client.post("/api/v1/orders", json=basket((item.id, 1)), headers=theirs),
        client.get("/api/v1/books"),
        client.get("/ready"),
    ]
    if number % 10 == 0:
        calls += [client.get("/api/v1/items/export", params={"format": "csv"}, headers=headers), login(client, "alice")]
    return list(await asyncio.gather(*calls))


async def test_hundreds_of_mixed_requests_to_two_workers_get_through_a_small_pgbouncer(
    real_settings: Settings, real_url: URL, tmp_path: Path
) -> None:
    async with factory_for(real_settings) as make:
        alice = await make.user(username="alice")
        items = [await make.item(alice, stock=1) for _ in range(ROUNDS)]
        headers, theirs = await make.bearer(alice), await make.bearer(await make.user())
        with pgbouncer(real_url, tmp_path) as pooled:
            behind = settings_for(pooled, tmp_path)
            limits = httpx.Limits(max_connections=60)
            async with (
                serve_process(behind, tmp_path, workers=2, DB_PGBOUNCER="true") as server,
                httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client,
            ):
                rounds = [mixed(client, headers, theirs, item, number) for number, item in enumerate(items)]
                answers = [answer for answers in await asyncio.gather(*rounds) for answer in answers]
                assert Counter(answer.status_code for answer in answers if answer.status_code >= 300) == {}, server.told
                assert len(answers) == ROUNDS * 7 + 2 * ROUNDS // 10
        async with make.services.database.primary() as session:
            assert await session.scalar(select(func.count()).select_from(Item)) == 2 * ROUNDS
            assert await session.scalar(select(func.sum(Item.stock))) == 0, "each was sold once"
            assert await session.scalar(select(func.count()).select_from(Order)) == ROUNDS
