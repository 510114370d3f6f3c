"""After a restore the database gives ids again: tokens that were given out before open nothing of their new owners."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from sqlalchemy import delete, select, text

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.models.device_session import DeviceSession
from app.models.user import User
from app.services.auth.auth import TokenPair
from tests.api.calls import URL, bearer, code, me, refresh
from tests.conftest import connected, running
from tests.factories import Factory

pytestmark = pytest.mark.real_database


@dataclass(frozen=True, slots=True)
class Scene:
    """Alice signed in, the database was restored to what it was before her, and Bob has her ids now."""

    client: httpx.AsyncClient
    services: AppServices
    old: TokenPair
    new: TokenPair

    async def sessions(self) -> list[DeviceSession]:
        async with self.services.database.primary() as session:
            return list(await session.scalars(select(DeviceSession)))


async def restore_to_nothing(services: AppServices) -> None:
    is_postgresql = services.database.engine.dialect.name == "postgresql"
    async with services.database.transaction() as session:
        for model in (DeviceSession, User):
            name = model.__tablename__
            await session.execute(delete(model))
            restart = f"ALTER SEQUENCE {name}_id_seq RESTART" if is_postgresql else None
            await session.execute(text(restart or f"DELETE FROM sqlite_sequence WHERE name = '{name}'"))


@pytest.fixture(params=[True, False], ids=["cached", "asked"])
async def scene(real_settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    settings = real_settings.model_copy(update={"session_cache": request.param})
    async with running(settings) as (_, manager, services), connected(manager.app) as client:
        await restore_to_nothing(services)  # what other tests took back has used ids up
        make = Factory(services)
        alice = await make.user(username="alice")
        old = await make.tokens(alice)
        assert (await me(client, old.access_token)).json()["username"] == "alice"
        await restore_to_nothing(services)
        bob = await make.user(username="bob")
        assert bob.id == alice.id
        new = await make.tokens(bob)
        found = Scene(client, services, old, new)
        for _ in range(3):  # so that it is known without being asked for, where anything is
            assert (await me(client, new.access_token)).json()["username"] == "bob"
        verify = services.auth.tokens.verify
        before, now = verify(old.access_token, "access"), verify(new.access_token, "access")
        assert (before.session_id, before.user_id) == (now.session_id, now.user_id)
        yield found


async def test_an_access_token_of_before_opens_nothing(scene: Scene) -> None:
    for method, path in (("GET", "users/me"), ("GET", "auth/sessions"), ("GET", "items")):
        answer = await scene.client.request(method, f"/api/v1/{path}", headers=bearer(scene.old.access_token))
        assert code(answer) == (401, "token_revoked"), path
    offered = await scene.client.post("/api/v1/items", json={"title": "A lamp"}, headers=bearer(scene.old.access_token))
    assert code(offered) == (401, "token_revoked")
    assert (await me(scene.client, scene.new.access_token)).status_code == 200


async def test_a_refresh_token_of_before_is_refused_and_uses_nothing_up(scene: Scene) -> None:
    assert code(await refresh(scene.client, scene.old.refresh_token)) == (401, "token_revoked")
    assert [row.rotation for row in await scene.sessions()] == [0]
    assert (await refresh(scene.client, scene.new.refresh_token)).status_code == 200


async def test_signing_out_with_a_token_of_before_ends_nobody_elses_session(scene: Scene) -> None:
    answer = await scene.client.post(f"{URL}/logout", json={"refresh_token": scene.old.refresh_token})
    assert answer.status_code == 204, "there is nothing left to be signed out of"
    assert len(await scene.sessions()) == 1
    assert (await me(scene.client, scene.new.access_token)).status_code == 200
    assert (await refresh(scene.client, scene.new.refresh_token)).status_code == 200


async def test_the_device_in_use_is_the_one_whose_token_was_sent(scene: Scene) -> None:
    devices = await scene.client.get(f"{URL}/sessions", headers=bearer(scene.new.access_token))
    assert [device["current"] for device in devices.json()] == [True]


async def test_no_two_sessions_have_one_key(scene: Scene) -> None:
    user = (await scene.sessions())[0].user_id
    async with scene.services.database.transaction() as session:
        rows = [
            DeviceSession(user_id=user, scope="", rotated_at=row.rotated_at, expires_at=row.expires_at)
            for row in (await scene.sessions()) * 20
        ]
        session.add_all(rows)
    keys = [row.key for row in await scene.sessions()]
    assert len(set(keys)) == len(keys) == 21
    assert {len(bytes.fromhex(key)) * 8 for key in keys} == {128}
