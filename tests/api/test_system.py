"""Health, readiness, identity and documentation."""

import re
from importlib.metadata import version

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.settings import Settings
from app.core.observability.readiness import MAX_AGE
from tests.conftest import connected, running


async def test_health_touches_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_names_what_it_checked(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "checks": {"database": "ok", "migrations": "ok"}}


async def test_a_database_at_another_migration_is_not_ready(real_settings: Settings) -> None:
    async with running(real_settings) as (_, manager, services), connected(manager.app) as client:
        assert (await client.get("/ready")).status_code == 200
        async with services.database.transaction() as session:
            await session.execute(text("UPDATE alembic_version SET version_num = 'older'"))
        services.readiness.asked_at -= MAX_AGE.total_seconds()
        answer = await client.get("/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "migrations_pending")
        assert "strata db upgrade" in answer.json()["detail"]
        assert "retry-after" in answer.headers


async def test_info_says_what_runs_here(settings: Settings) -> None:
    built = settings.model_copy(update={"git_commit": "abc1234"})
    async with running(built) as (_, manager, _), connected(manager.app) as client:
        answer = await client.get("/info")
    assert answer.json() == {
        "name": "Strata",
        "version": version("strata"),
        "commit": "abc1234",
        "environment": "test",
    }


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_documentation_loads_nothing_from_elsewhere(client: httpx.AsyncClient, page: str) -> None:
    answer = await client.get(page)
    assert answer.headers["content-type"].startswith("text/html")
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", answer.text)
    assert len(addresses) >= 2
    for address in addresses:
        assert address.startswith("/docs/assets/"), address
        assert (await client.get(address)).status_code == 200
    assert "https://" not in answer.headers["content-security-policy"]


async def test_swagger_uis_redirect_page_is_there(client: httpx.AsyncClient) -> None:
    answer = await client.get("/docs/oauth2-redirect")
    assert answer.status_code == 200
    assert "script-src" in answer.headers["content-security-policy"]


async def test_answers_of_the_test_session_share_a_transaction(session: AsyncSession) -> None:
    """The fixtures' promise: what a test stores is rolled back."""
    assert await session.scalar(text("SELECT count(*) FROM users")) == 0
