"""What is past its time goes, what is not stays, and no failure stops it for good."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.crud.device_session import sessions
from app.crud.one_time_token import one_time_tokens
from app.models.audit import AuditEvent
from app.models.device_session import DeviceSession
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User
from app.services import purge
from app.services.purge import purge_expired
from tests.conftest import running
from tests.factories import Factory

type Logs = Callable[[], list[dict[str, Any]]]


async def count(session: AsyncSession, model: type[Any]) -> int:
    return await session.scalar(select(func.count()).select_from(model)) or 0


async def mail_token(services: AppServices, user: User, purpose: Purpose, lives: timedelta) -> str:
    async with services.database.transaction() as session:
        return await one_time_tokens.issue(session, user, purpose, expires_at=utc_now() + lives)


async def expire_sessions(session: AsyncSession, user: User) -> None:
    await session.execute(
        update(DeviceSession)
        .where(DeviceSession.user_id == user.id)
        .values(expires_at=utc_now() - timedelta(seconds=1))
    )
    await session.commit()


async def test_expired_sessions_and_tokens_go_and_live_ones_stay(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    alice, bob = await make.user(), await make.user(username="bob")
    await make.tokens(alice)
    await expire_sessions(session, alice)
    bobs = await make.bearer(bob)
    await mail_token(services, alice, Purpose.VERIFY_EMAIL, timedelta(seconds=-1))
    await mail_token(services, bob, Purpose.VERIFY_EMAIL, timedelta(0))
    live = await mail_token(services, bob, Purpose.RESET_PASSWORD, timedelta(seconds=60))
    assert await purge_expired(services.database) == 3
    assert [row.user_id for row in await session.scalars(select(DeviceSession))] == [bob.id]
    assert [row.purpose for row in await session.scalars(select(OneTimeToken))] == [Purpose.RESET_PASSWORD]
    assert await count(session, User) == 2
    assert (await client.get("/api/v1/users/me", headers=bobs)).status_code == 200
    body = {"token": live, "new_password": "a rather different passphrase"}
    assert (await client.post("/api/v1/auth/reset-password", json=body)).status_code == 204


async def test_a_session_goes_when_its_time_is_over_to_the_second(
    make: Factory, session: AsyncSession, services: AppServices
) -> None:
    await make.tokens(await make.user())
    row = await session.scalar(select(DeviceSession))
    assert row is not None
    with time_machine.travel(row.expires_at - timedelta(seconds=1), tick=False) as clock:
        assert await purge_expired(services.database) == 0
        clock.shift(1)
        assert await purge_expired(services.database) == 1
    assert await count(session, DeviceSession) == 0


async def test_nothing_to_clean_is_nothing(services: AppServices, session: AsyncSession) -> None:
    assert await purge_expired(services.database) == 0
    assert await count(session, AuditEvent) == 0


@pytest.mark.parametrize("expired", [1, 2, 3, 4, 5])
async def test_many_rows_go_in_several_batches(
    make: Factory, session: AsyncSession, services: AppServices, monkeypatch: pytest.MonkeyPatch, expired: int
) -> None:
    monkeypatch.setattr(purge, "BATCH", 2)
    alice, bob = await make.user(), await make.user()
    for _ in range(expired):
        await make.tokens(alice)
    await expire_sessions(session, alice)
    await make.tokens(bob)
    for purpose in Purpose:
        await mail_token(services, alice, purpose, timedelta(seconds=-1))
    await mail_token(services, bob, Purpose.CHANGE_EMAIL, timedelta(seconds=60))
    assert await purge_expired(services.database) == expired + len(Purpose)
    assert [row.user_id for row in await session.scalars(select(DeviceSession))] == [bob.id]
    assert [row.user_id for row in await session.scalars(select(OneTimeToken))] == [bob.id]


async def test_each_batch_is_a_transaction_of_its_own(real_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was deleted before a failure stays deleted."""
    async with running(real_settings) as (_, _, services):
        make = Factory(services)
        alice = await make.user()
        for _ in range(3):
            await make.tokens(alice)
        async with services.database.write() as session:
            await expire_sessions(session, alice)
        sweeps = iter([sessions.end_expired, broken])

        async def once(*arguments: Any) -> int:
            return await next(sweeps)(*arguments)

        monkeypatch.setattr(purge, "BATCH", 2)
        monkeypatch.setattr(purge, "SWEEPS", (once,))
        with pytest.raises(ConnectionError):
            await purge_expired(services.database)
        async with services.database.read() as reader:
            assert await count(reader, DeviceSession) == 1


async def broken(*_: Any) -> int:
    raise ConnectionError("the database is having a nap")
