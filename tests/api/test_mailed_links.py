"""Mailed links end with what made them legitimate, and there is one of a user for each purpose."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from passlib.hash import bcrypt
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.session import WriteSession
from app.crud.one_time_token import one_time_tokens
from app.crud.user import users
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import Role, User
from tests.api.calls import URL, code, login
from tests.conftest import connected, running
from tests.factories import PASSWORD, PASSWORD_HASH, Factory
from tests.mailbox import Mailbox

USERS = "/api/v1/users"
ADDRESS = "alice@example.com"
OTHER_HASH = PASSWORD_HASH[:-1] + "9"
NEW_PASSWORD = "another horse battery staple"
IMPORTED_HASH = bcrypt.using(rounds=4).hash(PASSWORD)


@pytest.fixture
def mailbox(services: AppServices) -> Mailbox:
    return Mailbox(services)


async def ask_for_all_links(client: httpx.AsyncClient, headers: dict[str, str], mailbox: Mailbox) -> dict[Purpose, str]:
    await client.post(f"{URL}/verify-email/request", headers=headers)
    verify = await mailbox.token(ADDRESS)
    change = {"email": "alice@new.example", "password": PASSWORD}
    await client.post(f"{USERS}/me/email", json=change, headers=headers)
    await client.post(f"{URL}/forgot-password", json={"email": ADDRESS})
    return {
        Purpose.VERIFY_EMAIL: verify,
        Purpose.CHANGE_EMAIL: await mailbox.token("alice@new.example"),
        Purpose.RESET_PASSWORD: await mailbox.token(ADDRESS),
    }


async def follow(client: httpx.AsyncClient, purpose: Purpose, token: str) -> httpx.Response:
    if purpose is Purpose.RESET_PASSWORD:
        body = {"token": token, "new_password": NEW_PASSWORD}
        return await client.post(f"{URL}/reset-password", json=body)
    return await client.post(f"{URL}/verify-email", json={"token": token})


async def count_links(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(OneTimeToken)) or 0


@pytest.mark.parametrize(
    "changes",
    [{"email": "alice@other.example"}, {"role": "admin"}, {"is_active": False}],
    ids=["address", "role", "standing"],
)
async def test_what_an_administrator_changes_ends_every_link(
    client: httpx.AsyncClient, make: Factory, mailbox: Mailbox, session: AsyncSession, changes: dict[str, Any]
) -> None:
    alice = await make.user(username="alice", email=ADDRESS)
    links = await ask_for_all_links(client, await make.bearer(alice), mailbox)
    assert await count_links(session) == 3
    admin = await make.bearer(await make.admin())
    assert (await client.patch(f"{USERS}/{alice.id}", json=changes, headers=admin)).status_code == 200
    assert await count_links(session) == 0
    back = {name: getattr(alice, name) for name in changes}
    assert (await client.patch(f"{USERS}/{alice.id}", json=back, headers=admin)).status_code == 200
    for purpose, token in links.items():
        assert code(await follow(client, purpose, token)) == (400, "invalid_token")


@pytest.mark.parametrize("purpose", [Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL])
async def test_following_a_link_that_changes_the_account_ends_the_others(
    client: httpx.AsyncClient, make: Factory, mailbox: Mailbox, session: AsyncSession, purpose: Purpose
) -> None:
    alice = await make.user(username="alice", email=ADDRESS)
    links = await ask_for_all_links(client, await make.bearer(alice), mailbox)
    assert (await follow(client, purpose, links.pop(purpose))).status_code == 204
    assert await count_links(session) == 0
    for other, token in links.items():
        assert code(await follow(client, other, token)) == (400, "invalid_token")


async def test_a_new_password_of_ones_own_ends_every_link(
    client: httpx.AsyncClient, make: Factory, mailbox: Mailbox, session: AsyncSession
) -> None:
    headers = await make.bearer(await make.user(username="alice", email=ADDRESS))
    await ask_for_all_links(client, headers, mailbox)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await client.put(f"{USERS}/me/password", json=body, headers=headers)).status_code == 204
    assert await count_links(session) == 0


async def test_a_better_hash_of_an_imported_password_ends_every_link(
    client: httpx.AsyncClient, make: Factory, mailbox: Mailbox, session: AsyncSession
) -> None:
    """They are bound to the hash, and what no longer works is not kept."""
    alice = await make.user(username="alice", email=ADDRESS, hashed_password=IMPORTED_HASH)
    await ask_for_all_links(client, await make.bearer(alice), mailbox)
    assert (await login(client, "alice")).status_code == 200
    assert await count_links(session) == 0


async def test_what_leaves_credentials_alone_leaves_the_links(
    client: httpx.AsyncClient, make: Factory, mailbox: Mailbox
) -> None:
    alice = await make.user(username="alice", email=ADDRESS)
    headers = await make.bearer(alice)
    links = await ask_for_all_links(client, headers, mailbox)
    admin = await make.bearer(await make.admin())
    same = {"email": ADDRESS, "role": "user", "is_active": True, "full_name": "Alice", "username": "alice.l"}
    assert (await client.patch(f"{USERS}/{alice.id}", json=same, headers=admin)).status_code == 200
    token = links[Purpose.RESET_PASSWORD]
    assert (await follow(client, Purpose.RESET_PASSWORD, token)).status_code == 204


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize(
    "changes",
    [{"email_key": "x@example.com"}, {"hashed_password": OTHER_HASH}, {"role": Role.ADMIN}, {"is_active": False}],
    ids=["address", "password", "role", "standing"],
)
async def test_a_link_is_bound_to_the_account_however_that_was_changed(
    client: httpx.AsyncClient,
    make: Factory,
    mailbox: Mailbox,
    session: AsyncSession,
    purpose: Purpose,
    changes: dict[str, Any],
) -> None:
    alice = await make.user(username="alice", email=ADDRESS)
    links = await ask_for_all_links(client, await make.bearer(alice), mailbox)
    await session.execute(update(User).where(User.id == alice.id).values(**changes))
    await session.commit()
    assert code(await follow(client, purpose, links[purpose])) == (400, "invalid_token")
    assert await count_links(session) == 3, "what was refused changed nothing"


# At the same moment


@pytest.fixture
async def real(real_settings: Settings) -> AsyncIterator[tuple[AppServices, httpx.AsyncClient]]:
    async with running(real_settings) as (_, manager, services), connected(manager.app) as client:
        yield services, client


async def issue(session: WriteSession, user_id: int) -> str:
    user = await users.get(session, user_id)
    return await one_time_tokens.issue(
        session, user, Purpose.RESET_PASSWORD, expires_at=utc_now() + timedelta(minutes=5)
    )


@pytest.mark.real_database
async def test_of_links_asked_for_at_once_one_works(real: tuple[AppServices, httpx.AsyncClient]) -> None:
    services, client = real
    await Factory(services).user(username="alice", email=ADDRESS)
    answers = await asyncio.gather(*(client.post(f"{URL}/forgot-password", json={"email": ADDRESS}) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    mailbox = Mailbox(services)
    assert len(await mailbox.messages(ADDRESS)) == 8
    async with services.database.primary() as session:
        assert await count_links(session) == 1


@pytest.mark.real_database
async def test_the_link_asked_for_last_replaces_one_that_is_still_being_made(
    real: tuple[AppServices, httpx.AsyncClient], *, is_postgresql: bool
) -> None:
    if not is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    services, client = real
    alice = await Factory(services).user(username="alice", email=ADDRESS)

    async def issue_alone() -> str:
        async with services.database.transaction() as session:
            return await issue(session, alice.id)

    async with services.database.transaction() as session:
        first = await issue(session, alice.id)
        second = asyncio.create_task(issue_alone())
        await someone_waits(services)
    assert code(await follow(client, Purpose.RESET_PASSWORD, first)) == (400, "invalid_token")
    assert (await follow(client, Purpose.RESET_PASSWORD, await second)).status_code == 204


@pytest.mark.real_database
async def test_who_changes_an_account_and_who_follows_its_link_do_not_block_each_other(
    real: tuple[AppServices, httpx.AsyncClient], *, is_postgresql: bool
) -> None:
    if not is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    services, client = real
    make = Factory(services)
    alice = await make.user(username="alice", email=ADDRESS)
    async with services.database.transaction() as session:
        token = await issue(session, alice.id)
    async with services.database.transaction() as session:
        row = await users.get_for_update(session, alice.id)
        following = asyncio.create_task(follow(client, Purpose.RESET_PASSWORD, token))
        await someone_waits(services)
        # Whoever follows has locked nothing that this would wait for.
        await users.change_locked(session, row, email="alice@other.example")
    assert code(await following) == (400, "invalid_token")
    async with services.database.primary() as session:
        assert (await session.get_one(User, alice.id)).hashed_password == PASSWORD_HASH
        assert await count_links(session) == 0


async def someone_waits(services: AppServices) -> None:
    """Until a statement waits for a lock."""
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    async with services.database.primary() as session:
        while await session.scalar(waiting) is None:  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0.01)
