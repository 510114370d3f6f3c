"""Names and addresses that others could be taken in by are refused wherever an account gets one."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.security.passwords import PasswordHasher
from app.models.user import User
from app.services.accounts.admins import ensure_first_admin
from tests.api.calls import URL as AUTH
from tests.api.calls import code, login
from tests.factories import PASSWORD, Factory

USERS = "/api/v1/users"
BOB = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
NAMES = ["\u0430dmin", "...", "bo\u3164b", ".bob"]
ADDRESSES = [
    "Evil <bob@example.com>",
    "bo\u3164b@example.com",
    f"{'b' * 64}@{'c' * 60}.{'d' * 60}.{'e' * 60}.example",
    "bob @example.com",
]


async def refused(client: httpx.AsyncClient, make: Factory, changes: dict[str, Any]) -> list[tuple[int, str]]:
    """Wherever an account gets what changes."""
    headers = await make.bearer(await make.admin())
    calls = [
        ("POST", f"{AUTH}/register", BOB | changes),
        ("POST", USERS, BOB | changes),
        ("PATCH", f"{USERS}/{(await make.user()).id}", changes),
    ]
    if "username" in changes or "full_name" in changes:
        password = {"password": PASSWORD} if "username" in changes else {}
        calls.append(("PATCH", f"{USERS}/me", changes | password))
    if "email" in changes:
        calls.append(("POST", f"{USERS}/me/email", changes | {"password": PASSWORD}))
        calls.append(("POST", f"{AUTH}/forgot-password", changes))
    return [code(await client.request(method, url, json=body, headers=headers)) for method, url, body in calls]


@pytest.mark.parametrize(
    "changes",
    [
        *({"username": name} for name in NAMES),
        *({"email": address} for address in ADDRESSES),
        {"full_name": "Bob\u202e"},
        {"full_name": "\u3164"},
        {"full_name": "Bo\u200bb"},
    ],
    ids=ascii,
)
async def test_what_can_be_taken_for_something_else_is_refused_everywhere(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession, changes: dict[str, Any]
) -> None:
    assert set(await refused(client, make, changes)) == {(422, "validation_error")}
    assert await session.scalar(select(func.count()).select_from(User)) == 2


async def test_a_reserved_name_is_given_by_administrators_alone(
    client: httpx.AsyncClient, make: Factory, session: AsyncSession
) -> None:
    name = {"username": "Sup.Port"}
    alice = await make.user()
    assert code(await client.post(f"{AUTH}/register", json=BOB | name)) == (422, "username_reserved")
    own = await client.patch(f"{USERS}/me", json=name | {"password": PASSWORD}, headers=await make.bearer(alice))
    assert code(own) == (422, "username_reserved")
    headers = await make.bearer(await make.admin())
    assert (await client.post(USERS, json=BOB | name, headers=headers)).status_code == 201
    other = {"username": "Security"}
    assert (await client.patch(f"{USERS}/{alice.id}", json=other, headers=headers)).status_code == 200
    assert (await session.get_one(User, alice.id)).username == "Security"


async def test_who_has_a_name_that_is_refused_today_still_signs_in_with_it(
    client: httpx.AsyncClient, make: Factory
) -> None:
    for name in ("\u0430lice", "support", "..."):
        user = await make.user(username=name)
        assert (await login(client, name)).status_code == 200
        answer = await client.patch(f"{USERS}/me", json={"full_name": "A"}, headers=await make.bearer(user))
        assert (answer.status_code, answer.json()["username"]) == (200, name)


@pytest.mark.real_database
async def test_the_first_administrator_may_have_a_reserved_name(real_settings: Settings) -> None:
    database = Database(real_settings)
    try:
        made = await ensure_first_admin(database, PasswordHasher(), real_settings)
        assert made is not None
        assert made.username == "admin"
    finally:
        await database.close()
