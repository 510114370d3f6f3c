"""How many devices a user can be signed in on, and how many are read at once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import time_machine
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.models.audit import Action, AuditEvent
from app.models.device_session import DeviceSession
from tests.api.calls import URL, bearer, code, login, me, refresh
from tests.conftest import connected, running
from tests.factories import Factory


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_sessions_per_user": 3})


async def sign_in(client: httpx.AsyncClient, username: str = "alice") -> dict[str, str]:
    answer = await login(client, username)
    assert answer.status_code == 200
    found: dict[str, str] = answer.json()
    return found


async def test_one_device_too_many_ends_the_oldest_session(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice, bob = await make.user(username="alice"), await make.user(username="bob")
    other = await make.tokens(bob)
    first, *kept = [await sign_in(client) for _ in range(3)]
    assert (await me(client, first["access_token"])).status_code == 200
    ended = await session.scalar(select(func.min(DeviceSession.id)).where(DeviceSession.user_id == alice.id))
    kept.append(await sign_in(client))
    assert code(await me(client, first["access_token"])) == (401, "token_revoked")
    assert code(await refresh(client, first["refresh_token"])) == (401, "token_revoked")
    for tokens in kept:
        assert (await me(client, tokens["access_token"])).status_code == 200
    assert (await me(client, other.access_token)).status_code == 200, "others have a number of their own"
    events = await session.scalars(select(AuditEvent).where(AuditEvent.action == Action.SESSIONS_EVICTED))
    assert [(event.actor_id, event.details) for event in events] == [(alice.id, {"session_ids": [ended]})]


async def test_the_session_that_ends_is_the_one_that_was_not_used_for_the_longest_time(
    client: httpx.AsyncClient, make: Factory
) -> None:
    await make.user(username="alice")
    with time_machine.travel(utc_now(), tick=False) as clock:
        devices = []
        for _ in range(3):
            devices.append(await sign_in(client))
            clock.shift(timedelta(minutes=1))
        used = (await refresh(client, devices[0]["refresh_token"])).json()
        await sign_in(client)
        assert code(await me(client, devices[1]["access_token"])) == (401, "token_revoked")
        for tokens in (used, devices[2]):
            assert (await me(client, tokens["access_token"])).status_code == 200


async def test_a_lower_bound_is_kept_from_the_next_sign_in(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user(username="alice")
    for _ in range(7):
        await make.tokens(alice)
    newest = await sign_in(client)
    assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 3
    listed = (await client.get(f"{URL}/sessions", headers=bearer(newest["access_token"]))).json()
    assert [device["current"] for device in listed] == [True, False, False]


async def test_no_list_is_longer_than_the_highest_bound_whatever_is_stored(
    client: httpx.AsyncClient, make: Factory
) -> None:
    alice = await make.user()
    now = utc_now()
    async with make.services.database.transaction() as session:
        session.add_all(
            DeviceSession(user_id=alice.id, scope="account", rotated_at=now, expires_at=now + timedelta(days=1))
            for _ in range(1001)
        )
    listed = (await client.get(f"{URL}/sessions", headers=await make.bearer(alice))).json()
    assert len(listed) == 1000
    assert listed[0]["current"], "the newest are those that are shown"


@pytest.fixture
async def app_of_its_own(real_settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Factory]]:
    changed = real_settings.model_copy(update={"max_sessions_per_user": 3})
    async with running(changed) as (_, manager, services), connected(manager.app) as client:
        yield client, Factory(services)


@pytest.mark.real_database
async def test_sign_ins_at_once_do_not_outrun_the_bound(
    app_of_its_own: tuple[httpx.AsyncClient, Factory],
) -> None:
    client, make = app_of_its_own
    await make.user(username="alice")
    pairs = await asyncio.gather(*(sign_in(client) for _ in range(8)))
    states = [(await me(client, pair["access_token"])).status_code for pair in pairs]
    assert sorted(states) == [200] * 3 + [401] * 5
