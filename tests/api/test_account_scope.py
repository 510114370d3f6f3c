"""The scope `account`: a token that was narrowed to something else leaves the account and its devices alone."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.settings import Settings
from app.main import create_app, registered_scopes
from app.models.audit import AuditEvent
from app.models.device_session import DeviceSession
from app.models.user import Role, User
from tests.api.calls import code, login
from tests.factories import PASSWORD, Factory

OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("PATCH", "/users/me", {"full_name": "Somebody Else"}),
    ("DELETE", "/users/me", {"password": PASSWORD}),
    ("PUT", "/users/me/password", {"current_password": PASSWORD, "new_password": "another horse entirely"}),
    ("POST", "/users/me/email", {"email": "else@example.com", "password": PASSWORD}),
    ("GET", "/users/me/export", None),
    ("GET", "/auth/sessions", None),
    ("DELETE", "/auth/sessions/{session_id}", None),
    ("POST", "/auth/logout-all", None),
    ("POST", "/auth/verify-email/request", None),
]
SCOPES = registered_scopes()
NARROW = " ".join(scope for scope in SCOPES.by_name if scope != "account")


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_a_narrowed_token_changes_nothing_of_the_account_and_its_devices(
    client: httpx.AsyncClient,
    make: Factory,
    session: AsyncSession,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    """Whatever else it may do, as an administrator's."""
    await make.admin()
    user = await make.admin(full_name="Alice")
    headers = await make.bearer(user, scope=NARROW)
    own = await session.scalar(select(DeviceSession.id))
    url = "/api/v1" + path.format(session_id=own)
    answer = await client.request(method, url, json=body, headers=headers)
    assert code(answer) == (403, "insufficient_scope")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="account"'
    stored = await session.get_one(User, user.id, populate_existing=True)
    assert (stored.full_name, stored.hashed_password) == ("Alice", user.hashed_password)
    assert await session.scalar(select(func.count()).select_from(DeviceSession)) == 1
    assert await session.scalar(select(func.count()).select_from(AuditEvent)) == 0


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_the_scope_account_is_enough_for_it(
    client: httpx.AsyncClient,
    make: Factory,
    session: AsyncSession,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    headers = await make.bearer(await make.user(), scope="account")
    url = "/api/v1" + path.format(session_id=await session.scalar(select(DeviceSession.id)))
    answer = await client.request(method, url, json=body, headers=headers)
    assert answer.is_success, answer.text


@pytest.mark.parametrize("scope", SCOPES.by_name)
async def test_every_token_sees_whose_it_is(client: httpx.AsyncClient, make: Factory, scope: str) -> None:
    user = await make.admin()
    answer = await client.get("/api/v1/users/me", headers=await make.bearer(user, scope=scope))
    assert answer.json()["id"] == user.id


@pytest.mark.parametrize("role", Role)
async def test_a_token_that_was_not_narrowed_has_the_scope(
    client: httpx.AsyncClient, make: Factory, role: Role
) -> None:
    assert "account" in SCOPES.allowed(role)
    await make.user(username="alice", role=role)
    assert "account" in (await login(client, "alice")).json()["scope"].split()
    narrowed = (await login(client, "alice", scope="items:read")).json()
    assert narrowed["scope"] == "items:read"


def test_all_below_ones_account_and_devices_wants_the_scope(settings: Settings) -> None:
    """Also what is added to it one day."""
    found: dict[tuple[str, str], Any] = {}
    for path, methods in create_app(settings).openapi()["paths"].items():
        if path.startswith(("/api/v1/users/me", "/api/v1/auth/sessions", "/api/v1/auth/logout-all")):
            found |= {(method.upper(), path): operation["security"] for method, operation in methods.items()}
    assert found.pop(("GET", "/api/v1/users/me")) == [{"bearer": []}]
    assert len(found) >= 8
    assert {name: security for name, security in found.items() if security != [{"bearer": ["account"]}]} == {}
