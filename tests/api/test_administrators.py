"""What it takes to make, unmake or touch an administrator, and what is told and written down of changes."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.models.audit import Action, AuditEvent
from app.models.user import Role, User
from tests.api.calls import URL as AUTH
from tests.api.calls import code
from tests.factories import PASSWORD, Factory
from tests.mailbox import Mailbox, text_of

URL = "/api/v1/users"
BOB = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
NARROW = "users:read users:write"


@pytest.fixture
async def narrow(make: Factory) -> dict[str, str]:
    """Headers of an administrator whose token was narrowed; there is another one, so that none is the last."""
    await make.admin()
    return await make.bearer(await make.admin(), scope=NARROW)


async def events(session: AsyncSession, action: Action) -> list[AuditEvent]:
    return list(await session.scalars(select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id)))


def assert_wants_admin(answer: httpx.Response) -> None:
    assert code(answer) == (403, "insufficient_scope")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="admin"'


async def test_a_token_for_accounts_alone_makes_no_administrator(
    client: httpx.AsyncClient, make: Factory, narrow: dict[str, str], session: AsyncSession
) -> None:
    user = await make.user()
    assert_wants_admin(await client.post(URL, json=BOB | {"role": "admin"}, headers=narrow))
    assert_wants_admin(await client.patch(f"{URL}/{user.id}", json={"role": "admin"}, headers=narrow))
    assert (await client.post(URL, json=BOB, headers=narrow)).status_code == 201
    changed = await client.patch(f"{URL}/{user.id}", json={"role": "user", "full_name": "x"}, headers=narrow)
    assert changed.status_code == 200
    assert set(await session.scalars(select(User.role).where(User.username.in_(["bob", user.username])))) == {Role.USER}


@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("PATCH", {"role": "user"}),
        ("PATCH", {"is_active": False}),
        ("PATCH", {"email": "thief@example.com"}),
        ("PATCH", {"full_name": "x"}),
        ("PATCH", {}),
        ("DELETE", None),
    ],
)
async def test_a_token_for_accounts_alone_touches_no_administrator(
    client: httpx.AsyncClient,
    make: Factory,
    narrow: dict[str, str],
    session: AsyncSession,
    method: str,
    body: dict[str, Any] | None,
    *,
    is_active: bool,
) -> None:
    other = await make.admin(is_active=is_active)
    assert_wants_admin(await client.request(method, f"{URL}/{other.id}", json=body, headers=narrow))
    stored = await session.get_one(User, other.id)
    assert (stored.email, stored.role, stored.is_active, stored.version) == (other.email, Role.ADMIN, is_active, 1)
    wide = await make.bearer(await make.admin(), scope=f"{NARROW} admin")
    assert (await client.request(method, f"{URL}/{other.id}", json=body, headers=wide)).status_code in {200, 204}


async def test_the_missing_scope_is_told_before_anything_of_the_last_administrator(
    client: httpx.AsyncClient, make: Factory
) -> None:
    last = await make.admin()
    headers = await make.bearer(last, scope=NARROW)
    for method, body in (("PATCH", {"role": "user"}), ("DELETE", None)):
        assert_wants_admin(await client.request(method, f"{URL}/{last.id}", json=body, headers=headers))


async def test_what_an_administrator_changes_is_written_down_with_old_and_new_values(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    bob = await make.user(username="bob", email="bob@example.com", full_name="Bob", is_verified=True)
    changes = {
        "username": "robert",
        "email": "robert@example.com",
        "full_name": None,
        "role": "user",
        "is_active": False,
    }
    headers = await make.bearer(await make.admin())
    assert (await client.patch(f"{URL}/{bob.id}", json=changes, headers=headers)).status_code == 200
    [event] = await events(session, Action.USER_CHANGED)
    assert event.details == {
        "changes": {
            "email": ["bob@example.com", "robert@example.com"],
            "full_name": ["Bob", None],
            "is_active": [True, False],
            "is_verified": [True, False],
            "username": ["bob", "robert"],
        }
    }


async def test_a_users_own_new_address_is_written_down_with_the_old_one(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, services: AppServices
) -> None:
    headers = await make.bearer(await make.user(email="bob@example.com"))
    body = {"email": "robert@example.com", "password": PASSWORD}
    await client.post(f"{URL}/me/email", json=body, headers=headers)
    token = await Mailbox(services).token("robert@example.com")
    assert (await client.post(f"{AUTH}/verify-email", json={"token": token})).status_code == 204
    [event] = await events(session, Action.EMAIL_CHANGED)
    assert event.details["changes"] == {
        "email": ["bob@example.com", "robert@example.com"],
        "is_verified": [False, True],
    }


async def test_an_address_that_an_administrator_changes_is_told_at_the_old_one(
    client: httpx.AsyncClient, make: Factory, services: AppServices
) -> None:
    bob = await make.user(email="bob@example.com", is_verified=True)
    headers = await make.bearer(await make.admin())
    body = {"email": "robert@example.com", "username": "robert"}
    assert (await client.patch(f"{URL}/{bob.id}", json=body, headers=headers)).status_code == 200
    mailbox = Mailbox(services)
    name, address = sorted(
        await mailbox.messages("bob@example.com"), key=lambda mail: str(mail["Subject"]), reverse=True
    )
    assert (name["Subject"], address["Subject"]) == ("Your user name was changed", "Your e-mail address was changed")
    assert "robert@example[.]com" in text_of(address)
    assert "robert" in text_of(name)
    for mail in (name, address):
        assert "An administrator did this." in text_of(mail)
        assert "127.0.0.1" not in mail.as_string(), "where administrators sit is their business"
    assert await mailbox.messages("robert@example.com") == []


async def test_the_export_tells_nothing_of_accounts_that_one_has_changed(
    client: httpx.AsyncClient, make: Factory
) -> None:
    bob = await make.user(username="bob", email="bob@example.com", full_name="Bob Cratchit")
    headers = await make.bearer(await make.admin())
    change = {"email": "robert@example.com", "full_name": None}
    assert (await client.patch(f"{URL}/{bob.id}", json=change, headers=headers)).status_code == 200
    export = await client.get(f"{URL}/me/export", headers=headers)
    assert [event["action"] for event in export.json()["audit"]] == ["user_changed", "data_exported"]
    for foreign in ("bob", "Cratchit", "robert"):
        assert foreign not in export.text
    theirs = (await client.get(f"{URL}/me/export", headers=await make.bearer(bob))).json()["audit"]
    assert theirs[0]["details"]["changes"]["full_name"] == ["Bob Cratchit", None], "what concerns Bob is Bob's"
