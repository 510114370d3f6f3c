"""All connections are cut while nobody uses them (a restart, a database that sleeps): no request notices."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import URL

from app.core.readiness import MAX_AGE
from tests.api.calls import login
from tests.conftest import POSTGRES_URL, connected, end_sessions, running, settings_for
from tests.factories import Factory
from tests.pgbouncer import pgbouncer

pytestmark = [
    pytest.mark.real_database,
    pytest.mark.skipif(POSTGRES_URL is None, reason="needs STRATA_TEST_DATABASE_URL"),
]

type Call = Callable[[httpx.AsyncClient, dict[str, str]], Awaitable[httpx.Response]]

NEW = {"username": "bob", "email": "bob@example.com", "password": "a long enough password"}
CALLS: dict[str, Call] = {
    "ready": lambda client, _: client.get("/ready"),
    "login": lambda client, _: login(client, "alice"),
    "register": lambda client, _: client.post("/api/v1/auth/register", json=NEW),
    "books": lambda client, _: client.get("/api/v1/books"),
    "items": lambda client, headers: client.get("/api/v1/items", headers=headers),
    "account": lambda client, headers: client.get("/api/v1/users/me", headers=headers),
    "sessions": lambda client, headers: client.get("/api/v1/auth/sessions", headers=headers),
    "create": lambda client, headers: client.post("/api/v1/items", json={"title": "new"}, headers=headers),
    "change": lambda client, headers: client.patch("/api/v1/users/me", json={"full_name": "A"}, headers=headers),
    "once": lambda client, headers: client.post(
        "/api/v1/items", json={"title": "new"}, headers=headers | {"Idempotency-Key": "1"}
    ),
    "sign out": lambda client, headers: client.post("/api/v1/auth/logout-all", headers=headers),
}


@asynccontextmanager
async def address(url: URL, folder: Path, mode: str) -> AsyncIterator[dict[str, object]]:
    """The settings of a way to the database."""
    if mode == "direct":
        yield {"url": url}
    elif mode == "replica":
        yield {"url": url, "database_read_url": url.render_as_string(hide_password=False)}
    else:
        with pgbouncer(url, folder) as pooled:
            yield {"url": pooled, "db_pgbouncer": True}


@pytest.mark.parametrize("mode", ["direct", "replica", "pgbouncer"])
async def test_the_first_request_after_all_connections_were_cut_succeeds(
    real_url: URL, tmp_path: Path, mode: str
) -> None:
    async with address(real_url, tmp_path, mode) as changes:
        settings = settings_for(changes.pop("url"), tmp_path, **changes)  # type: ignore[arg-type] # the URL
        async with running(settings) as (_, manager, resources), connected(manager.app) as client:
            make = Factory(resources)
            headers = await make.bearer(await make.user(username="alice"))
            failed = {}
            for name, call in CALLS.items():
                # On either path there is a connection that was used a moment ago.
                await client.get("/api/v1/items", headers=headers)
                await resources.readiness.ask()
                await end_sessions(real_url)
                resources.readiness.asked_at -= MAX_AGE.total_seconds()
                answer = await call(client, headers)
                if answer.status_code >= 300:
                    failed[name] = (answer.status_code, answer.text)
            assert failed == {}
