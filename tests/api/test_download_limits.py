"""Downloads: few at once, none for ever, and nobody waits for those who read nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

import app.api.download
from app.api.deps import AppServices
from app.core.errors import OverloadedError
from app.core.limits.download_slots import PER_PROCESS, PER_USER, DownloadSlots, TooManyDownloadsError
from app.models.audit import Action, AuditEvent
from app.models.user import User
from tests.api.calls import code
from tests.factories import Factory
from tests.server import Server
from tests.slow_readers import SlowReader, ask, large_items
from tests.statements import MaxQueries

ITEMS, ACCOUNT = "/api/v1/items/export?format=ndjson", "/api/v1/users/me/export"

each_download = pytest.mark.parametrize("path", [ITEMS, ACCOUNT], ids=["items", "account"])

type Headers = dict[str, str]


async def owner_of_much(make: Factory) -> User:
    alice = await make.user()
    async with make.services.database.write() as session:
        await large_items(session, alice.id)
    return alice


@asynccontextmanager
async def stalled(server: Server, *requests: tuple[str, Headers]) -> AsyncIterator[list[SlowReader]]:
    """They have asked, and read no more than the status."""
    readers = [await ask(server, path, headers) for path, headers in requests]
    try:
        yield readers
    finally:
        for reader in readers:
            reader.close()


async def eventually_free(services: AppServices) -> bool:
    pool: Any = services.database.read_engine.pool
    for _ in range(250):
        if pool.checkedout() == 0 and services.download_slots.held.total() == 0:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.real_database
@each_download
async def test_thirty_who_read_nothing_hold_up_nobody(server: Server, path: str) -> None:
    make = Factory(server.services)
    # Of one's own account there is as much as one has.
    rich = [await owner_of_much(make) for _ in range(1 if path is ITEMS else 4)]
    people = [await make.bearer(user) for user in [*rich, *[await make.user() for _ in range(15 - len(rich))]]]
    alice = await make.bearer(await make.user())
    async with (
        stalled(server, *((path, headers) for headers in people * 2)) as readers,
        httpx.AsyncClient(base_url=server.url, timeout=2) as client,
    ):
        await asyncio.sleep(0.3)
        for _ in range(5):
            assert (await client.get("/api/v1/users/me", headers=alice)).status_code == 200
            assert (await client.get("/api/v1/items", headers=alice)).status_code == 200
            made = await client.post("/api/v1/items", json={"title": "Lamp"}, headers=alice)
            assert made.status_code == 201
        statuses = sorted([await reader.status() for reader in readers])
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 1, statuses
        pool: Any = server.services.database.read_engine.pool
        assert pool.checkedout() == 0, "they are in the middle, and hold no connection"
        assert server.services.download_slots.held.total() <= PER_PROCESS
    assert await eventually_free(server.services)


@pytest.mark.real_database
async def test_a_user_has_two_downloads_at_once_and_a_slot_is_free_when_one_has_ended(server: Server) -> None:
    make = Factory(server.services)
    headers = await make.bearer(await owner_of_much(make))
    async with (
        stalled(server, (ITEMS, headers), (ACCOUNT, headers)) as readers,
        httpx.AsyncClient(base_url=server.url, timeout=10) as client,
    ):
        assert [await reader.status() for reader in readers] == [200, 200]
        for path in (ITEMS, ACCOUNT):
            refused = await client.get(path, headers=headers)
            assert code(refused) == (429, "too_many_downloads")
            assert int(refused.headers["retry-after"]) > 0
            assert (await client.head(path, headers=headers)).status_code == 200, "the headers take no slot"
        others = await make.bearer(await make.user())
        assert (await client.get(ACCOUNT, headers=others)).status_code == 200
        readers[0].close()
        for _ in range(250):
            if server.services.download_slots.held.total() == 1:
                break
            await asyncio.sleep(0.02)
        assert (await client.get(ACCOUNT, headers=headers)).status_code == 200
    assert await eventually_free(server.services)


@pytest.mark.real_database
async def test_an_export_is_written_down_before_its_first_byte(server: Server) -> None:
    make = Factory(server.services)
    headers = await make.bearer(await owner_of_much(make))
    async with stalled(server, (ACCOUNT, headers)) as [slow]:
        assert await slow.status() == 200
        assert server.services.download_slots.held.total() == 1, "it is in the middle"
        async with server.services.database.primary() as session:
            assert await session.scalar(select(AuditEvent.action)) is Action.DATA_EXPORTED


@pytest.mark.real_database
@each_download
@pytest.mark.parametrize("takes", [0, 100], ids=["nothing", "a little"])
async def test_a_download_that_gets_nowhere_is_cut_off(
    server: Server, monkeypatch: pytest.MonkeyPatch, path: str, takes: int
) -> None:
    monkeypatch.setattr(app.api.download, "PIECE_TIMEOUT", timedelta(seconds=0.4), raising=False)
    make = Factory(server.services)
    headers = await make.bearer(await owner_of_much(make))
    async with stalled(server, (path, headers)) as [slow]:
        assert await slow.status() == 200
        async with asyncio.timeout(5):
            while server.services.download_slots.held.total():
                await slow.reader.read(takes)
                await asyncio.sleep(0.02)
            # What is on its way already may still be read; then there is no more, and the file is not whole.
            with suppress(ConnectionError):
                assert not (await slow.reader.read(-1)).endswith(b"0\r\n\r\n")
        assert await eventually_free(server.services)


@pytest.mark.real_database
async def test_a_download_whose_database_fails_in_the_middle_ends_and_frees_its_slot(server: Server) -> None:
    make = Factory(server.services)
    headers = await make.bearer(await owner_of_much(make))
    async with stalled(server, (ITEMS, headers)) as [slow]:
        assert await slow.status() == 200
        async with server.services.database.transaction() as session:
            await session.execute(text("ALTER TABLE items RENAME TO gone"))
        async with asyncio.timeout(10):
            read = await slow.reader.read(-1)
        assert not read.endswith(b"0\r\n\r\n"), "half a file does not look like a whole one"
    assert await eventually_free(server.services)


@each_download
async def test_head_tells_the_headers_and_exports_nothing(
    client: httpx.AsyncClient, make: Factory, services: AppServices, max_queries: MaxQueries, path: str
) -> None:
    headers = await make.bearer(await make.user())
    given = await client.get(path, headers=headers)
    with max_queries(1):  # the token
        told = await client.head(path, headers=headers)
    assert (told.status_code, told.content) == (200, b"")
    varying = {"x-request-id", "x-process-time", "server-timing"}
    assert {name: value for name, value in told.headers.items() if name not in varying} == {
        name: value for name, value in given.headers.items() if name not in varying
    }
    exported = "SELECT count(*) FROM audit_events WHERE action = 'data_exported'"
    async with services.database.primary() as session:
        assert await session.scalar(text(exported)) == (1 if path is ACCOUNT else 0)


async def test_an_answer_that_is_refused_holds_no_slot(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user(), scope="orders:read")
    for _ in range(PER_USER + 1):
        assert code(await client.get(ITEMS, headers=headers)) == (403, "insufficient_scope")
        assert code(await client.get("/api/v1/items/export?format=xml", headers=headers))[0] in {403, 422}


def test_slots_are_bounded_for_each_user_and_for_all_and_forgotten_when_free() -> None:
    slots = DownloadSlots(per_user=2, per_process=3)
    with slots.hold(1), slots.hold(1):
        with pytest.raises(TooManyDownloadsError), slots.hold(1):
            pass
        with slots.hold(2), pytest.raises(OverloadedError), slots.hold(3):
            pass
        with slots.hold(3):
            pass
    assert slots.held == {}
    assert len(slots.held) == 0
