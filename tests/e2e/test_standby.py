"""A failover to a real standby: its writes succeed as soon as it takes them."""

import asyncio
from pathlib import Path

import httpx

from app.core.db import migrations
from tests.cluster import primary_server, standby_of
from tests.conftest import connected, running, settings_for
from tests.factories import Factory
from tests.proxy import before

BACK_SECONDS = 5


async def create(client: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    return await client.post("/api/v1/items", json={"title": "new"}, headers=headers)


async def write_until_stored(client: httpx.AsyncClient, headers: dict[str, str]) -> list[int]:
    """What the answers were."""
    statuses: list[int] = []
    async with asyncio.timeout(BACK_SECONDS):
        while 201 not in statuses:
            statuses.append((await create(client, headers)).status_code)
            await asyncio.sleep(0.05)
    return statuses


async def test_writes_go_on_where_a_standby_is_promoted(tmp_path: Path) -> None:
    with primary_server() as primary:
        await asyncio.to_thread(migrations.upgrade, settings_for(primary.url, tmp_path))
        with standby_of(primary) as standby:
            async with before(primary.url) as (address, proxy):
                settings = settings_for(address, tmp_path)
                async with running(settings) as (_, manager, services), connected(manager.app) as client:
                    make = Factory(services)
                    headers = await make.bearer(await make.user())
                    assert await write_until_stored(client, headers) == [201]
                    await asyncio.to_thread(primary.control, "stop", "-m", "immediate")
                    down = await create(client, headers)
                    proxy.url = standby.url
                    read = await client.get("/api/v1/items", headers=headers)
                    refused = await create(client, headers)
                    await asyncio.to_thread(standby.control, "promote")
                    assert await write_until_stored(client, headers) == [201]
    assert (down.status_code, read.status_code, refused.status_code) == (503, 200, 503)
