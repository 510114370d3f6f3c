"""A new name of one's own wants the password, and is told by mail."""

from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.models.user import User
from tests.api.calls import code
from tests.factories import PASSWORD, PASSWORD_HASH, Factory
from tests.mailbox import Mailbox, text_of

ME = "/api/v1/users/me"


@pytest.fixture
async def alice(make: Factory) -> User:
    return await make.user(username="alice", email="alice@example.com", is_verified=True)


@pytest.mark.parametrize("password", [None, "wrong password", ""])
async def test_a_new_name_wants_the_password(
    client: httpx.AsyncClient, make: Factory, alice: User, session: AsyncSession, services: AppServices, password: Any
) -> None:
    body = {"username": "mallory", "full_name": "x"} | ({} if password is None else {"password": password})
    answer = await client.patch(ME, json=body, headers=await make.bearer(alice))
    assert code(answer) == (403, "wrong_password")
    stored = await session.get_one(User, alice.id)
    assert (stored.username, stored.full_name, stored.version) == ("alice", None, 1)
    assert await Mailbox(services).messages() == []


async def test_a_new_name_is_told_by_mail_with_the_old_one(
    client: httpx.AsyncClient, make: Factory, alice: User, services: AppServices
) -> None:
    body = {"username": "alice.l", "password": PASSWORD}
    answer = await client.patch(ME, json=body, headers=await make.bearer(alice))
    assert (answer.status_code, answer.json()["username"]) == (200, "alice.l")
    (mail,) = await Mailbox(services).messages("alice@example.com")
    assert mail["Subject"] == "Your user name was changed"
    assert "  Before   alice\n  Now      alice[.]l\n" in text_of(mail)
    assert "127.0.0.1" in text_of(mail)


async def test_what_keeps_the_name_wants_no_password_and_no_mail(
    client: httpx.AsyncClient, make: Factory, alice: User, services: AppServices
) -> None:
    headers = await make.bearer(alice)
    for body in ({"full_name": "Alice"}, {"full_name": "Alice L", "username": "alice"}):
        answer = await client.patch(ME, json=body, headers=headers)
        assert (answer.status_code, answer.json()["full_name"]) == (200, body["full_name"])
    assert await Mailbox(services).messages() == []


async def test_a_password_without_a_name_is_refused_for_it_would_not_be_taken(
    client: httpx.AsyncClient, make: Factory, alice: User, session: AsyncSession
) -> None:
    answer = await client.patch(ME, json={"password": "a new password"}, headers=await make.bearer(alice))
    assert code(answer) == (422, "validation_error")
    assert "PUT /users/me/password" in answer.json()["errors"][0]["msg"]
    assert (await session.get_one(User, alice.id)).hashed_password == PASSWORD_HASH
