"""`/auth/sessions`: the devices of a user, how long they stay signed in, and how they are signed out."""

import asyncio
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
from app.models.user import User
from tests.api.calls import URL, bearer, code, login, me, refresh
from tests.conftest import connected, in_one_transaction, running
from tests.factories import Factory
from tests.server import Server


async def count_sessions(session: AsyncSession, user: User) -> int:
    return (
        await session.scalar(select(func.count()).select_from(DeviceSession).where(DeviceSession.user_id == user.id))
        or 0
    )


async def test_a_user_sees_their_own_live_devices_the_one_used_last_first(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice, bob = await make.user(username="alice"), await make.user()
    with time_machine.travel(utc_now() - timedelta(days=8)):
        await make.tokens(alice)  # has expired since
    await make.tokens(bob)
    start = utc_now()
    phone = (await login(client, "alice", headers={"User-Agent": "a phone"})).json()
    laptop = (await login(client, "alice", headers={"User-Agent": "a laptop"})).json()
    answer = await client.get(f"{URL}/sessions", headers=bearer(phone["access_token"]))
    assert answer.status_code == 200
    rows = {
        row.user_agent: row
        for row in await session.scalars(select(DeviceSession).where(DeviceSession.user_id == alice.id))
    }
    assert [(found["id"], found["user_agent"], found["ip"], found["current"]) for found in answer.json()] == [
        (rows["a laptop"].id, "a laptop", "127.0.0.1", False),
        (rows["a phone"].id, "a phone", "127.0.0.1", True),
    ]
    for found in answer.json():
        assert set(found) == {"id", "created_at", "last_used_at", "ip", "user_agent", "current"}
        assert found["created_at"] >= f"{start:%Y-%m-%dT%H:%M:%S}"
        assert found["created_at"].endswith("Z")
    theirs = await client.get(f"{URL}/sessions", headers=bearer(laptop["access_token"]))
    assert [found["current"] for found in theirs.json()] == [True, False]


async def test_a_refresh_moves_the_time_of_last_use_and_nothing_else(client: httpx.AsyncClient, make: Factory) -> None:
    tokens = await make.tokens(await make.user())
    before = (await client.get(f"{URL}/sessions", headers=bearer(tokens.access_token))).json()[0]
    assert (await refresh(client, tokens.refresh_token)).status_code == 200
    after = (await client.get(f"{URL}/sessions", headers=bearer(tokens.access_token))).json()[0]
    assert after["last_used_at"] > before["last_used_at"]
    assert after | {"last_used_at": ""} == before | {"last_used_at": ""}


async def test_a_device_that_is_signed_out_stops_at_once_and_alone(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    lost, kept = await make.tokens(alice), await make.tokens(alice)
    devices = (await client.get(f"{URL}/sessions", headers=bearer(kept.access_token))).json()
    lost_id = next(device["id"] for device in devices if not device["current"])
    answer = await client.delete(f"{URL}/sessions/{lost_id}", headers=bearer(kept.access_token))
    assert (answer.status_code, answer.content) == (204, b"")
    assert code(await me(client, lost.access_token)) == (401, "token_revoked")
    assert code(await refresh(client, lost.refresh_token)) == (401, "token_revoked")
    assert (await me(client, kept.access_token)).status_code == 200
    assert await session.get(DeviceSession, lost_id) is None
    event = await session.scalar(select(AuditEvent))
    assert event is not None
    assert (event.action, event.actor_id, event.details) == (
        Action.SESSION_REVOKED,
        alice.id,
        {"session_id": lost_id},
    )
    again = await client.delete(f"{URL}/sessions/{lost_id}", headers=bearer(kept.access_token))
    assert code(again) == (404, "session_not_found")


async def test_a_device_may_sign_itself_out(client: httpx.AsyncClient, make: Factory) -> None:
    headers = await make.bearer(await make.user())
    own_id = (await client.get(f"{URL}/sessions", headers=headers)).json()[0]["id"]
    assert (await client.delete(f"{URL}/sessions/{own_id}", headers=headers)).status_code == 204
    assert code(await client.get(f"{URL}/sessions", headers=headers)) == (401, "token_revoked")


async def test_somebody_elses_device_is_not_found_and_stays_signed_in(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user()
    theirs = await make.tokens(alice)
    row_id = await session.scalar(select(DeviceSession.id).where(DeviceSession.user_id == alice.id))
    for stranger in (await make.user(), await make.admin()):
        headers = await make.bearer(stranger)
        assert code(await client.delete(f"{URL}/sessions/{row_id}", headers=headers)) == (404, "session_not_found")
        assert code(await client.delete(f"{URL}/sessions/{2**63 - 1}", headers=headers)) == (404, "session_not_found")
    assert (await me(client, theirs.access_token)).status_code == 200
    assert await count_sessions(session, alice) == 1
    assert await session.scalar(select(func.count()).select_from(AuditEvent)) == 0


@pytest.mark.parametrize("session_id", ["0", "x", str(2**63)])
async def test_an_impossible_session_id_is_invalid(client: httpx.AsyncClient, make: Factory, session_id: str) -> None:
    answer = await client.delete(f"{URL}/sessions/{session_id}", headers=await make.bearer(await make.user()))
    assert code(answer) == (422, "validation_error")


@pytest.mark.parametrize(("method", "path"), [("GET", "sessions"), ("DELETE", "sessions/1"), ("POST", "logout-all")])
async def test_sessions_are_for_the_signed_in(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, f"{URL}/{path}")
    assert code(answer) == (401, "not_authenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_logout_all_ends_every_device_of_the_user_and_of_nobody_else(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice, bob = await make.user(), await make.user()
    mine, other = await make.tokens(alice), await make.tokens(bob)
    also_mine = await make.tokens(alice)
    answer = await client.post(f"{URL}/logout-all", headers=bearer(mine.access_token))
    assert (answer.status_code, answer.content) == (204, b"")
    for tokens in (mine, also_mine):
        assert code(await me(client, tokens.access_token)) == (401, "token_revoked")
        assert code(await refresh(client, tokens.refresh_token)) == (401, "token_revoked")
    assert (await me(client, other.access_token)).status_code == 200
    assert (await count_sessions(session, alice), await count_sessions(session, bob)) == (0, 1)
    event = await session.scalar(select(AuditEvent))
    assert event is not None
    assert (event.action, event.actor_id) == (Action.SIGNED_OUT_EVERYWHERE, alice.id)


async def test_a_session_ends_when_it_is_not_used_for_as_long_as_its_refresh_token_lives(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    alice = await make.user(username="alice")
    start = utc_now()
    with time_machine.travel(start) as clock:
        token = (await login(client, "alice")).json()["refresh_token"]
        for _ in range(3):  # six days of rest each: used in time, it goes on
            clock.shift(timedelta(days=6))
            answer = await refresh(client, token)
            assert answer.status_code == 200
            token = answer.json()["refresh_token"]
        row = await session.scalar(select(DeviceSession))
        assert row is not None
        assert timedelta(days=25) <= row.expires_at - start < timedelta(days=25, minutes=1)
        clock.shift(timedelta(days=7, minutes=1))
        assert code(await refresh(client, token)) == (401, "token_expired")
    assert await count_sessions(session, alice) == 1, "left to the cleaner"


async def test_no_refresh_keeps_a_session_beyond_its_absolute_age(settings: Settings) -> None:
    changed = settings.model_copy(update={"session_max_days": 10})
    async with running(changed) as (_, manager, services), in_one_transaction(services) as session:
        make = Factory(services)
        await make.user(username="alice")
        start = utc_now()
        async with connected(manager.app) as client:
            with time_machine.travel(start) as clock:
                token = (await login(client, "alice")).json()["refresh_token"]
                for _ in range(3):
                    clock.shift(timedelta(days=3))
                    pair = (await refresh(client, token)).json()
                    token = pair["refresh_token"]
                row = await session.scalar(select(DeviceSession))
                assert row is not None
                assert row.expires_at == row.created_at + timedelta(days=10)
                # Just before its end a refresh gives tokens that end with it.
                clock.shift(timedelta(hours=23, minutes=55))
                last = (await refresh(client, token)).json()
                assert (await me(client, last["access_token"])).status_code == 200
                clock.shift(timedelta(minutes=6))
                assert code(await refresh(client, last["refresh_token"])) == (401, "token_expired")
                assert code(await me(client, last["access_token"])) == (401, "token_revoked")


async def test_a_short_absolute_age_also_holds_for_a_session_that_is_never_refreshed(settings: Settings) -> None:
    changed = settings.model_copy(update={"session_max_days": 2})
    async with running(changed) as (_, manager, services), in_one_transaction(services) as session:
        await Factory(services).user(username="alice")
        async with connected(manager.app) as client:
            token = (await login(client, "alice")).json()["refresh_token"]
            row = await session.scalar(select(DeviceSession))
            assert row is not None
            assert row.expires_at - row.created_at <= timedelta(days=2)
            with time_machine.travel(utc_now() + timedelta(days=2, minutes=1)):
                assert code(await refresh(client, token)) == (401, "token_expired")


async def test_fifty_refreshes_at_once_give_one_successor_and_a_later_copy_ends_the_session(server: Server) -> None:
    make = Factory(server.services)
    alice = await make.user()
    tokens = await make.tokens(alice)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        answers = await asyncio.gather(*(refresh(client, tokens.refresh_token) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert tokens.refresh_token not in successors
    async with server.services.database.primary() as session:
        assert [row.rotation for row in await session.scalars(select(DeviceSession))] == [1]
    # Connections of their own, for the server closes idle ones by the same clock.
    with time_machine.travel(utc_now() + timedelta(seconds=11)):
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            headers = {"X-Request-ID": "the-copy", "User-Agent": "a thief"}
            replayed = await client.post(
                f"{URL}/refresh", json={"refresh_token": tokens.refresh_token}, headers=headers
            )
            assert code(replayed) == (401, "token_reused")
            assert code(await refresh(client, successors.pop())) == (401, "token_revoked")
            assert code(await me(client, tokens.access_token)) == (401, "token_revoked")
    async with server.services.database.primary() as session:
        assert await count_sessions(session, alice) == 0
        *repeated, reused = list(await session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
    assert [(event.action, event.details["is_foreign"]) for event in repeated] == [
        (Action.REFRESH_REPEATED, False)
    ] * 49
    assert (reused.action, reused.actor_id, reused.subject_id) == (Action.REFRESH_REUSED, None, alice.id)
    assert (reused.request_id, reused.user_agent) == ("the-copy", "a thief")
