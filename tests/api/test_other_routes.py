"""Routes of FastAPI's own class, as a plugin may have them: dependencies work there as on ours."""

from collections.abc import AsyncIterator

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.engine import URL

from app.api.deps import CurrentUser, ReadSessionDep, SessionDep
from app.core.errors import ConflictError
from app.main import create_app
from app.models.generation import Generation
from tests.conftest import connected, settings_for
from tests.factories import PASSWORD

pytestmark = pytest.mark.real_database
router = APIRouter()


@router.post("/notes/{name}")
async def add(name: str, session: SessionDep) -> None:
    session.add(Generation(resource=name, number=1))


@router.post("/notes/{name}/refused")
async def add_and_refuse(name: str, session: SessionDep) -> None:
    session.add(Generation(resource=name, number=1))
    await session.flush()
    raise ConflictError


@router.get("/notes")
async def list_names(session: ReadSessionDep) -> list[str]:
    return [*await session.scalars(select(Generation.resource))]


@router.get("/private")
async def private(me: CurrentUser) -> bool:
    return me.is_recalled


@pytest.fixture
async def client(real_url: URL, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings_for(real_url, tmp_path_factory.mktemp("data")))
    app.include_router(router)
    async with LifespanManager(app) as manager, connected(manager.app) as client:
        yield client


async def test_what_they_write_is_committed_before_the_response(client: httpx.AsyncClient) -> None:
    assert (await client.post("/notes/first")).status_code == 200
    assert (await client.get("/notes")).json() == ["first"]


async def test_an_error_takes_it_back(client: httpx.AsyncClient) -> None:
    assert (await client.post("/notes/first/refused")).status_code == 409
    assert (await client.get("/notes")).json() == []


async def test_they_know_who_asks_and_look_them_up_each_time(client: httpx.AsyncClient) -> None:
    assert (await client.get("/private")).status_code == 401
    account = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
    await client.post("/api/v1/auth/register", json=account)
    signed_in = await client.post("/api/v1/auth/login", data={"username": "alice", "password": PASSWORD})
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    for _ in range(3):
        assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 200
        assert (await client.get("/private", headers=headers)).json() is False
